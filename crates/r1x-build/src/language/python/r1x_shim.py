"""The plugin around an author's function: r1x puts it into every reward written in Python.

Its top level runs once, when the component is built, inside the sandbox of componentize-py: it loads the
author's module, reads the function's signature, and loads every module the function may ask for later,
because a finished component has no file system to load from. Python is then frozen as it stands. What runs
for each batch is `score_batch`.
"""

import ast
import gc
import importlib
import importlib.util
import inspect
import json
import linecache
import math
import os
import sys
import traceback

import wit_world
from componentize_py_types import Err
from wit_world.imports import types

# What the standard library offers to a reward. What this build of Python lacks is left out.
PRELOADED = """
abc array ast base64 binascii bisect cmath collections collections.abc contextlib copy csv dataclasses datetime
_strptime decimal difflib enum fractions functools hashlib heapq hmac html html.parser itertools json keyword
math numbers operator random re statistics string struct textwrap time tokenize types typing unicodedata
urllib.parse warnings encodings.ascii encodings.cp1252 encodings.idna encodings.latin_1 encodings.unicode_escape
encodings.utf_16 encodings.utf_32 encodings.utf_8_sig
""".split()

# Parameters that r1x fills itself; every other one is a column of the data.
COMPLETIONS, PROMPTS, GROUPS, CONFIG = "completions", "prompts", "groups", "config"

# Frames shown of an exception; the last ones are nearest to its cause.
FRAMES = 6
# Characters of an explanation, within the host's limit.
EXPLANATION = 3500


class Refused(Exception):
    """The sources cannot become a plugin; the message says what, where and how to mend it."""


def refuse(message):
    raise Refused(message)


# --- when the component is built ---------------------------------------------------------------------


def author_folder():
    """The folder that holds the author's files: the one on the path with the note of the build in it."""
    for folder in sys.path:
        if os.path.isfile(os.path.join(folder, "r1x_build.json")):
            return folder
    refuse("the build has no r1x_build.json: this is a bug of r1x")


def preload():
    for name in PRELOADED:
        try:
            importlib.import_module(name)
        except ImportError:
            pass


def shown(path):
    """A path as the author knows it."""
    path = os.path.normpath(path)
    return os.path.relpath(path, FOLDER) if path.startswith(FOLDER + os.sep) else path


def is_authors(path):
    return os.path.normpath(path).startswith(FOLDER + os.sep)


def load_entry(path):
    """The author's module. Its top level runs here, and never again."""
    parts = path.removesuffix(".py").replace("\\", "/").split("/")
    if all(part.isidentifier() for part in parts):
        module = importlib.import_module(".".join(parts))
        if not is_authors(getattr(module, "__file__", None) or ""):
            refuse(f"{path}: Python has a module of this name already: rename the file")
        return module
    name = "".join(c if c.isidentifier() or c.isdigit() else "_" for c in "_".join(parts))
    spec = importlib.util.spec_from_file_location("plugin_" + name, os.path.join(FOLDER, path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def sources():
    """Files of the author that were loaded, with their text."""
    found = {}
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if path and path.endswith(".py") and is_authors(path):
            with open(path, encoding="utf-8") as file:
                found[path] = file.read()
    return found


class Imports(ast.NodeVisitor):
    """Modules that functions import when they run, with their lines."""

    def __init__(self):
        self.found = []
        self.depth = 0
        self.guarded = 0

    def function(self, node):
        self.depth += 1
        self.generic_visit(node)
        self.depth -= 1

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = function

    def visit_Try(self, node):
        # `try: import x` with a handler that takes the failure is the author's own answer to it.
        taken = ("ImportError", "ModuleNotFoundError", "Exception", "BaseException")
        handles = any(
            handler.type is None
            or any(isinstance(n, ast.Name) and n.id in taken for n in ast.walk(handler.type))
            for handler in node.handlers
        )
        self.guarded += handles
        for child in node.body:
            self.visit(child)
        self.guarded -= handles
        for child in [*node.handlers, *node.orelse, *node.finalbody]:
            self.visit(child)

    def add(self, node, name, level=0):
        if self.depth:
            self.found.append((node.lineno, name, level, bool(self.guarded)))

    def visit_Import(self, node):
        for alias in node.names:
            self.add(node, alias.name)

    def visit_ImportFrom(self, node):
        self.add(node, node.module or "", node.level)
        # `from package import module` may name a module of its own.
        for alias in node.names:
            if self.depth and alias.name != "*":
                name = f"{node.module}.{alias.name}" if node.module else alias.name
                self.found.append((node.lineno, name, node.level, True))

    def visit_Call(self, node):
        name = getattr(node.func, "id", getattr(node.func, "attr", None))
        if name in ("__import__", "import_module") and node.args:
            if isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str):
                self.add(node, node.args[0].value)
        self.generic_visit(node)


def hoist_imports():
    """Loads what functions import later, in all files, until nothing new appears."""
    seen = set()
    while True:
        fresh = {path: text for path, text in sources().items() if path not in seen}
        if not fresh:
            return
        for path, text in fresh.items():
            seen.add(path)
            imports = Imports()
            imports.visit(ast.parse(text, path))
            package = next(
                (m.__package__ for m in sys.modules.values() if getattr(m, "__file__", None) == path), None
            )
            for line, name, level, optional in imports.found:
                try:
                    importlib.import_module("." * level + name, package)
                except Exception as error:
                    if not optional:
                        refuse(
                            f"{shown(path)}:{line}: the import of `{name}` inside a function fails: {error}. "
                            + MODULES
                        )


MODULES = (
    "A reward has the standard library and the files beside it in its own folder with a plugin.toml; "
    "packages with native code, such as numpy, cannot run in the sandbox"
)


def keep_sources():
    """Lets tracebacks show lines when the files are gone."""
    for path, text in sources().items():
        linecache.cache[path] = (len(text), None, text.splitlines(True), path)


def declared_parts(module):
    """Names of sub-scores: the module's `PARTS`, or the keys of every literal `"parts": {...}` in the files."""
    if hasattr(module, "PARTS"):
        parts = module.PARTS
        if isinstance(parts, str) or not all(isinstance(part, str) for part in parts):
            refuse("PARTS must be a list of texts")
        return list(dict.fromkeys(parts))
    names = {}
    for text in sources().values():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Dict):
                for key, value in zip(node.keys, node.values):
                    if getattr(key, "value", None) == "parts" and isinstance(value, ast.Dict):
                        for name in value.keys:
                            if isinstance(getattr(name, "value", None), str):
                                names[name.value] = None
    return sorted(names)


class Signature:
    """What the author's function asks for."""

    def __init__(self, function, where):
        self.columns, self.optional = [], []
        self.reserved = set()
        for name, parameter in inspect.signature(function).parameters.items():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                continue
            if parameter.kind is parameter.POSITIONAL_ONLY:
                refuse(f"{where}: the parameter `{name}` is positional only; r1x passes everything by name")
            if name in (COMPLETIONS, PROMPTS, GROUPS, CONFIG):
                self.reserved.add(name)
            elif parameter.default is parameter.empty:
                self.columns.append(name)
            else:
                self.optional.append(name)
        if COMPLETIONS not in self.reserved:
            refuse(f"{where} has no parameter `completions`: write `def reward(completions, **kwargs)`")


def find_function(module, name, path):
    function = getattr(module, name, None)
    if function is None:
        tree = ast.parse(sources()[module.__file__])
        known = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        there = f"its functions are: {', '.join(known)}" if known else "it has no functions"
        hint = f"name one in a plugin.toml: entry = \"{path}:{known[-1]}\"" if known else "write one"
        refuse(f"{path} has no function `{name}`; {there}. Rename the one that judges to `{name}`, or {hint}")
    if not callable(function):
        refuse(f"{path}: `{name}` is {type(function).__name__}, not a function")
    if inspect.iscoroutinefunction(function):
        refuse(f"{path}: `{name}` is asynchronous; a reward has nothing to wait for: write `def {name}`")
    return function


def first_line(text):
    return next((line.strip() for line in (text or "").splitlines() if line.strip()), "")


def build():
    """Everything that can be done before the first batch. Its result is frozen into the component."""
    with open(os.path.join(FOLDER, "r1x_build.json"), encoding="utf-8") as file:
        note = json.load(file)
    preload()
    module = load_entry(note["path"])
    function = find_function(module, note["function"], note["path"])
    where = f"{note['path']}: `{note['function']}`"
    signature = Signature(function, where)
    hoist_imports()
    keep_sources()
    needs = types.Needs(0)
    if PROMPTS in signature.reserved:
        needs |= types.Needs.PROMPT
    if GROUPS in signature.reserved:
        needs |= types.Needs.GROUPS
    about = types.PluginInfo(
        name=note["name"],
        version=note["version"],
        description=note["description"] or first_line(function.__doc__) or first_line(module.__doc__),
        needs=needs,
        columns=signature.columns,
        optional_columns=signature.optional,
        parts=declared_parts(module),
        min=None,
        max=None,
        config_schema=None,
    )
    # The same numbers in every build and instance.
    sys.modules["random"].seed(0)
    # Deeper recursion would overflow the sandbox's stack before Python notices.
    sys.setrecursionlimit(RECURSION)
    return function, signature, about


RECURSION = 1000


def told(error):
    """An author's mistake at the top level of a module, with its place."""
    if isinstance(error, Refused):
        return str(error)
    text = explanation(error)
    return text + ("\n" + MODULES if isinstance(error, ImportError) else "")


# --- for each batch ----------------------------------------------------------------------------------


class Wrong(Exception):
    """What the author's function returned cannot be used; the message says why."""


def raised(error, frames):
    """An exception in one line, with the author's line that led to it."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    where = f" at {shown(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""
    message = str(error).strip()
    return f"raised {name}{where}" + (f": {message}" if message else "")


def explanation(error):
    """An exception in words, the summary first and then the author's frames with their lines."""
    try:
        if isinstance(error, Wrong):
            return str(error)[:EXPLANATION]
        frames = [f for f in traceback.extract_tb(error.__traceback__) if is_authors(f.filename)]
        if isinstance(error, SyntaxError) and is_authors(error.filename or ""):
            summary = f"{shown(error.filename)}:{error.lineno}: {error.msg}: {(error.text or '').strip()}"
        else:
            summary = raised(error, frames)
        lines = [summary]
        for frame in reversed(frames[-FRAMES:]):
            lines.append(f"  {shown(frame.filename)}:{frame.lineno}, in {frame.name}: {frame.line}")
        text = "\n".join(lines)
    except BaseException:
        text = type(error).__name__
    return text[:EXPLANATION]


def failed(reason):
    """A score that the host records as a failure with its reason: a reward that is no number, and this word."""
    return types.Score(math.nan, [], "r1x-failed:" + reason)


def number(value):
    kind = type(value)
    if kind is float:
        return value
    if kind is str or not hasattr(kind, "__float__"):
        raise Wrong(f"the function returned {value!r:.80}, which is {kind.__name__}, not a number")
    return float(value)


def score(value):
    """One element of what the author returned as a score."""
    if value is None:
        return types.Score(None, [], None)
    try:
        if not isinstance(value, dict):
            return types.Score(number(value), [], None)
        unknown = [key for key in value if key not in ("reward", "parts", "info")]
        if unknown or "reward" not in value:
            there = ", ".join(map(repr, value))
            raise Wrong(f"a score may have `reward`, `parts` and `info`, and needs `reward`; it has {there}")
        reward, parts, info = value["reward"], value.get("parts") or {}, value.get("info")
        return types.Score(
            None if reward is None else number(reward),
            [types.Part(str(name), number(part)) for name, part in parts.items()],
            None if info is None else str(info),
        )
    except Wrong as error:
        return failed(str(error))
    except BaseException as error:
        return failed(f"the function returned a score that cannot be read: {type(error).__name__}: {error}")


def fresh(value):
    """A copy of a column's value, so that one rollout's judge cannot change what the next one sees."""
    kind = type(value)
    if kind is list:
        return [fresh(item) for item in value]
    if kind is dict:
        return {key: fresh(item) for key, item in value.items()}
    return value


def add_columns(arguments, batch):
    signature = PLUGIN.signature
    if not (signature.columns or signature.optional):
        return
    text, parsed, rows = None, None, []
    for rollout in batch:
        # Rollouts of one group have the same columns.
        if rollout.columns != text:
            text, parsed = rollout.columns, json.loads(rollout.columns)
        rows.append(parsed)
    for name in signature.columns:
        if not all(name in row for row in rows):
            raise Wrong(f"the column `{name}` is missing")
        arguments[name] = [fresh(row[name]) for row in rows]
    for name in signature.optional:
        if any(name in row for row in rows):
            arguments[name] = [fresh(row.get(name)) for row in rows]


def call(batch):
    """One call of the author's function."""
    reserved = PLUGIN.signature.reserved
    arguments = {COMPLETIONS: [rollout.completion for rollout in batch]}
    if PROMPTS in reserved:
        arguments[PROMPTS] = [rollout.prompt for rollout in batch]
    if GROUPS in reserved:
        arguments[GROUPS] = [rollout.group for rollout in batch]
    if CONFIG in reserved:
        arguments[CONFIG] = fresh(PLUGIN.config)
    add_columns(arguments, batch)
    values = PLUGIN.function(**arguments)
    if isinstance(values, (str, bytes, dict)) or not hasattr(type(values), "__iter__"):
        raise Wrong(f"the function returned {values!r:.80}, not a list with one score per completion")
    values = list(values)
    if len(values) != len(batch):
        raise Wrong(f"the function returned {len(values)} scores for {len(batch)} completions")
    return [score(value) for value in values]


def units(batch):
    """What may be judged alone: a rollout, or a group for a function that looks at groups."""
    if GROUPS not in PLUGIN.signature.reserved:
        return [[rollout] for rollout in batch]
    parts = []
    for rollout in batch:
        if parts and parts[-1][-1].group == rollout.group:
            parts[-1].append(rollout)
        else:
            parts.append([rollout])
    return parts


def judge(batch):
    """Scores a batch; when the function fails on it, the rollouts at fault pay for themselves only."""
    try:
        return call(batch)
    except BaseException as error:
        parts = units(batch)
        if len(parts) < 2:
            return [failed(explanation(error))] * len(batch)
    return [one for part in parts for one in judge(part)]


class WitWorld(wit_world.WitWorld):
    """What the host calls."""

    function = signature = about = None
    config = {}

    def info(self):
        return PLUGIN.about

    def configure(self, config_json):
        try:
            config = json.loads(config_json) if config_json.strip() else {}
            if config is None:
                config = {}
            if not isinstance(config, dict):
                raise ValueError("the configuration must be an object")
            if config and CONFIG not in PLUGIN.signature.reserved:
                keys = ", ".join(map(str, config))
                raise ValueError(f"this reward takes none, but got {keys}: give its function a parameter `config`")
            PLUGIN.config = config
        except Exception as error:
            raise Err(types.Error_BadConfig(str(error)))

    def score_batch(self, batch):
        return judge(batch) if batch else []


PLUGIN = WitWorld
try:
    FOLDER = os.path.normpath(author_folder())
    PLUGIN.function, PLUGIN.signature, PLUGIN.about = build()
except BaseException as error:
    print("r1x-refused:" + json.dumps(told(error)), file=sys.stderr)
    raise
gc.collect()
gc.freeze()
gc.set_threshold(100_000)
