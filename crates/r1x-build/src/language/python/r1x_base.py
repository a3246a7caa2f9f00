"""What a reward may import, loaded before the component is finished.

Runs once, when a base is built, inside the sandbox of componentize-py: it loads the standard library's modules
that rewards use, and the packages that a reward names, and Python is then frozen as it stands. A base knows no
author: any number of rewards with the same packages share it. Must not know what a reward is.
"""

import contextlib
import dis
import importlib
import importlib.util
import io
import marshal
import os
import sys
import warnings

# What the standard library offers to a reward at once. What this build of Python lacks is left out; the rest of
# the library is loaded from the component's own files when it is imported.
PRELOADED = """
__future__ _strptime abc argparse array ast base64 binascii bisect calendar cmath codecs collections
collections.abc colorsys contextlib contextvars copy csv dataclasses datetime decimal difflib dis enum errno
fnmatch fractions functools glob graphlib hashlib heapq hmac html html.parser importlib.metadata
importlib.resources inspect io ipaddress itertools json keyword linecache locale logging math numbers operator
os pathlib pickle pkgutil platform pprint queue random re reprlib secrets shlex shutil signal stat statistics
string stringprep struct tempfile textwrap threading time timeit token tokenize traceback types typing
unicodedata urllib.parse uuid warnings weakref xml.etree.ElementTree zlib zoneinfo
encodings.ascii encodings.cp1252 encodings.idna encodings.latin_1 encodings.unicode_escape encodings.utf_16
encodings.utf_32 encodings.utf_8_sig
""".split()

# Where things lie: when a base is built because of the order in which folders are given to componentize-py, and
# in a finished component because the host shows its files there. A package's `__file__` holds in both.
LIBRARY, PACKAGES, AUTHOR = "/python", "/1", "/2"
# Where files are left for the component to carry, below the names of their folders.
LEFT = "/0/left"

# Deeper recursion would overflow the sandbox's stack before Python notices.
RECURSION = 1000
# Bytes of source that are compiled beforehand although nothing has imported them: what functions name, and what
# nothing names. Beyond it a module that is reached after all is compiled then.
COMPILED_BYTES, REST_BYTES = 16 << 20, 2 << 20

IMPORT_NAME = dis.opmap["IMPORT_NAME"]
# Folders with tests, which no reward imports.
TESTS = ("test", "tests")
# The flag of code that is a function, unlike the body of a module or a class.
OPTIMIZED = 0x1


def attempt(name, package=None):
    """Imports a module; what goes wrong inside a package is its own business, until something asks for it."""
    try:
        return importlib.import_module(name, package)
    except BaseException:
        return None


def function_imports(code, inside=False):
    """What the functions of a module import when they run: (level, name, names), from its compiled form. With
    `inside`, what its top level imports as well."""
    if inside:
        opcodes = code.co_code[::2]
        at = opcodes.find(IMPORT_NAME)
        while at >= 0:
            # The level and the list of names are pushed by the two instructions before.
            yield from import_at(code, at)
            at = opcodes.find(IMPORT_NAME, at + 1)
    for constant in code.co_consts:
        if hasattr(constant, "co_code"):
            # A class's body runs with the module; only what it defines runs later.
            yield from function_imports(constant, inside or bool(constant.co_flags & OPTIMIZED))


def import_at(code, at):
    operand, shift = code.co_code[2 * at + 1], at - 1
    if shift >= 0 and code.co_code[2 * shift] == dis.EXTENDED_ARG:
        operand |= code.co_code[2 * shift + 1] << 8
        shift -= 1
    name = code.co_names[operand] if operand < len(code.co_names) else None
    pushed = []
    while shift >= 0 and len(pushed) < 2:
        opcode, argument = code.co_code[2 * shift], code.co_code[2 * shift + 1]
        if opcode == dis.opmap.get("LOAD_SMALL_INT"):
            pushed.append(argument)
        elif opcode == dis.opmap["LOAD_CONST"]:
            if shift and code.co_code[2 * shift - 2] == dis.EXTENDED_ARG:
                argument |= code.co_code[2 * shift - 1] << 8
                shift -= 1
            pushed.append(code.co_consts[argument] if argument < len(code.co_consts) else None)
        elif opcode != dis.EXTENDED_ARG:
            return
        shift -= 1
    if name is not None and len(pushed) == 2 and isinstance(pushed[1], int):
        names = pushed[0] if isinstance(pushed[0], tuple) else ()
        yield pushed[1], name, names


def packaged():
    """Loaded modules of packages that were found as files."""
    prefix = PACKAGES + "/"
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if isinstance(path, str) and path.startswith(prefix) and getattr(module, "__spec__", None):
            yield module


def compiled(module):
    try:
        return module.__spec__.loader.get_code(module.__spec__.name)
    except BaseException:
        return None


def module_files(level, name, names, package):
    """Files of packages that an import may load, found without importing anything."""
    if level:
        base = package.split(".")
        base = base[: len(base) - level + 1]
        name = ".".join(base + ([name] if name else []))
    parts = name.split(".")
    for module in [".".join(parts[:at]) for at in range(1, len(parts) + 1)] + [f"{name}.{one}" for one in names]:
        path = PACKAGES + "/" + module.replace(".", "/")
        for file in (path + ".py", path + "/__init__.py"):
            if os.path.isfile(file):
                yield file, module, module if file.endswith("__init__.py") else module.rpartition(".")[0]


def compile_ahead():
    """Compiles what functions of loaded modules import later, and what that needs in turn.

    It is not loaded: in a package such an import may be one that it can do without, may fail, or may never be
    reached, as anywhere else. Compiled, it costs little when it is reached.
    """
    loaded = {module.__file__ for module in packaged()}
    waiting = []
    for module in packaged():
        code = compiled(module)
        if code:
            waiting += [(one, module.__package__) for one in function_imports(code)]
    done, left = set(), COMPILED_BYTES
    while waiting:
        (level, name, names), package = waiting.pop()
        for file, module, of in module_files(level, name, names, package or ""):
            if file in loaded or file in done:
                continue
            done.add(file)
            left -= os.path.getsize(file)
            if left < 0:
                return done
            code = compile_file(file)
            if code:
                waiting += [(one, of) for one in function_imports(code, inside=True)]
    return done


def compile_rest(done):
    """Compiles modules of packages that nothing imports by name, the smallest first: some packages compute the
    names of their own modules."""
    found = []
    for folder, folders, files in os.walk(PACKAGES):
        folders[:] = [one for one in folders if one not in TESTS]
        found += [os.path.join(folder, file) for file in files if file.endswith(".py")]
    loaded = {module.__file__ for module in packaged()}
    sized = sorted((os.path.getsize(path), path) for path in found if path not in loaded and path not in done)
    left = REST_BYTES
    for size, path in sized:
        left -= size
        if left < 0:
            return
        compile_file(path)


def compile_file(path):
    cached = LEFT + importlib.util.cache_from_source(path)
    try:
        with open(path, "rb") as file:
            source = file.read()
        code = compile(source, path, "exec", dont_inherit=True)
        os.makedirs(os.path.dirname(cached), exist_ok=True)
        with open(cached, "wb") as file:
            # Valid whatever the time of the source is: nothing can change in a component.
            flags = (1).to_bytes(4, "little")
            hashed = importlib.util.source_hash(source)
            file.write(importlib.util.MAGIC_NUMBER + flags + hashed + marshal.dumps(code))
        return code
    except (SyntaxError, ValueError, OSError, RecursionError):
        # A file that does not compile fails when it is imported, with its own words.
        return None


def leave_library():
    """Leaves the rest of the standard library for the component to carry: what is imported all the same."""
    loaded = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    for folder, folders, files in os.walk(LIBRARY):
        folders[:] = [one for one in folders if one not in ("__pycache__", *TESTS)]
        for file in files:
            path = os.path.join(folder, file)
            if path not in loaded:
                os.makedirs(LEFT + folder, exist_ok=True)
                with open(path, "rb") as source, open(LEFT + path, "wb") as target:
                    target.write(source.read())


def still_alarms():
    """Lets packages set the alarm by which they limit their own time, as systems have it.

    It never rings: time stands still in here, and the host limits that of every call. Without the functions a
    package that catches every exception would answer wrongly, and nobody would know why.
    """
    import signal

    handlers = {}
    set_handler, get_handler = signal.signal, signal.getsignal

    def own_signal(number, handler):
        try:
            return set_handler(number, handler)
        except (ValueError, OSError):
            before = handlers.get(number, signal.SIG_DFL)
            handlers[number] = handler
            return before

    def own_getsignal(number):
        try:
            return get_handler(number)
        except (ValueError, OSError):
            return handlers.get(number, signal.SIG_DFL)

    signal.signal, signal.getsignal = own_signal, own_getsignal
    for name, number in (("SIGALRM", 14), ("ITIMER_REAL", 0), ("ITIMER_VIRTUAL", 1), ("ITIMER_PROF", 2)):
        if not hasattr(signal, name):
            setattr(signal, name, number)
    if not hasattr(signal, "alarm"):
        signal.alarm = lambda seconds: 0
    if not hasattr(signal, "setitimer"):
        signal.setitimer = lambda which, seconds, interval=0.0: (0.0, 0.0)
        signal.getitimer = lambda which: (0.0, 0.0)


@contextlib.contextmanager
def quiet():
    """What packages print while they are loaded is nobody's business, and the packager's pipe is short."""
    streams = sys.stdout, sys.stderr
    sys.stdout = sys.stderr = io.StringIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.stdout, sys.stderr = streams


def build(modules):
    """Loads everything; `modules` are those that the author's files name."""
    with quiet():
        for name in PRELOADED:
            attempt(name)
        still_alarms()
        for name in modules:
            attempt(name)
        compile_rest(compile_ahead())
        leave_library()


def finish():
    """What the finished component finds its modules by."""
    # The same numbers in every build and instance.
    sys.modules["random"].seed(0)
    sys.setrecursionlimit(RECURSION)
    sys.dont_write_bytecode = True
    sys.path[:] = [LIBRARY, PACKAGES]
    importlib.invalidate_caches()
    sys.path_importer_cache.clear()


def sweep():
    """Overwrites memory that is free: loading leaves much of it behind, and what lies in it would be frozen too.

    Blocks of every size that the allocators keep apart, all held at once and then given back. What is not used
    again is zeros, which a component does not store.
    """
    held = [[bytes(size) for _ in range(3000)] for size in range(0, 480, 16)]
    for size, count in ((1 << 16, 400), (1 << 12, 2000), (1 << 10, 4000)):
        held.append([bytearray(size) for _ in range(count)])
