"""Why a memoized call would hit or miss."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import NamedTuple

from ..errors import DecodeError, NotFoundError, ValueLost
from ..model import Record
from .binding import Argument
from .shelf import Shelf, digests

__all__ = ["Explanation", "explain"]


class Explanation(NamedTuple):
    """Whether a call would be answered from the store, and why. True when it would.

    Attributes:
        hit: whether its result is there.
        reason: ``stored``; or ``first call`` (nothing is stored of this function), ``new arguments``,
            ``changed code``, ``expired`` or ``damaged``.
        details: what differs from the stored call that is nearest: arguments, or what the code uses.
        record: of the result, or of that nearest call; None when there is none.
    """

    hit: bool
    reason: str
    details: tuple[str, ...] = ()
    record: Record | None = None

    def __bool__(self) -> bool:
        return self.hit

    def __str__(self) -> str:
        head = f"{'hit' if self.hit else 'miss'}: {self.reason}"
        if self.record is not None and self.hit:
            head += f" at {self.record.updated:%Y-%m-%d %H:%M:%S} UTC"
        return "\n".join([head, *(f"  {line}" for line in self.details)])


def explain(shelf: Shelf, key: str, arguments: Mapping[str, Argument], parts: Mapping[str, str]) -> Explanation:
    """Why the call of this key, with these arguments and a code that rests on these parts, would hit or miss."""
    try:
        return Explanation(True, "stored", record=shelf.scope.entry(key).record)
    except (ValueLost, DecodeError) as error:
        return Explanation(False, "damaged", (str(error),))
    except NotFoundError:
        pass
    expired = shelf.scope._ledger.record(shelf.scope.path, key)
    if expired:
        return Explanation(False, "expired", (f"it was stored until {_time(expired[0][6])}",))
    records = list(shelf.records())
    if not records:
        return Explanation(False, "first call")
    code, call = digests(key)
    same_code = [record for record in records if digests(record.key)[0] == code]
    same_call = [record for record in records if digests(record.key)[1] == call]
    if same_call or not same_code:
        nearest = max(same_call or records, key=lambda record: record.updated)
        changes = _changed_parts(shelf.parts(digests(nearest.key)[0]), parts)
        if not same_call:
            changes += _changed_arguments(nearest, arguments)
        return Explanation(False, "changed code", tuple(changes), nearest)
    differences = [(_changed_arguments(record, arguments), record) for record in same_code]
    changes, nearest = min(differences, key=lambda pair: (len(pair[0]), -pair[1].updated.timestamp()))
    return Explanation(False, "new arguments", tuple(changes), nearest)


def _time(seconds: float | None) -> str:
    return "?" if seconds is None else f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"


def _changed_parts(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    if not before:
        return ["what that code rested on is not known any more"]
    lines = []
    for name in sorted(before.keys() | now.keys()):
        old, new = before.get(name), now.get(name)
        if old is None:
            lines.append(f"{name} is used now")
        elif new is None:
            lines.append(f"{name} is no longer used")
        elif old != new:
            lines.append(f"{name} changed" + (f" from {old} to {new}" if "." in old + new else ""))
    return lines


def _changed_arguments(record: Record, arguments: Mapping[str, Argument]) -> list[str]:
    lines = []
    for name, now in arguments.items():
        digest, _, text = record.tags.get(name, "").partition(" ")
        if digest != now.digest:
            was = f", was {text}" if text and text != now.text else (", was another" if text else "")
            lines.append(f"argument {name} is {now.text}{was}")
    return lines
