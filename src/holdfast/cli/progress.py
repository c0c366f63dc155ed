"""A bar on stderr for work that takes a while; nothing where nobody looks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["progress"]

_WORTH_IT = 32 << 20  # bytes from which on it takes long enough to be shown


@contextmanager
def progress(what: str, total: int | None = None, *, bytes_: bool = True) -> Iterator[Callable[[int], object]]:
    """A function to call with each amount done; it does nothing when stderr is no terminal or the work is small.

    Args:
        what: shown beside the bar.
        total: how much it will be, None when unknown.
        bytes_: amounts are bytes; else they are things.
    """
    if not sys.stderr.isatty() or (bytes_ and total is not None and total < _WORTH_IT):
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    amount = DownloadColumn() if bytes_ else MofNCompleteColumn()
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), amount, TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.advance(task, done)
