"""Makes table.jsonl: completions with the format reward that Mini-R1 gives them.

    python3 plugins/format/compat/make.py > plugins/format/compat/table.jsonl

The judge is written from a description of that recipe, on Python's own `re`. `hole` marks what the strict
reward must refuse although the recipe pays. Nothing but this table needs Python.
"""

import itertools
import json
import re

FORM = re.compile(
    r"^<think>([^<]*(?:<(?!/?think>)[^<]*)*)<\/think>\n<answer>([\s\S]*?)<\/answer>$", re.DOTALL
)


def mini_r1(completion):
    return 1.0 if FORM.search("<think>" + completion) else 0.0


def is_plain(completion):
    """Whether every tag occurs once, in order, with something in the answer."""
    marks = ["</think>", "<answer>", "</answer>"]
    if any(completion.count(mark) != 1 for mark in marks) or "<think>" in completion:
        return False
    places = [completion.index(mark) for mark in marks]
    answer = completion[places[1] + len(marks[1]) : places[2]]
    return places == sorted(places) and answer.strip() != ""


THOUGHTS = ["a + b", "", "two\nlines", "3 < 5 > 2", "<b>bold</b>", "<think>again", "x</think>y", "</answer>", "<answer>1</answer>"]
GAPS = ["\n", "", " ", "\n\n", "\r\n", "\n "]
ANSWERS = ["1 + 2", "", " ", "a\nb", "1</answer><answer>2", "</think>", "<think>", "<answer>"]
ENDS = ["", "\n", "\n\n", " ", " so.", "</answer>"]


def main():
    rows = ["", "<answer>1</answer>", "</think>", "</think>\n<answer>", "</think>\n</answer>", "\n</think>\n<answer>1</answer>"]
    for at, (thought, gap, answer, end) in enumerate(itertools.product(THOUGHTS, GAPS, ANSWERS, ENDS)):
        # Every pair of neighbours with everything else plain, and a thin sample of the rest.
        odd = (thought != THOUGHTS[0]) + (gap != GAPS[0]) + (answer != ANSWERS[0]) + (end != ENDS[0])
        if odd <= 2 or at % 23 == 0:
            rows.append(f"{thought}</think>{gap}<answer>{answer}</answer>{end}")
    for completion in rows:
        reward = mini_r1(completion)
        row = {"config": {"compat": "mini-r1"}, "completion": completion, "reward": reward}
        if reward == 1.0 and not is_plain(completion):
            row["hole"] = True
        print(json.dumps(row))


if __name__ == "__main__":
    main()
