"""What each type of state does."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from .calls import act, foreach, parallel
from .definition import (
    Act,
    Delay,
    Foreach,
    Getter,
    Logic,
    Noop,
    Parallel,
    Raise,
    Setter,
    Switch,
    Validate,
)  # fmt: skip
from .evaluation.schema import validate
from .expressions import Data, Template, is_true
from .failures import Codes, Failure
from .instance import Instance, Result
from .json_text import shown
from .variables import LARGEST, Write, as_json, read, to_write

__all__ = ["perform"]

_VERB = re.compile(r"%(?:%|[-+#0-9.]*[a-zA-Z])")
_MIME = Template("application/json", ())


def perform(run: Instance, logic: Logic, data: Data) -> Result:
    """Do what a state does, beside its log, its transform and its transition.

    Raises:
        Failure: the state failed.
        Cancelled, Stopped: the instance does not go on.
    """
    return _PERFORMED[type(logic)](run, logic, data)


def _getter(run: Instance, logic: Getter, data: Data) -> Result:
    keys = data.texts(*(each.key for each in logic.variables))
    found: dict[str, Any] = {}
    size = 0
    for each, key in zip(logic.variables, keys, strict=True):
        if (each.scope, key) in run.unit:
            run.begin_unit()
            content = run.unit.read((each.scope, key))
        else:
            content = read(run.place, each.scope, key)
        size += len(content)
        if size > LARGEST:
            raise Failure(Codes.TOO_LARGE, f"the variables of this getter have more than {LARGEST:,} bytes together")
        found[each.name or key] = as_json(content)
    return Result({**data.value, "var": found})


def _setter(run: Instance, logic: Setter, data: Data) -> Result:
    fields = [field for each in logic.variables for field in (each.key, each.mime_type or _MIME, each.value)]
    values = data.values(*fields)
    writes: dict[tuple[str, str], Write] = {}  # of one variable the last one counts
    for n, each in enumerate(logic.variables):
        key, mime_type, value = values[3 * n : 3 * n + 3]
        for field in (key, mime_type):
            if not isinstance(field, str):
                raise Failure(Codes.NOT_STRING, f"key and mimeType of a variable must be text: {shown(field):.200}")
        writes[each.scope, key] = to_write(each.scope, key, mime_type, value, each.value.is_null)
    for variable, write in writes.items():  # when all of them are sound
        if variable in run.unit:
            run.begin_unit()
            run.unit.write(write)
    return Result(data.value, tuple(write for variable, write in writes.items() if variable not in run.unit))


def _noop(run: Instance, logic: Noop, data: Data) -> Result:
    return Result(data.value)


def _switch(run: Instance, logic: Switch, data: Data) -> Result:
    chosen = next((choice for choice in logic.choices if is_true(data.condition(choice.condition))), logic)
    return Result(data.value, way=(chosen.transform, chosen.transition))


def _validate(run: Instance, logic: Validate, data: Data) -> Result:
    subject = data if logic.subject is None else run.data_of(data.values(logic.subject)[0])
    validate(subject.text, logic.schema, run.host.limits.jq)
    return Result(data.value)


def _delay(run: Instance, logic: Delay, data: Data) -> Result:
    run.pause(run.facts["wake"] - run.place.namespace._kernel.catalog.now())
    return Result(data.value)


def _error(run: Instance, logic: Raise, data: Data) -> Result:
    message, *arguments = data.values(logic.message, *logic.arguments)
    return Result(data.value, raised=Failure(logic.code, _formatted(shown(message), arguments)))


def _formatted(message: str, arguments: list[Any]) -> str:
    """A message with its arguments in the places of ``%s``, ``%v`` and the like, in their order."""
    if not arguments:
        return message
    left = iter(arguments)
    return _VERB.sub(lambda found: "%" if found[0] == "%%" else shown(next(left, found[0])), message)


_PERFORMED: dict[type, Callable[[Instance, Any, Data], Result]] = {
    Act: lambda run, logic, data: Result(act(run, logic, data)),
    Delay: _delay,
    Foreach: lambda run, logic, data: Result(foreach(run, logic, data)),
    Getter: _getter,
    Noop: _noop,
    Parallel: lambda run, logic, data: Result(parallel(run, logic, data)),
    Raise: _error,
    Setter: _setter,
    Switch: _switch,
    Validate: _validate,
}
