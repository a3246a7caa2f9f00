"""Makes table.jsonl: answers with the verdicts that Math-Verify 0.9 gives them on CPython.

    python3 -m venv venv && venv/bin/pip install math-verify==0.9.0 latex2sympy2_extended==1.11.0 \\
        sympy==1.14.0 mpmath==1.3.0 antlr4-python3-runtime==4.13.2
    venv/bin/python plugins/math/compat/make.py math500.json > plugins/math/compat/table.jsonl

The argument is the JSON list of the 500 problems of MATH-500 (only `answer` is read). Each of its answers is
given in a box as an answer to itself; then come the rows of ../rewrites.jsonl. `equal` says what is right, as
people judged it; `math_verify` what the library says to `verify(parse("$answer$"), parse(completion))`, with
its defaults: what its own documentation shows. A row that raises or runs into the library's time limit would
be `null`; there is none. Nothing but this table needs Python.
"""

import json
import logging
import pathlib
import sys

from math_verify import parse, verify


def verdict(answer, completion):
    try:
        gold = parse(f"${answer}$", raise_on_error=True)
        return verify(gold, parse(completion, raise_on_error=True), raise_on_error=True)
    except Exception:
        return None


def main():
    logging.disable(logging.CRITICAL)
    pairs = []
    for number, problem in enumerate(json.loads(pathlib.Path(sys.argv[1]).read_text()), 1):
        pairs.append((f"math500-{number:03}", problem["answer"], problem["answer"], True))
    rewrites = pathlib.Path(__file__).parent.parent / "rewrites.jsonl"
    for number, line in enumerate(rewrites.read_text().splitlines(), 1):
        row = json.loads(line)
        pairs.append((f"rewrite-{number:03}", row["gold"], row["answer"], row["equal"]))
    for name, gold, answer, equal in pairs:
        completion = f"Thus the answer is $\\boxed{{{answer}}}$."
        row = {"name": name, "completion": completion, "answer": gold, "equal": equal}
        row["math_verify"] = verdict(gold, completion)
        print(json.dumps(row, ensure_ascii=False))


main()
