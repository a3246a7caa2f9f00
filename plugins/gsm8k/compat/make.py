"""Makes table.jsonl: completions with the five rewards of the public GSM8K recipe.

    python3 plugins/gsm8k/compat/make.py > plugins/gsm8k/compat/table.jsonl

The judges are written from a description of that recipe, on Python's own `re` and strings. `hole` marks where
the exact reading must pay less for the answer (correctness and int). Nothing but this table needs Python.
"""

import itertools
import json
import re


def gold_of(solution):
    return solution.split("####")[1].strip().replace(",", "").replace("$", "")


def answer_of(text, guard):
    if guard and "<answer>" not in text:
        return None
    return text.split("<answer>")[-1].split("</answer>")[0].strip()


def xml_count(text):
    total = 0.0
    if text.count("<reasoning>\n") == 1:
        total += 0.125
    if text.count("\n</reasoning>\n") == 1:
        total += 0.125
    if text.count("\n<answer>\n") == 1:
        total += 0.125
        total -= len(text.split("\n</answer>\n")[-1]) * 0.001
    if text.count("\n</answer>") == 1:
        total += 0.125
        total -= (len(text.split("\n</answer>")[-1]) - 1) * 0.001
    return total


def rewards(text, gold, dotall, guard):
    flags = re.DOTALL if dotall else 0
    answer = answer_of(text, guard)
    soft = re.match(r"<reasoning>.*?</reasoning>\s*<answer>.*?</answer>", text, flags)
    strict = re.match(r"^<reasoning>\n.*?\n</reasoning>\n<answer>\n.*?\n</answer>\n$", text, flags)
    return {
        "xmlcount": xml_count(text),
        "soft_format": 0.5 if soft else 0.0,
        "strict_format": 0.5 if strict else 0.0,
        "int": 0.5 if answer is not None and answer.isdigit() else 0.0,
        "correctness": 2.0 if answer == gold else 0.0,
    }


SOLUTION = "2 * 21 = 42\n#### 42"
THOUGHTS = ["2 * 21 is 42", "two\nlines", "", "<reasoning>\nagain"]
ANSWERS = ["42", " 42 ", "41", "42.0", "1,042", "$42", "forty-two", "", "٤٢", "²", "42\n", "-42", "42</answer>\n<answer>\n41"]
FRAMES = [
    "<reasoning>\n{t}\n</reasoning>\n<answer>\n{a}\n</answer>\n",
    "<reasoning>\n{t}\n</reasoning>\n<answer>\n{a}\n</answer>",
    "<reasoning>\n{t}\n</reasoning>\n<answer>\n{a}\n</answer>\n\n",
    "<reasoning>\n{t}\n</reasoning>\n<answer>\n{a}\n</answer>\nThat is all.",
    "<reasoning>{t}</reasoning><answer>{a}</answer>",
    "<reasoning>{t}</reasoning>\n \n<answer>{a}</answer> done",
    " <reasoning>\n{t}\n</reasoning>\n<answer>\n{a}\n</answer>\n",
    "{t}\n<answer>\n{a}\n</answer>\n",
    "{a}",
    "<answer>{a}",
    "<reasoning>\n{t}\n</reasoning>\n{a}",
    "{a}</answer> and more",
]


def main():
    seen = 0
    for at, (frame, thought, answer) in enumerate(itertools.product(FRAMES, THOUGHTS, ANSWERS)):
        if thought != THOUGHTS[0] and at % 3:
            continue
        text = frame.format(t=thought, a=answer)
        dotall, guard = bool(seen & 1), bool(seen & 2)
        solution = "1 + 1\n#### $1,042" if answer == "1,042" and at % 2 else SOLUTION
        parts = rewards(text, gold_of(solution), dotall, guard)
        in_tags = text.count("<answer>") == text.count("</answer>") == 1
        given = answer_of(text, True)
        row = {
            "config": {"dotall": dotall, "guard": guard},
            "completion": text,
            "columns": {"answer": solution},
            "reward": parts["xmlcount"] + parts["soft_format"] + parts["strict_format"] + parts["int"] + parts["correctness"],
            "parts": parts,
        }
        paid = parts["int"] + parts["correctness"]
        if paid and not (in_tags and re.fullmatch(r"[0-9]+", given or "")):
            row["hole"] = True
        print(json.dumps(row))
        seen += 1


if __name__ == "__main__":
    main()
