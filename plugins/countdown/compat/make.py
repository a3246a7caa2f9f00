"""Makes table.jsonl: completions with the rewards that Mini-R1 and TinyZero give them.

    python3 plugins/countdown/compat/make.py > plugins/countdown/compat/table.jsonl

The two judges below are written from descriptions of those recipes, on Python's own `re` and `eval`, which
they rely on. An evaluation that does not end within two seconds counts as 0 (TinyZero: 0.1), since the
originals never give an answer. `hole` marks what the strict reward must refuse although the recipe pays.
Nothing but this table needs Python.
"""

import json
import multiprocessing
import random
import re

CHARACTERS = r"^[\d+\-*/().\s]+$"


def evaluate(text, results):
    try:
        value = eval(text, {"__builtins__": None}, {})
        # Only what `abs(value - target)` and `float(value)` see matters; complex numbers are left out.
        results.put(float(value))
    except Exception:
        results.put(None)


def value_of(text):
    """The value as a float; None for an exception, and where no answer comes."""
    results = multiprocessing.Queue()
    process = multiprocessing.Process(target=evaluate, args=(text, results))
    process.start()
    try:
        return results.get(timeout=2)
    except Exception:
        return None
    finally:
        process.terminate()
        process.join()


def numbers_fit(equation, nums):
    try:
        return sorted(int(run) for run in re.findall(r"\d+", equation)) == sorted(nums)
    except ValueError:
        return False


def hits(equation, nums, target):
    if not numbers_fit(equation, nums) or not re.match(CHARACTERS, equation):
        return False
    value = value_of(equation)
    return value is not None and abs(value - target) < 1e-5


def mini_r1(completion, nums, target):
    found = re.search(r"<answer>(.*?)</answer>", "<think>" + completion)
    return 1.0 if found and hits(found.group(1).strip(), nums, target) else 0.0


def tiny_zero(completion, nums, target):
    line = completion.split("\n")[-1]
    found = list(re.finditer(r"<answer>(.*?)</answer>", line))
    if not found:
        return 0.0
    return 1.0 if hits(found[-1].group(1).strip(), nums, target) else 0.1


def is_plain(equation, nums, target):
    """Whether an equation keeps to the game's rules, by a check of its own: a grammar and exact fractions."""
    from fractions import Fraction

    if not re.fullmatch(r"[0-9+\-*/() \t\r\f\v]+", equation) or re.search(r"\*\s*\*|/\s*/", equation):
        return False
    tokens = re.findall(r"\d+|[-+*/()]", equation)
    previous = "("
    for token in tokens:
        if token in "+-" and previous in "(+-*/":
            return False
        previous = token
    if not numbers_fit(equation, nums):
        return False
    try:
        exact = re.sub(r"\d+", lambda run: f"F({int(run.group())})", " ".join(tokens))
        return eval(exact, {"F": Fraction}) == target
    except Exception:
        return False


FIXED = [
    # equation, nums, target
    ("3.5*2", [3, 5, 2], 7),
    ("7//2+1", [7, 2, 1], 4),
    ("2**3", [2, 3], 8),
    ("2**3**2", [2, 3, 2], 512),
    ("-3+5", [3, 5], 2),
    ("+3+5", [3, 5], 8),
    ("3--5", [3, 5], 8),
    ("95**78**6**88", [95, 78, 6, 88], 10),
    ("9**9**9", [9, 9, 9], 10),
    ("2**-1*4", [2, 1, 4], 2),
    ("1/3*3", [1, 3, 3], 1),
    ("10/3", [10, 3], 3),
    ("1/1000000+3", [1, 1000000, 3], 3),
    ("007", [7], 7),
    ("7.0", [7, 0], 7),
    (".5*4", [5, 4], 2),
    ("5.*4", [5, 4], 20),
    ("5.4.", [5, 4], 20),
    ("(3)(5)", [3, 5], 15),
    ("3(5)", [3, 5], 15),
    ("()", [], 0),
    ("(", [], 0),
    ("3 5", [3, 5], 8),
    ("3+5=8", [3, 5, 8], 8),
    ("3+5", [5, 3], 8),
    ("3+3", [3], 6),
    ("3", [3, 3], 3),
    ("3 + 5 # hm", [3, 5], 8),
    ("__import__('os')", [], 0),
    ("3+5;", [3, 5], 8),
    ("３+5", [3, 5], 8),
    ("(1+\r2)", [1, 2], 3),
    ("1+\r2", [1, 2], 3),
    ("1\t+\f2", [1, 2], 3),
    ("1\v+2", [1, 2], 3),
    ("\u00a01+2\u00a0", [1, 2], 3),
    ("1\u00a0+2", [1, 2], 3),
    ("5/(3-3)", [5, 3, 3], 0),
    ("0**0", [0, 0], 1),
    ("0.0**-1", [0, 0, 1], 0),
    ("2**100/2**98", [2, 100, 2, 98], 4),
    ("2.0**5000", [2, 0, 5000], 0),
    ("10**400*1.5", [10, 400, 1, 5], 0),
    ("(" * 150 + "3" + ")" * 150, [3], 3),
    ("(" * 250 + "3" + ")" * 250, [3], 3),
    ("7//2.5", [7, 2, 5], 2),
    ("-7//2", [7, 2], -4),
    ("6/(1-3/4)", [1, 3, 4, 6], 24),
    ("(25-5)*4+3", [25, 5, 4, 3], 83),
    ("-2**2", [2, 2], -4),
    ("2*-3", [2, 3], -6),
    ("1..real", [1], 1),
    ("1e5", [1, 5], 100000),
    ("0x10", [0, 10], 16),
    ("1_0", [1, 0], 10),
    ("", [], 0),
    (" ", [], 0),
]


def shapes(rng, equation):
    """Completions around an equation: what models write, and what they try."""
    return rng.choice(
        [
            f"so it is. </think>\n<answer>{equation}</answer>",
            f"so it is. </think>\n<answer> {equation} </answer>",
            f"hm </think>\n<answer>{equation}</answer>\n",
            f"hm </think>\n<answer>\n{equation}\n</answer>",
            f"<answer>{equation}</answer>",
            f"<answer>{equation}",
            f"{equation}</answer>",
            f"{equation}",
            f"<answer>1</answer> no: <answer>{equation}</answer>",
            f"<answer>{equation}</answer> or <answer>1</answer>",
            f"<answer>\n<answer>{equation}</answer>",
            f"<answer><answer>{equation}</answer></answer>",
            f"<ANSWER>{equation}</ANSWER>",
            f"line\n</think> <answer>{equation}</answer>.",
        ]
    )


def random_equation(rng):
    nums = [rng.randint(1, 30) for _ in range(rng.choice([2, 3, 3, 4]))]
    terms = [str(number) for number in nums]
    rng.shuffle(terms)
    while len(terms) > 1:
        at = rng.randrange(len(terms) - 1)
        operator = rng.choice(["+", "-", "*", "/", " + ", " - ", " * ", "//", "**" if rng.random() < 0.3 else "-"])
        joined = f"{terms[at]}{operator}{terms[at + 1]}"
        terms[at : at + 2] = [f"({joined})" if len(terms) > 2 else joined]
    value = value_of(terms[0])
    whole = value is not None and abs(value) < 1e9 and abs(value - round(value)) < 1e-9
    target = int(round(value)) if whole and rng.random() < 0.8 else rng.randint(1, 99)
    if rng.random() < 0.1:
        nums.append(7)
    return terms[0], nums, target


def main():
    rng = random.Random(1)
    rows = [(f"hm </think>\n<answer>{equation}</answer>", nums, target, equation) for equation, nums, target in FIXED]
    for equation, nums, target in [random_equation(rng) for _ in range(170)]:
        rows.append((shapes(rng, equation), nums, target, equation))
    for completion, nums, target, equation in rows:
        for recipe, judge in [("mini-r1", mini_r1), ("tinyzero", tiny_zero)]:
            reward = judge(completion, nums, target)
            one_answer = completion.count("<answer>") == completion.count("</answer>") == 1
            honest = one_answer and is_plain(equation.strip(), nums, target)
            row = {
                "config": {"compat": recipe},
                "completion": completion,
                "columns": {"nums": nums, "target": target},
                "reward": reward,
            }
            if reward == 1.0 and not honest:
                row["hole"] = True
            print(json.dumps(row))


if __name__ == "__main__":
    main()
