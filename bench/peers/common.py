"""What the peer scripts share: shapes, workloads, arguments, and the one line of JSON each prints.

The shapes and lengths are those of `cargo xtask bench`; `../ragged.txt` is read by both sides.
"""

import argparse
import json
import os
import resource
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

# OpenBLAS takes this for an order; where it names another processor, it slows the peer down.
os.environ.pop("OPENBLAS_CORETYPE", None)


@dataclass(frozen=True)
class Shape:
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    vocabulary: int
    head_dim: int = 64
    theta: float = 10_000.0
    eps: float = 1e-6


SHAPES = {
    "small": Shape(256, 4, 4, 2, 768, 512),
    "big": Shape(512, 8, 8, 4, 1536, 8192),
}
PROMPTS, GROUP, PROMPT, LONGEST = 16, 8, 32, 128
SEQUENCES, LENGTH = 16, 160


def lengths(kind):
    """The length of each of the 128 completions."""
    if kind == "full":
        return [LONGEST] * (PROMPTS * GROUP)
    text = (Path(__file__).parent.parent / "ragged.txt").read_text()
    return [int(word) for word in text.split()]


def tokens(count, prompt, vocabulary):
    """Tokens of a prompt; 0 ends sequences and does not occur."""
    return [(at * 37 + prompt * 11) % (vocabulary - 1) + 1 for at in range(count)]


def arguments(description, precisions=("bf16", "f32"), with_lengths=True):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--model", choices=SHAPES, default="small")
    parser.add_argument("--precision", choices=precisions, default=precisions[0])
    if with_lengths:
        parser.add_argument("--lengths", choices=("full", "ragged"), default="full")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--repetitions", type=int, default=3)
    return parser


def parse(parser):
    """Reads the arguments and fixes the number of threads, before numerical libraries are imported."""
    ask = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(ask.threads)
    os.environ["MKL_NUM_THREADS"] = str(ask.threads)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    return ask


def require(*modules):
    """Ends with 77 where a package is missing, which `alternate.py` takes for `not installed`."""
    import importlib.util

    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        print(f"skipped: {', '.join(missing)} not installed; see README.md", file=sys.stderr)
        sys.exit(77)


def repeat(work, repetitions, warm_up=1):
    """Seconds of each repetition after a warm-up."""
    for _ in range(warm_up):
        work()
    seconds = []
    for _ in range(repetitions):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return seconds


def peak_mib():
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return max(own, children) / 1024


def report(what, unit, figures, **more):
    """The line of JSON by which a script ends."""
    line = {
        "what": what,
        "unit": unit,
        "figure": statistics.median(figures),
        "low": min(figures),
        "high": max(figures),
        "peak_mib": round(peak_mib()),
        **more,
    }
    print(json.dumps(line), flush=True)
