"""Alternates r1x and the installed peers, and prints medians and ratios.

    bench/peers/install.sh DIR
    python3 bench/peers/alternate.py --peers DIR [--rounds 5] [--precision bf16] [PAIR...]

In every round each side of a pair is measured once, one after the other, so that what else the machine does
falls on both. The ratio is the median of the rounds' ratios; above 1, r1x is better. Needs nothing but Python.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
MISSING = 77


@dataclass(frozen=True)
class Pair:
    """Our workload without its precision, and the script of a peer with its arguments."""

    peer: str
    ours: str
    environment: str
    script: str
    arguments: tuple

    @property
    def name(self):
        return f"{self.peer}/{self.ours}"


def pairs():
    found = []
    for model in ("small", "big"):
        of_model = ("--model", model)
        found.append(Pair("torch", f"train/{model}", "torch", "torch_train.py", of_model))
        compiled = (*of_model, "--compile")
        found.append(Pair("torch.compile", f"train/{model}", "torch", "torch_train.py", compiled))
        for lengths in ("full", "ragged"):
            of_lengths = (*of_model, "--lengths", lengths)
            ours = f"generate/{model}/{lengths}"
            found.append(Pair("vllm", ours, "vllm", "vllm_generate.py", of_lengths))
            found.append(Pair("llama.cpp", ours, "llamacpp", "llamacpp_generate.py", of_lengths))
            found.append(Pair("transformers", ours, "torch", "hf_generate.py", of_lengths))
            ours = f"grpo/{model}/{lengths}"
            found.append(Pair("trl", ours, "torch", "trl_grpo.py", of_lengths))
    return found


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pairs", nargs="*", metavar="PAIR", help="such as `vllm` or `vllm/generate/small`")
    parser.add_argument("--peers", type=Path, metavar="DIR", help="where install.sh put the peers")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", choices=("bf16", "f32"), default="bf16")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--program", type=Path, metavar="PATH", help="this r1x-bench, instead of building it")
    parser.add_argument("--save", type=Path, metavar="FILE", help="keep every round as JSON")
    parser.add_argument("--list", action="store_true", help="list the pairs instead")
    return parser.parse_args()


def chosen(words):
    every = pairs()
    unknown = [word for word in words if not any(selects(word, pair) for pair in every)]
    if unknown:
        sys.exit(f"error: no pair `{unknown[0]}`\n  help: `--list` shows them")
    return [pair for pair in every if not words or any(selects(word, pair) for word in words)]


def selects(word, pair):
    return pair.name == word or pair.name.startswith(word.rstrip("/") + "/")


def build():
    command = ["cargo", "build", "--release", "--workspace", "--bin", "r1x-bench"]
    subprocess.run(command, cwd=ROOT, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return target / "release" / "r1x-bench"


def measure_ours(program, workload, threads):
    """The row of a workload, or None where this build lacks it."""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder, "table.json")
        command = [program, workload, "--quick", "--threads", str(threads), "--save", table]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode or not table.exists():
            return None, done.stderr.strip().splitlines()
        rows = json.loads(table.read_text())["rows"]
    row = next(row for row in rows if row["id"] == workload)
    peak = row["peak_bytes"] / 2**20 if row["peak_bytes"] else None
    return {"figure": row["figure"], "unit": row["unit"], "limit": row["limit"], "peak_mib": peak}, []


def measure_peer(python, pair, precision, threads):
    """The line a peer's script prints, or None with the reason."""
    if not python.exists():
        return None, [f"{python} does not exist"]
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_CORETYPE"}
    command = [python, HERE / pair.script, *pair.arguments, "--precision", precision]
    command += ["--threads", str(threads), "--repetitions", "1"]
    done = subprocess.run(command, cwd=HERE, env=environment, capture_output=True, text=True)
    if done.returncode:
        return None, done.stderr.strip().splitlines()[-3:]
    return json.loads(done.stdout.strip().splitlines()[-1]), []


def alternate(pair, ask, program):
    """The rounds of one pair, or the reason why there are none."""
    python = ask.peers / pair.environment / "bin" / "python"
    workload, rounds = f"{pair.ours}/{ask.precision}", []
    for number in range(ask.rounds):
        print(f"{pair.name} round {number + 1}/{ask.rounds}", file=sys.stderr)
        theirs, reason = measure_peer(python, pair, ask.precision, ask.threads)
        if theirs is None:
            return [], reason
        ours, reason = measure_ours(program, workload, ask.threads)
        if ours is None:
            return [], reason
        rounds.append({"ours": ours, "theirs": theirs})
    return rounds, []


def ratio(one):
    ours, theirs = one["ours"]["figure"], one["theirs"]["figure"]
    return theirs / ours if one["ours"]["unit"] == "s" else ours / theirs


def line(pair, rounds):
    middle = statistics.median
    ours = [one["ours"]["figure"] for one in rounds]
    theirs = [one["theirs"]["figure"] for one in rounds]
    ratios = [ratio(one) for one in rounds]
    limit = middle([one["ours"]["limit"] for one in rounds])
    is_time = rounds[0]["ours"]["unit"] == "s"
    share = limit / middle(ours) if is_time else middle(ours) / limit
    memory = [one["ours"]["peak_mib"] / one["theirs"]["peak_mib"] for one in rounds if one["ours"]["peak_mib"]]
    return [
        pair.name,
        f"{middle(ours):.4g}",
        f"{middle(theirs):.4g}",
        rounds[0]["ours"]["unit"],
        f"{middle(ratios):.2f}",
        f"{min(ratios):.2f} to {max(ratios):.2f}",
        f"{100 * share:.0f} %",
        f"{middle(memory):.2f}" if memory else "-",
    ]


def show(lines):
    header = ["pair", "r1x", "peer", "unit", "ratio", "of rounds", "share of limit", "memory, r1x / peer"]
    widths = [max(len(line[column]) for line in [header, *lines]) for column in range(len(header))]
    for cells in [header, *lines]:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip())


def main():
    ask = arguments()
    selected = chosen(ask.pairs)
    if ask.list:
        print("\n".join(pair.name for pair in selected))
        return
    if ask.peers is None:
        sys.exit("error: where are the peers?\n  help: `--peers DIR`, after `bench/peers/install.sh DIR`")
    program, lines, kept = ask.program or build(), [], {}
    for pair in selected:
        rounds, reason = alternate(pair, ask, program)
        if rounds:
            lines.append(line(pair, rounds))
            kept[pair.name] = rounds
        else:
            print(f"{pair.name}: left out\n  " + "\n  ".join(reason), file=sys.stderr)
    if ask.save:
        ask.save.write_text(json.dumps({"precision": ask.precision, "pairs": kept}, indent=1) + "\n")
    if not lines:
        sys.exit(1)
    print(f"\n{ask.precision}, {ask.threads} threads, medians of {ask.rounds} rounds; ratio above 1: r1x is better")
    show(lines)


if __name__ == "__main__":
    main()
