"""Runs a program that a model wrote: r1x puts this, and a frozen interpreter, into a component.

Its top level runs once, when the component is built, and loads every module that a program may import later:
a finished component has no file system to load from. `run` is what the host calls, in a sandbox made for this
program. Nothing that is expected of the program ever comes here, so there is nothing here to find or to fake:
a program that tampers with this file changes its own answers only.
"""

import atexit
import builtins
import gc
import importlib
import io
import json
import linecache
import os
import sys
import traceback
import types

import wit_world

import threads
from weave import weave

# What of the standard library a program may import. What this build of Python lacks is left out.
PRELOADED = """
__future__ _strptime abc argparse array ast atexit base64 binascii bisect calendar cmath collections collections.abc
colorsys concurrent.futures concurrent.futures.thread contextlib contextvars copy csv dataclasses datetime decimal difflib dis enum errno fileinput fractions functools
gc getopt graphlib hashlib heapq hmac html html.parser inspect io ipaddress itertools json json.decoder
json.encoder keyword linecache locale logging math numbers opcode operator os os.path pathlib pickle platform
pprint queue random re reprlib sched secrets shlex signal stat statistics string stringprep struct sys tempfile
textwrap threading time timeit token tokenize traceback types typing unicodedata unittest unittest.mock
urllib.parse uuid warnings weakref xml.etree.ElementTree zlib zoneinfo
encodings.ascii encodings.cp1252 encodings.idna encodings.latin_1 encodings.unicode_escape encodings.utf_16
encodings.utf_32 encodings.utf_8_sig
""".split()

# What LiveCodeBench and LeetCode have imported before the program: names of all of these modules, and themselves.
PRELUDE = """
string re datetime collections heapq bisect copy math random statistics itertools functools operator io json typing
""".split()

# Deep enough for recursive solutions; a program may ask for more.
RECURSION = 5000
# Characters a program may write.
OUTPUT = 1 << 20
# Frames and characters of an exception's report.
FRAMES, MESSAGE = 4, 2000
FILE = "program.py"


def preload():
    for name in PRELOADED:
        try:
            importlib.import_module(name)
        except Exception:
            pass


def prelude():
    names = {}
    for name in PRELUDE:
        module = importlib.import_module(name)
        public = getattr(module, "__all__", None) or [name for name in dir(module) if not name.startswith("_")]
        names.update((name, getattr(module, name)) for name in public if hasattr(module, name))
    names = {name: thing for name, thing in names.items() if not hasattr(builtins, name)}
    return names | {name: sys.modules[name] for name in [*PRELUDE, "sys"]} | {"maxsize": sys.maxsize}


def stand_in(name, **things):
    """A module that this build of Python lacks and that programs use to ask for what they have anyway."""
    module = sys.modules[name] = types.ModuleType(name)
    vars(module).update(things)


class Written(io.TextIOBase):
    """What a program writes, up to a limit; its binary side takes UTF-8."""

    encoding = "utf-8"
    errors = "strict"
    mode = "w"

    def __init__(self, number):
        self.number = number
        self.name = "<stdout>" if number == 1 else "<stderr>"
        self.parts = []
        self.left = OUTPUT

    def fileno(self):
        return self.number

    def writable(self):
        return True

    def close(self):
        pass

    def reconfigure(self, **settings):
        pass

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        # Half of a pair of surrogates is no character, and standard output refuses it.
        if self.number == 1 and not text.isascii():
            text.encode("utf-8")
        self.left -= len(text)
        if self.left < 0:
            raise OverflowError(f"the program writes more than {OUTPUT} characters")
        self.parts.append(text)
        return len(text)

    @property
    def buffer(self):
        return Binary(self)

    def text(self):
        return "".join(self.parts)


class Binary(io.RawIOBase):
    def __init__(self, text):
        self.text = text

    def fileno(self):
        return self.text.number

    def writable(self):
        return True

    def close(self):
        pass

    def write(self, data):
        data = bytes(data)
        self.text.write(data.decode("utf-8", "replace"))
        return len(data)


class Input(io.BytesIO):
    """The bytes of standard input; whoever opens it reads on where the others are, and closes nothing."""

    def fileno(self):
        return 0

    def close(self):
        pass

    def peek(self, size=0):
        return self.getvalue()[self.tell() :]


def reader(data):
    """Standard input as text, with its binary side."""
    stream = io.TextIOWrapper(data, encoding="utf-8", errors="replace")
    stream.mode = "r"
    return stream


class Streams:
    """The three streams of one run, by their numbers and their names."""

    def __init__(self, text):
        self.input = Input(text.encode("utf-8", "surrogatepass"))
        self.output, self.errors = Written(1), Written(2)
        sys.stdin = sys.__stdin__ = reader(self.input)
        sys.stdout = sys.__stdout__ = self.output
        sys.stderr = sys.__stderr__ = self.errors

    def opened(self, file, mode):
        """The stream of a number or a path; `None` for a file."""
        if file in (0, "/dev/stdin"):
            return self.input if "b" in mode else reader(self.input)
        if file in (1, "/dev/stdout", 2, "/dev/stderr"):
            stream = self.output if file in (1, "/dev/stdout") else self.errors
            return stream.buffer if "b" in mode else stream
        return None


streams = None


def on_streams():
    """Lets a program reach its streams as numbers: `open(0)`, `os.read(0, size)`, `os.fstat(0).st_size`."""
    plain = {name: getattr(os, name) for name in ("read", "write", "fstat")}
    files = io.open

    def open(file, mode="r", *args, **kwargs):
        known = isinstance(file, (int, str)) and not isinstance(file, bool)
        stream = streams.opened(file, mode) if known else None
        return files(file, mode, *args, **kwargs) if stream is None else stream

    def read(fd, size):
        return streams.input.read(size) if fd == 0 else plain["read"](fd, size)

    def write(fd, data):
        return streams.opened(fd, "wb").write(data) if fd in (1, 2) else plain["write"](fd, data)

    def fstat(fd):
        if fd not in (0, 1, 2):
            return plain["fstat"](fd)
        size = len(streams.input.getvalue()) if fd == 0 else 0
        return os.stat_result((0o100600, 0, 0, 1, 0, 0, size, 0, 0, 0))

    builtins.open = io.open = open
    os.read, os.write, os.fstat = read, write, fstat


def leave(code=None):
    raise SystemExit(code)


def missing(error):
    """The module that an import did not find, unless it is the program's own mistake."""
    name = error.name or ""
    return name if name and name.partition(".")[0] not in ("program",) else ""


def report(error):
    """The exception as a person wants to read it, without the frames of this file."""
    # A program may give an exception a __str__ that fails or never ends; the sandbox cuts the latter.
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == FILE][-FRAMES:]
    lines = traceback.format_list(own) + traceback.format_exception_only(type(error), error)
    return "".join(lines)[-MESSAGE:]


def find(name, scope):
    """A function of the program: a name, or a method of its class `Solution`."""
    if name in scope:
        return scope[name]
    if "Solution" in scope and hasattr(scope["Solution"], name):
        return getattr(scope["Solution"](), name)
    raise NameError(f"the program defines no function {name!r}")


def plain(value):
    """What a function returned, as JSON text. Only plain values count: not what claims to equal them."""
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def status(error):
    code = error.code
    if code is None:
        return 0
    return code if type(code) is int and -(2**31) <= code < 2**31 else 1


def prepare(text):
    """Everything as it is when a Python starts, whatever the run before did to it."""
    global streams
    streams = Streams(text)
    threads.scheduler.reset()
    atexit._clear()
    sys.setrecursionlimit(RECURSION)
    # Work is counted, so that there is no need for a limit on the digits of a number.
    sys.set_int_max_str_digits(0)
    sys.argv = [FILE]


def finish():
    """What happens when a program ends by itself."""
    threads.scheduler.finish()
    atexit._run_exitfuncs()
    # A program may have put anything in its place.
    getattr(sys.stdout, "flush", lambda: None)()


def execute(code, function, text):
    prepare("" if function else text)
    linecache.cache[FILE] = (len(code), None, code.splitlines(True), FILE)
    # A function is defined by a module; a program is the main one.
    module = types.ModuleType("program" if function else "__main__")
    sys.modules[module.__name__] = module
    scope = vars(module)
    scope.update(prelude_names if function else {})
    scope.update(__builtins__=builtins, __file__=FILE, **helpers)
    try:
        try:
            exec(compile(weave(code, FILE) or code, FILE, "exec"), scope)
            if function is not None:
                return "ok", 0, plain(find(function, scope)(*json.loads(text)))
        except SystemExit as error:
            if function is None and status(error) == 0:
                finish()
            return "exit", status(error), streams.output.text()
        finish()
        return "ok", 0, streams.output.text()
    except SystemExit as error:
        return "exit", status(error), streams.output.text()
    except ModuleNotFoundError as error:
        name = missing(error)
        return ("import", 0, name) if name else ("failed", 0, report(error))
    except MemoryError:
        return "failed", 0, "MemoryError"
    except BaseException as error:
        return "failed", 0, report(error)


class WitWorld(wit_world.WitWorld):
    """What the host calls."""

    def run(self, code, function, input):
        try:
            word, number, text = execute(code, function, input)
        except BaseException as error:
            # The report of an exception can itself raise one.
            word, number, text = "failed", 0, type(error).__name__
        return word, number, text.encode("utf-8", "replace").decode("utf-8")


preload()
threads.install()
on_streams()
for name in ("exit", "quit"):
    setattr(builtins, name, leave)
stand_in(
    "resource",
    RLIMIT_STACK=3, RLIMIT_AS=9, RLIMIT_DATA=2, RLIM_INFINITY=-1, error=OSError,
    setrlimit=lambda which, limits: None, getrlimit=lambda which: (-1, -1),
)
helpers = {"r1x_call": threads.call, "r1x_enter": threads.enter, "r1x_pair": threads.pair}
prelude_names = prelude()
gc.collect()
gc.freeze()
