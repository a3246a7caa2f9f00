"""Runs a program that a model wrote: r1x puts this, and a frozen interpreter, into a component.

Its top level runs once, when the component is built, and loads every module that a program may import later:
a finished component has no file system to load from. `run` is what the host calls, in a sandbox made for this
program. Nothing that is expected of the program ever comes here, so there is nothing here to find or to fake:
a program that tampers with this file changes its own answers only.
"""

import builtins
import gc
import importlib
import io
import json
import linecache
import sys
import traceback

import wit_world

# What of the standard library a program may import. What this build of Python lacks is left out.
PRELOADED = """
__future__ _strptime abc argparse array ast base64 binascii bisect calendar cmath collections collections.abc
colorsys contextlib copy csv dataclasses datetime decimal difflib dis enum errno fileinput fractions functools
gc getopt graphlib hashlib heapq hmac html html.parser inspect io ipaddress itertools json json.decoder
json.encoder keyword linecache locale logging math numbers opcode operator os os.path pathlib pickle platform
pprint queue random re reprlib secrets shlex signal stat statistics string stringprep struct sys tempfile
textwrap threading time timeit token tokenize traceback types typing unicodedata unittest unittest.mock
urllib.parse uuid warnings weakref xml.etree.ElementTree zlib zoneinfo
encodings.ascii encodings.cp1252 encodings.idna encodings.latin_1 encodings.unicode_escape encodings.utf_16
encodings.utf_32 encodings.utf_8_sig
""".split()

# Deep enough for recursive solutions; the sandbox's own stack is the limit behind it.
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


class Written(io.TextIOBase):
    """What a program writes, up to a limit; its binary side takes UTF-8."""

    encoding = "utf-8"
    errors = "replace"

    def __init__(self):
        self.parts = []
        self.left = OUTPUT

    def writable(self):
        return True

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
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

    def writable(self):
        return True

    def write(self, data):
        data = bytes(data)
        self.text.write(data.decode("utf-8", "replace"))
        return len(data)


def reader(text):
    """Standard input that has this text, with its binary side."""
    return io.TextIOWrapper(io.BytesIO(text.encode("utf-8", "surrogatepass")), encoding="utf-8", errors="replace")


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


def execute(code, function, text):
    written = Written()
    sys.stdin, sys.stdout, sys.stderr = reader("" if function else text), written, Written()
    linecache.cache[FILE] = (len(code), None, code.splitlines(True), FILE)
    # A function is defined by a module; a program is the main one.
    scope = {"__name__": "program" if function else "__main__", "__builtins__": builtins}
    try:
        exec(compile(code, FILE, "exec"), scope)
        if function is None:
            return "ok", 0, written.text()
        return "ok", 0, plain(find(function, scope)(*json.loads(text)))
    except SystemExit as error:
        return "exit", status(error), written.text()
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
sys.setrecursionlimit(RECURSION)
gc.collect()
gc.freeze()
