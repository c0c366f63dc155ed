"""``holdfast gc``: what no record needs leaves the disk."""

from __future__ import annotations

from typing import Annotated

import typer

from .arguments import JsonOption, StoreOption, open_store
from .printing import answer
from .progress import progress
from .wording import count_text, size_text

__all__ = ["gc"]


def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only say what would be removed.")] = False,
    wait: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="How long to wait for another collector.")
    ] = 0.0,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Free the disk of what was removed, replaced, dropped, expired or left behind by a process that died.

    Safe while others read and write.

    \b
    Examples:
      holdfast gc --dry-run
      holdfast gc --wait 60
    """
    with open_store(store) as opened, progress("collecting", bytes_=False) as tell:
        done = opened.gc(dry_run=dry_run, wait=wait, progress=tell)
    verb = "would remove" if done.dry_run else "removed"
    parts = [
        (done.records, "expired or dropped record", ""),
        (done.blobs, "unused piece", f" ({size_text(done.size)})"),
        (done.orphans, "piece", " left by dead writers"),
    ]
    told = [f"{count_text(number, what)}{more}" for number, what, more in parts if number]
    answer(as_json, done._asdict(), f"{verb} {', '.join(told)}" if told else "nothing to remove")
