"""The log of an instance of a flow, while it grows, and how its lines look."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

from ..api import Scope
from ..flows.instances import Instances, LogLine
from ..flows.record import LOG, PENDING
from .printing import remark, time_json
from .wording import shown

__all__ = ["LogReader", "line_json", "line_text", "tell"]


class LogReader:
    """The log of an instance, each line once, while it grows."""

    def __init__(self, namespace: Scope, id: str) -> None:
        self._instances = Instances(namespace)
        self._id = id
        self._next = 0
        self._ended = False

    def new(self) -> Iterator[LogLine]:
        """The lines that came since the last time."""
        if self._ended:
            return
        facts = self._instances.facts(self._id).value  # before the lines: all of them are there if it has ended
        scope = self._instances.scope(self._id)
        for key in list(scope.keys(LOG, start=f"{LOG}{self._next:09}")):
            self._next = int(key.removeprefix(LOG)) + 1
            yield from map(_line, scope.get(key, ()))
        if facts["status"] != PENDING:
            self._ended = True
            yield from map(_line, facts["lines"])


def _line(recorded: list[Any]) -> LogLine:
    when, level, state, text = recorded
    return LogLine(datetime.fromtimestamp(when, timezone.utc), level, state, text)


def line_text(line: LogLine) -> str:
    """A line of a log for a person."""
    state = f" {shown(line.state)}:" if line.state else ""
    level = "" if line.level == "info" else f" {line.level}:"
    when = line.time.astimezone()
    return f"{when:%H:%M:%S}.{when.microsecond // 1000:03}{state}{level} {shown(line.text)}"


def line_json(line: LogLine) -> dict[str, Any]:
    """A line of a log as ``--json`` shows it."""
    return {"time": time_json(line.time), "level": line.level, "state": line.state, "text": line.text}


def tell(line: LogLine, as_json: bool) -> None:
    """Tell of a line of a log on stderr."""
    remark(as_json, line_json(line), line_text(line))
