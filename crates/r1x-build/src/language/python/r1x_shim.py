"""The plugin around an author's function: r1x puts it into every reward written in Python.

Its top level runs once, when a base is built, inside the sandbox of componentize-py, and Python is then frozen as
it stands: with the standard library and packages (`r1x_base`), and with the author's files too where those are
frozen. Otherwise a finished component carries the author's files beside its code, and an instance loads them
before its first call (`r1x_author`). What runs for each batch is `score_batch`.
"""

import gc
import json
import marshal
import math
import sys

import r1x_author
import r1x_base
import wit_world
from componentize_py_types import Err
from r1x_author import COMPLETIONS, CONFIG, GROUPS, PROMPTS, Wrong, explanation
from wit_world.imports import types

# What the build tells this side.
NOTE = "/0/r1x_base.json"


# --- for each batch ----------------------------------------------------------------------------------


class WrongAnswer(Wrong):
    """What the function returned is no list with a score for each completion: its fault, and no completion's."""


FAILED = "r1x-failed:"


def failed(reason):
    """A score that the host records as a failure with its reason: a reward that is no number, and this word."""
    return types.Score(math.nan, [], FAILED + reason)


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
    required, optional = PLUGIN.asked["columns"], PLUGIN.asked["optional"]
    if not (required or optional):
        return
    text, parsed, rows = None, None, []
    for rollout in batch:
        # Rollouts of one group have the same columns.
        if rollout.columns != text:
            text, parsed = rollout.columns, json.loads(rollout.columns)
        rows.append(parsed)
    for name in required:
        if not all(name in row for row in rows):
            raise Wrong(f"the column `{name}` is missing")
        arguments[name] = [fresh(row[name]) for row in rows]
    for name in optional:
        if any(name in row for row in rows):
            arguments[name] = [fresh(row.get(name)) for row in rows]


def call(batch):
    """One call of the author's function."""
    reserved = PLUGIN.asked["reserved"]
    arguments = {COMPLETIONS: [rollout.completion for rollout in batch]}
    if PROMPTS in reserved:
        arguments[PROMPTS] = [rollout.prompt for rollout in batch]
    if GROUPS in reserved:
        numbers = {}
        arguments[GROUPS] = [numbers.setdefault(rollout.group, len(numbers)) for rollout in batch]
    if CONFIG in reserved:
        arguments[CONFIG] = fresh(PLUGIN.config)
    add_columns(arguments, batch)
    values = PLUGIN.function(**arguments)
    # A set has lost the order of its scores, and all but one of those that are equal.
    if isinstance(values, (str, bytes, bytearray, dict, set, frozenset)) or not hasattr(type(values), "__iter__"):
        raise WrongAnswer(f"the function returned {briefly(values)}, not a list with one score for each completion")
    values = list(values)
    if len(values) != len(batch):
        counts = f"{counted(len(values), 'score')} for {counted(len(batch), 'completion')}"
        raise WrongAnswer(f"the function returned {counts}: it must return a list with one for each")
    return [score(value) for value in values]


def counted(number, thing):
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def briefly(value):
    try:
        return f"{value!r:.80}"
    except BaseException:
        return f"a {type(value).__name__}"


def units(batch):
    """What may be judged alone: a rollout, or a group for a function that looks at groups."""
    if GROUPS not in PLUGIN.asked["reserved"]:
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
    except WrongAnswer as error:
        return all_failed(batch, str(error))
    except BaseException as error:
        parts = units(batch)
        if len(parts) < 2:
            return all_failed(batch, explanation(error))
    try:
        return apart(parts)
    except WrongAnswer as error:
        return all_failed(batch, str(error))


def all_failed(batch, reason):
    return [failed(reason)] * len(batch)


def apart(parts):
    """Scores each part alone, and everything that went well once more together. Alone, a single score is the right
    number and a neighbour's influence is not there: what differs then is no answer."""
    scores, good, expected = [], [], []
    for part in parts:
        try:
            judged = call(part)
        except WrongAnswer:
            raise
        except BaseException as error:
            scores += all_failed(part, explanation(error))
            continue
        scores += judged
        good.append(part)
        expected += judged
    if len(good) > 1:
        confirm([rollout for part in good for rollout in part], expected)
    return scores


def confirm(batch, expected):
    size = counted(len(batch), "completion")
    try:
        found = call(batch)
    except WrongAnswer:
        raise
    except MemoryError:
        # Fewer at once may well fit.
        return
    except BaseException as error:
        told = explanation(error)
        raise WrongAnswer(f"the function fails on {size} together and on none of them alone: {told}") from None
    for before, now in zip(expected, found):
        if facts(before) != facts(now):
            told = f"{facts(now)} instead of {facts(before)}"
            raise WrongAnswer(
                f"the function gives other scores to {size} together than alone: {told}. A score may depend on "
                "its own completion, and on those of its group where the function takes `groups`"
            )


def facts(score):
    """A score as a text that tells it from every other one."""
    parts = "".join(f", {part.name} {part.value!r}" for part in score.parts)
    info = (score.info or "").removeprefix(FAILED)
    return f"{score.reward!r}{parts}" + (f" ({info})" if info else "")


class Plugin:
    """The author's function, once it is loaded."""

    function = asked = about = None
    config = {}

    def take(self, layer):
        self.asked, self.about = layer["asked"], layer["about"]
        self.function = r1x_author.load(layer)

    def ready(self):
        """Loads the author's files into an instance that has not seen them."""
        if self.function is None:
            try:
                self.take(r1x_author.load_layer())
            except BaseException as error:
                # The packager's runtime gives up after an exception; the host shows what was written last.
                print("the reward does not load: " + r1x_author.told(error), file=sys.stderr)
                raise


PLUGIN = Plugin()


class WitWorld(wit_world.WitWorld):
    """What the host calls."""

    def prepare(self):
        try:
            layer, late = r1x_author.prepare()
            return marshal.dumps(layer), late
        except BaseException as error:
            raise Err(r1x_author.told(error))

    def info(self):
        PLUGIN.ready()
        needs = types.Needs(0)
        if PROMPTS in PLUGIN.asked["reserved"]:
            needs |= types.Needs.PROMPT
        if GROUPS in PLUGIN.asked["reserved"]:
            needs |= types.Needs.GROUPS
        about = PLUGIN.about
        return types.PluginInfo(
            name=about["name"],
            version=about["version"],
            description=about["description"],
            needs=needs,
            columns=PLUGIN.asked["columns"],
            optional_columns=PLUGIN.asked["optional"],
            parts=about["parts"],
            min=None,
            max=None,
            config_schema=None,
        )

    def configure(self, config_json):
        PLUGIN.ready()
        try:
            config = json.loads(config_json) if config_json.strip() else {}
            if config is None:
                config = {}
            if not isinstance(config, dict):
                raise ValueError("the configuration must be an object")
            if config and CONFIG not in PLUGIN.asked["reserved"]:
                keys = ", ".join(map(str, config))
                raise ValueError(f"this reward takes none, but got {keys}: give its function a parameter `config`")
            PLUGIN.config = config
        except Exception as error:
            raise Err(types.Error_BadConfig(str(error)))

    def score_batch(self, batch):
        PLUGIN.ready()
        return judge(batch) if batch else []


def build():
    with open(NOTE, encoding="utf-8") as file:
        note = json.load(file)
    r1x_base.build(note["modules"])
    if note["frozen"]:
        layer, _ = r1x_author.prepare()
        PLUGIN.take(layer)
    r1x_base.finish()


try:
    build()
except BaseException as error:
    print("r1x-refused:" + json.dumps(r1x_author.told(error)), file=sys.stderr)
    raise
gc.collect()
r1x_base.sweep()
gc.collect()
gc.freeze()
gc.set_threshold(100_000)
