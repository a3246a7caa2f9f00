"""The author's files: read and checked once, when the reward is built; loaded in every instance.

`prepare` runs when the plugin is built. It finds out what the author's function asks for, refuses what cannot
work with its place, and returns everything compiled. `load` runs what `prepare` returned: an edit of a reward
changes nothing else of the component. Must not know what a batch is.
"""

import ast
import importlib
import importlib.machinery
import importlib.util
import inspect
import io
import json
import marshal
import os
import sys
import traceback

from r1x_base import AUTHOR

# What the build tells this side, and what this side tells itself in every instance.
NOTE, LAYER = AUTHOR + "/r1x_build.json", AUTHOR + "/r1x_layer"

# Parameters that r1x fills itself; every other one is a column of the data.
COMPLETIONS, PROMPTS, GROUPS, CONFIG = "completions", "prompts", "groups", "config"

# Frames shown of an exception; the last ones are nearest to its cause.
FRAMES = 6
# Characters of an explanation, within the host's limit.
EXPLANATION = 3500

MODULES = (
    "A reward has the standard library, the files beside it in its own folder with a plugin.toml, and the packages "
    "that its `requirements` name; packages with native code, such as numpy, cannot run in the sandbox"
)


class Refused(Exception):
    """The sources cannot become a plugin; the message says what, where and how to mend it."""


class Wrong(Exception):
    """What the author's function returned cannot be used; the message says why."""


def refuse(message):
    raise Refused(message)


# --- words ---------------------------------------------------------------------------------------------


def shown(path):
    """A path as the author knows it."""
    path = os.path.normpath(path)
    return os.path.relpath(path, AUTHOR) if is_authors(path) else path


def is_authors(path):
    return os.path.normpath(path).startswith(AUTHOR + "/")


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
        if isinstance(error, (Wrong, Refused)):
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


def told(error):
    """An author's mistake at the top level of a module, with its place."""
    return explanation(error) + ("\n" + MODULES if isinstance(error, ImportError) else "")


# --- modules -------------------------------------------------------------------------------------------


class Loader:
    """Runs a module of the author's from its compiled form."""

    def __init__(self, name, path, code, source):
        self.name, self.path, self.code, self.source = name, path, code, source

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        exec(self.get_code(self.name), module.__dict__)

    def get_code(self, name):
        # A file that does not compile says so when it is imported.
        return self.code or compile(self.source, self.path, "exec", dont_inherit=True)

    def get_source(self, name):
        if self.source is None:
            return self.get_data(self.path).decode()
        return self.source

    def is_package(self, name):
        return os.path.basename(self.path) == "__init__.py"

    def get_data(self, path):
        with open(path, "rb") as file:
            return file.read()

    def get_resource_reader(self, name):
        from importlib.readers import FileReader

        return FileReader(self)


class Finder:
    """Finds the author's modules before any other."""

    def __init__(self, files):
        # By name: (path, code or None, source).
        self.files = files

    def find_spec(self, name, path=None, target=None):
        if name not in self.files:
            return self.namespace(name)
        loader = Loader(name, *self.files[name])
        spec = importlib.machinery.ModuleSpec(name, loader, origin=loader.path, is_package=loader.is_package(name))
        spec.has_location = True
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations.append(os.path.dirname(loader.path))
        return spec


    def namespace(self, name):
        """A folder with modules and no `__init__.py`."""
        if not any(one.startswith(name + ".") for one in self.files):
            return None
        spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations.append(f"{AUTHOR}/{name.replace('.', '/')}")
        return spec


def module_name(path):
    """The name under which a file is imported; one that no import could name gets a name of its own."""
    parts = path.removesuffix(".py").split("/")
    if all(part.isidentifier() for part in parts):
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return "plugin_" + "".join(c if c.isidentifier() or c.isdigit() else "_" for c in "_".join(parts))


def read_files():
    """The author's modules by name, compiled where they compile."""
    files = {}
    for folder, _, names in os.walk(AUTHOR):
        for name in sorted(names):
            path = os.path.join(folder, name)
            if name.endswith(".py"):
                with open(path, encoding="utf-8") as file:
                    source = file.read()
                try:
                    code = compile(source, path, "exec", dont_inherit=True)
                except (SyntaxError, ValueError):
                    code = None
                files[module_name(os.path.relpath(path, AUTHOR))] = (path, code, source)
    return files


def load_entry(path, files):
    """The author's module. Everything it imports of the author's own is loaded with it."""
    name = module_name(path)
    found = importlib.util.find_spec(name.partition(".")[0])
    # While a top level is being frozen, the author's folder is one of those that Python looks into.
    if found is not None and not is_authors(found.origin or ""):
        refuse(f"{path}: Python has a module of this name already: rename the file")
    sys.meta_path.insert(0, Finder(files))
    return importlib.import_module(name)


def loaded_files(files):
    """The author's files that were loaded, as (module, source)."""
    for name, (_, _, source) in files.items():
        if name in sys.modules:
            yield sys.modules[name], source


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


def check_imports(files):
    """Loads what functions of the author's import later, in all files, until nothing new appears; what cannot be
    had is refused here, and not after hours."""
    seen = set()
    while True:
        fresh = [(module, source) for module, source in loaded_files(files) if module.__name__ not in seen]
        if not fresh:
            return
        for module, source in fresh:
            seen.add(module.__name__)
            imports = Imports()
            imports.visit(ast.parse(source))
            for line, name, level, optional in imports.found:
                try:
                    importlib.import_module("." * level + name, module.__package__)
                except Exception as error:
                    if not optional:
                        refuse(
                            f"{shown(module.__file__)}:{line}: the import of `{name}` inside a function fails: "
                            f"{error}. {MODULES}"
                        )


# --- what the function asks for --------------------------------------------------------------------------


def declared_parts(module, files):
    """Names of sub-scores: the module's `PARTS`, or the keys of every literal `"parts": {...}` in the files."""
    if hasattr(module, "PARTS"):
        parts = module.PARTS
        if isinstance(parts, str) or not all(isinstance(part, str) for part in parts):
            refuse("PARTS must be a list of texts")
        return list(dict.fromkeys(parts))
    names = {}
    for _, source in loaded_files(files):
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Dict):
                for key, value in zip(node.keys, node.values):
                    if getattr(key, "value", None) == "parts" and isinstance(value, ast.Dict):
                        for name in value.keys:
                            if isinstance(getattr(name, "value", None), str):
                                names[name.value] = None
    return sorted(names)


def signature(function, where):
    """The parameters of the author's function: those r1x fills, columns, and columns that may be missing."""
    reserved, columns, optional = [], [], []
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if parameter.kind is parameter.POSITIONAL_ONLY:
            refuse(f"{where}: the parameter `{name}` is positional only; r1x passes everything by name")
        if name in (COMPLETIONS, PROMPTS, GROUPS, CONFIG):
            reserved.append(name)
        elif parameter.default is parameter.empty:
            columns.append(name)
        else:
            optional.append(name)
    if COMPLETIONS not in reserved:
        refuse(f"{where} has no parameter `completions`: write `def reward(completions, **kwargs)`")
    return {"reserved": reserved, "columns": columns, "optional": optional}


def find_function(module, name, path, source):
    function = getattr(module, name, None)
    if function is None:
        known = [node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
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


def library(late):
    """Modules of the base's own files that these had to wait for, compiled: an instance only runs them."""
    found = {}
    for name in late:
        spec = getattr(sys.modules[name], "__spec__", None)
        if spec and spec.has_location and hasattr(spec.loader, "get_code"):
            found[name] = (spec.origin, spec.loader.get_code(spec.name), None)
    return found


def prepare():
    """Reads and checks the author's files. What `load` needs, and the modules that had to be loaded for them."""
    before = set(sys.modules)
    with open(NOTE, encoding="utf-8") as file:
        note = json.load(file)
    files = read_files()
    path, name = note["path"], note["function"]
    module = load_entry(path, files)
    source = files[module_name(path)][2]
    function = find_function(module, name, path, source)
    asked = signature(function, f"{path}: `{name}`")
    check_imports(files)
    about = {
        "name": note["name"],
        "version": note["version"],
        "description": note["description"] or first_line(function.__doc__) or first_line(module.__doc__),
        "parts": declared_parts(module, files),
    }
    used = {name: file for name, file in files.items() if name in sys.modules or file[1]}
    late = sorted(set(sys.modules) - before - set(files))
    layer = {"entry": module_name(path), "function": name, "files": {**used, **library(late)}, "asked": asked}
    return {**layer, "about": about}, late


def load(layer):
    """The author's function, in an instance that has not seen it yet."""
    # Where the same instance has read the files, it has loaded them too.
    if not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, Finder(layer["files"]))
    # What the top level prints it printed when the plugin was built; here it would come again with every call.
    streams, sys.stdout = sys.stdout, io.StringIO()
    try:
        module = importlib.import_module(layer["entry"])
    finally:
        sys.stdout = streams
    sys.modules["random"].seed(0)
    return getattr(module, layer["function"])


def load_layer():
    """What `prepare` left for this instance."""
    with open(LAYER, "rb") as file:
        return marshal.load(file)
