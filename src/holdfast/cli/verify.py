"""``holdfast verify``: are all bytes the ones that were put?"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ..api import Scope, Store
from .arguments import JsonOption, StoreOption, complete_address, open_store
from .commands import WRONG
from .printing import document, paint
from .progress import progress
from .wording import count_text, shown, size_text

__all__ = ["verify"]


def verify(
    addresses: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ADDRESS...",
            help="Records, scopes, or prefixes that end in /; by default everything.",
            autocompletion=complete_address,
            show_default=False,
        ),
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read and hash the bytes of all records, and list those that are gone or not the ones that were put.

    Leaves with exit code 1 if there are any. Nothing is changed, and no stored code runs.

    \b
    Examples:
      holdfast verify
      holdfast verify namespace:prod/report.pdf namespace:prod/artifact:run-7 --json
    """
    with open_store(store) as opened:
        total = _size(opened) if not addresses and sys.stderr.isatty() else None
        with progress("verifying", total) as tell:
            found = opened.verify(addresses or None, progress=tell)
    if as_json:
        document({**found._asdict(), "problems": [problem._asdict() for problem in found.problems]})
    else:
        for problem in found.problems:
            address = shown(problem.address)
            print(f"{paint('wrong', 'red')} {address} version {problem.version}: {shown(problem.message)}")
        looked = f"{count_text(found.records, 'record')}, {size_text(found.size)}, in {found.seconds:.1f} s"
        print(f"verified {looked}: {'all as they were put' if found.fine else f'{len(found.problems):,} wrong'}")
    if not found.fine:
        raise typer.Exit(WRONG)


def _size(place: Store | Scope) -> int:
    """Bytes to be read, for the bar."""
    total, waiting = 0, list(place.children())
    while waiting:
        scope = waiting.pop()
        usage = scope.usage()
        total += usage.inline + usage.stored
        waiting.extend(scope.children())
    return total
