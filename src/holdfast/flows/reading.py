"""A definition's text, checked whole before anything of it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from . import definition as made
from .document import Node, parse
from .evaluation import jq_process, patterns, schema
from .expressions import Template, template
from .failures import Failure
from .fields import (
    Field,
    Reader,
    Reading,
    among,
    duration,
    fields,
    items,
    json_schema,
    literal,
    need,
    number,
    one_of,
    pattern,
    record,
    take,
    text,
    value,
    whether,
)  # fmt: skip
from .place import SCOPES, is_name

__all__ = ["read"]

_EVENTS = ("consumeEvent", "eventXor", "eventsXor", "eventAnd", "eventsAnd", "generateEvent")
_SERVICES = ("knative-namespace", "knative-system", "knative-service")
_NOTHING, _ALL = Template({}, ()), template("jq(.)")


def read(document: str, name: str, check: Callable[[str], str | None] | None = None) -> made.Definition:
    """What a definition says.

    Args:
        document: its YAML.
        name: of its file, for messages.
        check: tells of a function, by its image or service, why it cannot be called, if it cannot.

    Raises:
        DefinitionError: it is not legal. The message has a line ``FILE:LINE: FIELD: what, and how to mend it`` for each
            thing that is wrong.
        MissingExtraError: jq, jsonschema or PyYAML is not installed.
    """
    reading = Reading(name, check)
    root = parse(document, name)
    if not isinstance(root.value, dict):
        reading.wrong(root.line, "(the whole)", "a definition is a map with the field states")
        reading.end()
    reading.states = dict.fromkeys(_ids(root))
    *_, states, start, (interrupt, kill) = fields(root, "", reading, _WHOLE)
    by_id = {state.id: state for state in states}
    _check_texts(reading)
    reading.end()
    return made.Definition(by_id, start or states[0].id, interrupt, kill, tuple(sorted(reading.atomic)))


def _check_texts(reading: Reading) -> None:
    """Let those look at programs, patterns and schemas who will run them."""
    checks = (
        (jq_process.check, reading.programs, "jq({:.200}) is no program of jq: {}"),
        (patterns.check, reading.patterns, "{:.100} is no regular expression: {}"),
        (schema.check, reading.schemas, "this is no JSON Schema: {1}"),
    )
    for check, known, what in checks:
        given = list(known)
        try:
            for each, wrong in check(given).items() if given else ():
                reading.wrong(*known[each], what.format(each, wrong))
        except Failure as failure:
            reading.wrong(*known[given[0]], f"this, or another one like it, cannot be checked: {failure.message}")


def _ids(root: Node) -> list[str]:
    """The ids of all states, also of those with which something is wrong."""
    states = root.value.get("states", Node([], 0)).value
    maps = [state.value for state in states if isinstance(state.value, dict)] if isinstance(states, list) else []
    return [str(state["id"].value).strip() for state in maps if "id" in state]


# --- what stands at the top -------------------------------------------------------------------------------------------


def _target(node: Node, where: str, reading: Reading) -> str:
    target = text(node, where, reading)
    if target not in reading.states:
        raise ValueError(f"there is no state {target!r:.100}: there are {among(reading.states)}")
    return target


def _start(node: Node, where: str, reading: Reading) -> str | None:
    kind = node.value.get("type") if isinstance(node.value, dict) else None
    if kind is not None and kind.value != "default":
        what = f"flows are started by whoever runs them: {kind.plain} belongs to event routing, remove it"
        reading.wrong(kind.line, f"{where}.type", what)
        return None
    target: str | None = fields(node, where, reading, {"state": take(_target), "type": take(text)})[0]
    return target


def _atomic(node: Node, where: str, reading: Reading) -> None:
    reading.atomic = frozenset(items(_UNIT)(node, where, reading))


def _unit_key(node: Node, where: str, reading: Reading) -> str:
    key = text(node, where, reading)
    if not is_name(key):
        raise ValueError(f"{key!r:.100} is no name of a variable: letters, digits, and _-. within")
    return key


_UNIT = record(lambda *both: both, {"scope": need(one_of(*SCOPES), ""), "key": need(_unit_key, "")})


# --- functions --------------------------------------------------------------------------------------------------------


def _file(node: Node, where: str, reading: Reading) -> made.FileEntry:
    found = made.FileEntry(*fields(node, where, reading, _FILE))
    scope = "instance" if found.scope is None else found.scope.shape
    if not found.key.programs and (scope, str(found.key.shape)) in reading.atomic:
        what = "functions do not see what is atomic before the run ends: let a getter give it to them"
        reading.wrong(node.line, f"{where}.key", what)
    return found


_FILE = {"key": need(value, _NOTHING), **dict.fromkeys(("scope", "as", "type", "permissions"), take(value))}
_CONTAINER = dict.fromkeys(("size", "cmd", "envs", "scale", "patches"), take(literal))  # for who runs the container


def _function(node: Node, where: str, reading: Reading) -> None:
    given = node.value if isinstance(node.value, dict) else {}
    usual = "subflow" if "workflow" in given else "knative-workflow" if "image" in given else _SERVICES[0]
    kind = given["type"].value if "type" in given else usual
    named = {"subflow": "workflow", "knative-workflow": "image"}.get(
        str(kind), "path" if "path" in given else "service"
    )
    table = {
        "id": need(text, ""), named: need(text, ""), "files": take(items(_file), ()),
        "type": take(one_of("knative-workflow", *_SERVICES, "subflow")), **({} if kind == "subflow" else _CONTAINER),
    }  # fmt: skip
    id, name, files, *_ = fields(node, where, reading, table)
    if id in reading.functions:
        reading.wrong(node.line, f"{where}.id", f"another function has the id {id!r:.100}: rename one")
    wrong = reading.check(name) if reading.check is not None and kind != "subflow" and name else None
    if wrong is not None:
        reading.wrong(given[named].line, f"{where}.{named}", wrong)
    reading.functions[id] = made.Function(id, name, kind == "subflow", files)


def _called(node: Node, where: str, reading: Reading) -> made.Function:
    id = text(node, where, reading)
    if id not in reading.functions:
        raise ValueError(f"there is no function {id!r:.100} in functions: there are {among(reading.functions)}")
    return reading.functions[id]  # type: ignore[no-any-return]


def _no_secrets(node: Node, where: str, reading: Reading) -> None:
    raise ValueError("secrets are not kept here: give them to the function by its own configuration")


def _call(node: Node, where: str, reading: Reading) -> made.Call:
    call = made.Call(*fields(node, where, reading, _CALL)[:4])
    if call.function.subflow and (call.files or call.function.files):
        reading.wrong(node.line, where, "a subflow takes no files: it reads variables itself")
    return call


_RETRIES = record(
    made.Retries,
    {
        "max_attempts": need(number(1, 1000, int), 1), "delay": take(duration, 0.0),
        "multiplier": take(number(0, 1000, int, float), 1.0), "codes": take(items(pattern, 1), (patterns.EVERY,)),
    },
)  # fmt: skip
_CALL = {
    "function": need(_called, made.Function("", "", False, ())), "input": take(value, _ALL),
    "files": take(items(_file), ()), "retries": take(_RETRIES), "secrets": take(_no_secrets),
}  # fmt: skip


# --- states -----------------------------------------------------------------------------------------------------------


def _code(node: Node, where: str, reading: Reading) -> str:
    code = text(node, where, reading)
    if len(code) > 256:
        raise ValueError("a code has at most 256 characters")
    return code


def _variables(make: Callable[..., Any], scopes: tuple[str, ...], more: dict[str, Field]) -> Field:
    table = {"key": need(value, _NOTHING), "scope": need(one_of(*scopes), SCOPES[0]), **more}
    return need(items(record(make, table), 1), ())


_TIMEOUT = {"timeout": take(duration)}
_WAY = {"transform": take(value), "transition": take(_target)}
_CHOICE = record(made.Choice, {"condition": need(value, _NOTHING), **_WAY})
_LOGIC: dict[str, tuple[Callable[..., made.Logic], dict[str, Field]]] = {
    "action": (made.Act, {"action": need(_call), "async": take(whether, False), **_TIMEOUT}),
    "delay": (made.Delay, {"duration": need(duration, 0.0)}),
    "error": (made.Raise, {"error": need(_code), "message": need(value, _NOTHING), "args": take(items(value), ())}),
    "foreach": (made.Foreach, {"array": need(value, _NOTHING), "action": need(_call), **_TIMEOUT}),
    "getter": (made.Getter, {"variables": _variables(made.Get, (*SCOPES, "file", "system"), {"as": take(text)})}),
    "noop": (made.Noop, {}),
    "parallel": (
        made.Parallel, {"actions": need(items(_call, 1), ()), "mode": take(one_of("and", "or"), "and"), **_TIMEOUT}
    ),
    "setter": (
        made.Setter, {"variables": _variables(made.Set, SCOPES, {"mimeType": take(value), "value": need(value)})}
    ),
    "switch": (
        made.Switch,
        {
            "conditions": need(items(_CHOICE, 1), ()),
            "defaultTransform": take(value), "defaultTransition": take(_target),
        },
    ),
    "validate": (made.Validate, {"subject": take(value), "schema": need(json_schema)}),
}  # fmt: skip


def _state(node: Node, where: str, reading: Reading) -> made.State | None:
    given = node.value if isinstance(node.value, dict) else {}
    id, kind = (given[name].value if name in given else None for name in ("id", "type"))
    where = f"{where}({id})" if isinstance(id, str) else where
    if kind in _EVENTS:
        raise ValueError(f"{kind} belongs to event routing, which is not here: remove this state")
    make, own = _LOGIC.get(str(kind), (made.Noop, None))
    if own is None and kind is not None:
        types = ", ".join(_LOGIC)
        reading.wrong(
            given["type"].line, f"{where}.type", f"there is no state of type {kind!r:.100}: there are {types}"
        )
        return None
    id, _, *common = fields(node, where, reading, {**_COMMON, **(_WAY if kind != "switch" else {}), **(own or {})})
    if reading.states.setdefault(id, None) is not None:
        reading.wrong(node.line, f"{where}.id", f"another state has the id {id!r:.100}: rename one")
    log, metadata, catch, *rest = common
    (transform, transition), logic = ((None, None), rest) if kind == "switch" else (rest[:2], rest[2:])
    reading.states[id] = state = made.State(
        id, make(*logic), log, metadata, transform, transition, catch,
        tuple(_programs((log, metadata, *_first(make(*logic), transform)))),
    )  # fmt: skip
    return state


def _first(logic: made.Logic, transform: Template | None) -> tuple[Any, ...]:
    """What a state evaluates with the data that it begins with."""
    if isinstance(logic, made.Foreach):
        return (logic.array,)
    if isinstance(logic, made.Switch):
        return tuple(choice.condition for choice in logic.choices)
    quick = isinstance(logic, (made.Noop, made.Raise, made.Setter, made.Validate))
    return (logic, transform) if quick else (logic,)


def _programs(found: Any) -> Iterator[str]:
    if isinstance(found, Template):
        yield from found.programs
    elif isinstance(found, tuple):
        for each in found:
            yield from _programs(each)


_CATCH = record(made.Catch, {"error": need(pattern), "transition": take(_target)})
_COMMON = {
    "id": need(text, ""), "type": need(text), "log": take(value), "metadata": take(value),
    "catch": take(items(_CATCH), ()),
}  # fmt: skip
_TIMES: Reader[Any] = record(lambda *both: both, {"interrupt": take(duration), "kill": take(duration)})
_WHOLE = {
    "direktiv_api": take(one_of("workflow/v1")), **dict.fromkeys(("id", "name", "description", "url"), take(literal)),
    "atomic": take(_atomic), "functions": take(items(_function)), "states": need(items(_state, 1), ()),
    "start": take(_start), "timeouts": take(_TIMES, (None, None)),
}  # fmt: skip
