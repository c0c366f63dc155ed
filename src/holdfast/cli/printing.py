"""What commands write: records as JSON, aligned columns, notes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from ..model import Record

__all__ = [
    "answer", "document", "json_line", "note", "paint", "print_columns", "record_json", "remark",
    "time_json",
]  # fmt: skip

_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "cyan": "36"}


def document(content: Any) -> None:
    """Write one JSON document. Only ASCII, so that it is the same under every encoding and harmless on a terminal."""
    print(json.dumps(content, indent=2))


def json_line(content: Any) -> None:
    """Write one JSON object of a listing."""
    print(json.dumps(content, separators=(",", ":")))


def answer(as_json: bool, facts: Any, text: str, write: Callable[[Any], None] = document) -> None:
    """Say what a command came to: as JSON, or as text for a person."""
    if as_json:
        write(facts)
    else:
        print(text)


def note(text: str) -> None:
    """Say something beside the output, on stderr."""
    print(text, file=sys.stderr)


def remark(as_json: bool, facts: Any, text: str) -> None:
    """Say on stderr what goes on: as one JSON object, or as text for a person."""
    note(json.dumps(facts) if as_json else text)


def time_json(when: datetime | None) -> str | None:
    """A time as JSON has it: ISO 8601 in UTC."""
    return None if when is None else when.isoformat().replace("+00:00", "Z")


def record_json(record: Record) -> dict[str, Any]:
    """All about a record, as ``--json`` shows it."""
    return {
        "address": record.address,
        "scope": record.scope,
        "key": record.key,
        "version": record.version,
        "size": record.size,
        "digest": record.digest,
        "content_type": record.content_type,
        "serializer": record.serializer,
        "tier": record.tier,
        "durability": record.durability,
        "created": time_json(record.created),
        "updated": time_json(record.updated),
        "expires": time_json(record.expires),
        "tags": dict(record.tags),
    }


def print_columns(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> None:
    """Rows in aligned columns, those numbered in ``right`` aligned to the right; nothing is cut."""
    from rich.cells import cell_len

    count = max((len(row) for row in rows), default=0)
    widths = [max((cell_len(row[i]) for row in rows if i < len(row)), default=0) for i in range(count)]
    for row in rows:
        cells = []
        for i, cell in enumerate(row):
            gap = " " * (widths[i] - cell_len(cell))
            cells.append(gap + cell if i in right else cell + gap)
        print("  ".join(cells).rstrip())


def paint(text: str, style: str) -> str:
    """Text in a colour, where stdout is a terminal that has them."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"
