"""Adding to a native integer, whatever is there."""

from __future__ import annotations

from collections.abc import Callable

from ...address import Path, format_address
from ...errors import InvalidArgumentError
from ...hashing import NONE
from ...model import DURABLE, POWER, RecordRow
from .engine import Session

__all__ = ["INTEGER_SIZE", "add_to"]

INTEGER_SIZE = 8
"""Bytes, as the size of a native integer's record."""


def add_to(
    session: Session, path: Path, key: str, amount: int, codec: int, power: bool
) -> Callable[[], tuple[int, RecordRow]]:
    """Add to the visible record of a key, or begin at 0; what is given tells sum and record when it is committed.

    Raises:
        InvalidArgumentError: the record is no native integer, or the sum leaves 64 bits.
    """
    scope = session.make_scope(path)
    visible = [row for row in session.records(scope, key) if row.expires is None or row.expires > session.now]
    total, tags, expires = amount, None, None
    if visible:
        record = max(visible, key=lambda row: row.version)
        number = session.number(scope, key) if record.tier == DURABLE and record.codec == codec else None
        if number is None:
            raise InvalidArgumentError(
                f"{format_address(path, key)} is not a native integer: only those can be added to"
            )
        total += number
        tags, expires = record.tags, record.expires
    if not -(2**63) <= total < 2**63:
        raise InvalidArgumentError(f"the sum at {format_address(path, key)} leaves 64 bits: store it with put instead")
    flags, now = POWER if power else 0, session.now
    values = (flags, now, expires, tags, NONE, None, INTEGER_SIZE, codec, None, None, total, None, None)
    made = session.put_row(scope, key, DURABLE, values)

    def outcome() -> tuple[int, RecordRow]:
        version, created = made()
        content = (NONE, None, INTEGER_SIZE, codec, None, None, None, None)
        return total, RecordRow(key, DURABLE, version, flags, created, now, expires, tags, None, *content)

    return outcome
