"""Gives the functions of a program that may wait for another thread a twin that can be suspended.

The twin of a function is a generator with the same body, in which a call that may wait is a `yield from` and a
`with` waits before it enters. Only functions that may wait get one: those that name something to wait for, call
a function that has a twin, or call what they were given. The others run as they are written, as fast and as deep
as without threads. Must not know how threads take turns.
"""

import ast
import copy

# A program without one of these words starts no thread.
THREADS = ("thread", "concurrent")

# What may wait, by the words without which a program has nothing of the kind. `with` is one of the names.
WAITING = {
    ("thread",): {"join", "is_alive"},
    ("Lock", "lock", "Semaphore", "Condition"): {"acquire", "with"},
    ("ueue",): {"get", "put", "join"},
    ("Event", "Condition", "Barrier"): {"wait", "wait_for", "is_set", "isSet"},
    ("Executor",): {"result", "exception", "shutdown", "with", "wait"},
    ("sleep",): {"sleep"},
}
# Deeper functions in functions are left as they are, for each level doubles the ones below it.
DEPTH = 4

Functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
Scopes = (*Functions, ast.ClassDef, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def own(body):
    """The nodes of a function's own scope."""
    stack = list(body)
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, Scopes):
            stack.extend(ast.iter_child_nodes(node))


def called(node):
    """The name by which something is called; an empty one for what has none."""
    function = node.func
    if isinstance(function, ast.Name):
        return function.id
    if isinstance(function, ast.Attribute):
        literal = isinstance(function.value, (ast.Constant, ast.JoinedStr))
        return None if literal else function.attr
    return ""


def parameters(function):
    arguments = function.args
    listed = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    return {argument.arg for argument in listed if argument}


def suspendable(function):
    """Whether a function can have a twin: one that is a generator already cannot."""
    return isinstance(function, ast.FunctionDef) and not any(
        isinstance(node, (ast.Yield, ast.YieldFrom, ast.Await)) for node in own(function.body)
    )


def given(function):
    """Names that a function gives to things it calls without knowing what they are."""
    names = set()
    for node in own(function.body):
        if isinstance(node, (ast.Assign, ast.For, ast.NamedExpr)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}
    return names


def find(tree, names):
    """Which functions may wait, and every name whose call may."""
    functions = [node for node in ast.walk(tree) if suspendable(node)]
    # What is handed to a function may be anything, and inner functions see it too.
    names = names.union(*(parameters(node) for node in ast.walk(tree) if isinstance(node, Functions)), [""])
    calls, found = {}, set()
    for function in functions:
        nodes = list(own(function.body))
        calls[function] = {called(node) for node in nodes if isinstance(node, ast.Call)} - {None}
        enters = "with" in names and any(isinstance(node, ast.With) for node in nodes)
        if enters or calls[function] & given(function):
            found.add(function)
    while True:
        names = names | {function.name for function in found}
        more = {function for function in functions if function not in found and calls[function] & names}
        if not more:
            return found, names
        found |= more


class Twin(ast.NodeTransformer):
    """Makes the body of a twin."""

    def __init__(self, names):
        self.names = names

    def visit_Call(self, node):
        self.generic_visit(node)
        name = called(node)
        if name not in self.names:
            return node
        helper = ast.Name("r1x_call", ast.Load())
        inner = ast.Call(helper, [node.func, *node.args], node.keywords)
        return placed(ast.YieldFrom(placed(inner, node)), node)

    def visit_With(self, node):
        self.generic_visit(node)
        for item in node.items:
            helper = ast.Name("r1x_enter", ast.Load())
            inner = ast.Call(helper, [item.context_expr], [])
            item.context_expr = placed(ast.YieldFrom(placed(inner, item.context_expr)), item.context_expr)
        return node

    def leave(self, node):
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = visit_ClassDef = leave
    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = leave


def placed(node, where):
    return ast.fix_missing_locations(ast.copy_location(node, where))


class Weaver(ast.NodeTransformer):
    """Puts a twin before each function that may wait, and notes it at the function."""

    def __init__(self, found, waiting, depth=0):
        self.found, self.waiting, self.depth = found, waiting, depth

    def visit_FunctionDef(self, node):
        waits = node in self.found and self.depth < DEPTH
        twin = copied(node, self.found) if waits else None
        inner = Weaver(self.found, self.waiting, self.depth + 1)
        node.body = [statement for part in node.body for statement in as_list(inner.visit(part))]
        if twin is None:
            return node
        names = self.waiting | given(twin)
        twin.body = [statement for part in twin.body for statement in as_list(inner.visit(part))]
        twin.body = [Twin(names).visit(statement) for statement in twin.body]
        # Without a call to suspend it would still have to be a generator.
        never = ast.If(ast.Constant(False), [ast.Expr(ast.Yield(None))], [])
        twin.body.append(placed(never, node))
        twin.name, twin.decorator_list, twin.returns = f"r1x_twin_{node.name}", [], None
        bare(twin.args, node)
        note = ast.Call(ast.Name("r1x_pair", ast.Load()), [ast.Name(twin.name, ast.Load())], [])
        node.decorator_list.append(placed(note, node))
        return [twin, node]

    def visit_Lambda(self, node):
        twin = copied(node, self.found)
        self.generic_visit(node)
        twin.body = Twin(self.waiting).visit(self.visit(twin.body))
        if not any(isinstance(part, ast.YieldFrom) for part in own([twin.body])):
            return node
        bare(twin.args, node)
        noting = placed(ast.Call(ast.Name("r1x_pair", ast.Load()), [twin], []), node)
        return placed(ast.Call(noting, [node], []), node)


def bare(arguments, where):
    """Takes the work out of a twin's arguments, which `r1x_pair` copies from the function."""
    arguments.defaults = [placed(ast.Constant(None), where) for _ in arguments.defaults]
    arguments.kw_defaults = [value and placed(ast.Constant(None), where) for value in arguments.kw_defaults]
    for argument in ast.walk(arguments):
        if isinstance(argument, ast.arg):
            argument.annotation = None


def as_list(visited):
    return visited if isinstance(visited, list) else [visited]


def copied(node, found):
    """A copy of a function, in which the same inner functions may wait."""
    memo = {}
    twin = copy.deepcopy(node, memo)
    found |= {memo[id(inner)] for inner in list(found) if id(inner) in memo}
    return twin


def weave(code, file):
    """The program as a syntax tree with twins; `None` when it needs none."""
    if not any(word in code for word in THREADS):
        return None
    names = set().union(*(names for words, names in WAITING.items() if any(word in code for word in words)))
    tree = ast.parse(code, file)
    found, names = find(tree, names)
    return Weaver(found, names).visit(tree)
