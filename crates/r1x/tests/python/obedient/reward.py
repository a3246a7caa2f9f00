"""Does what the first word of a completion orders, however hostile."""

import importlib
import os
import random
import re
import socket
import subprocess
import sys
import threading
import time

from words import WORDS

CALLS = 0


class Short(Exception):
    """Makes the function return a list of the wrong length."""


def deeper(depth):
    return deeper(depth + 1) + 1


def late():
    import colorsys  # Nothing else here imports it.

    return colorsys.rgb_to_hsv(1, 0, 0)[2]


def guarded():
    try:
        import numpy
    except ImportError:
        return 0.5
    return numpy.nan


def exceptional(rest):
    if rest == "loop":
        while True:
            pass
    if rest == "memory":
        return len([bytes(1 << 20) for _ in range(1 << 20)])
    if rest == "recursion":
        return deeper(0)
    if rest == "exit":
        sys.exit(3)
    if rest == "hard exit":
        os._exit(3)
    if rest == "abort":
        os.abort()
    if rest == "regex":
        return float(bool(re.match(r"(a+)+$", "a" * 64 + "b")))
    if rest == "power":
        return 9**9**9
    if rest == "key":
        return {}["missing"]
    if rest == "short":
        raise Short
    raise ValueError(rest)


def reaching(rest):
    if rest == "file":
        return len(open("/etc/passwd").read())
    if rest == "own file":
        return len(open(__file__).read())
    if rest == "write":
        return open("/tmp/x", "w").write("x")
    if rest == "folder":
        return len(os.listdir("/"))
    if rest == "connect":
        return bool(socket.create_connection(("127.0.0.1", 80), timeout=1))
    if rest == "udp":
        return bool(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    if rest == "name":
        return len(socket.getaddrinfo("localhost", 80))
    if rest == "process":
        return subprocess.run(["true"]).returncode
    if rest == "thread":
        return threading.Thread(target=print).start()
    if rest == "input":
        return len(input())
    if rest == "module":
        return bool(importlib.import_module("num" + "py"))
    raise ValueError(rest)


def odd(rest):
    return {
        "nan": float("nan"),
        "infinity": float("inf"),
        "text": "1.0",
        "huge": 10**400,
        "list": [1.0],
        "keys": {"rewards": 1.0},
        "undeclared": {"reward": 1.0, "parts": {"surprise": 1.0}},
    }[rest]


def told(rest):
    if rest == "flood":
        for line in range(10_000):
            print("line", line)
    if rest == "long":
        print("x" * 1_000_000)
    if rest == "stderr":
        print("to stderr", file=sys.stderr)
    if rest == "surrogate":
        print("\ud800")
    return 1.0


def facts(order, nums):
    global CALLS
    if order == "environment":
        return sum(1 for name in os.environ if not name.startswith("PYTHON"))
    if order == "time":
        return time.time()
    if order == "slept":
        began = time.monotonic()
        time.sleep(3600)
        return float(time.monotonic() - began >= 3600)
    if order == "random":
        return random.random() + os.urandom(1)[0]
    if order == "calls":
        CALLS += 1
        return CALLS
    if order == "words":
        return len(WORDS)
    if order == "late":
        return late()
    if order == "guarded":
        return guarded()
    if order == "changed":
        nums.append(0)
        return len(nums)
    raise ValueError(order)


def obey(order, nums):
    word, _, rest = order.partition(" ")
    if word == "give":
        return float(rest)
    if word == "abstain":
        return None
    if word == "parts":
        return {"reward": True, "parts": {"form": 0.25}, "info": "because"}
    if word == "do":
        return exceptional(rest)
    if word == "reach":
        return reaching(rest)
    if word == "return":
        return odd(rest)
    if word == "tell":
        return told(rest)
    return facts(order, nums)


def judge(completions, nums, target=0, config={}, **kwargs):
    """Obeys."""
    try:
        scores = [obey(order, mine) for order, mine in zip(completions, nums)]
    except Short:
        return [0.0] * (len(completions) + 1)
    return [config.get("instead", score) for score in scores]
