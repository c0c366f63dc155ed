"""``holdfast verify``: are all bytes the ones that were put?"""

from __future__ import annotations

import sys
from itertools import islice

import typer

from ..upkeep.verifier import scopes_from
from .arguments import AddressesArgument, JsonOption, StoreOption, open_store
from .commands import WRONG
from .printing import answer, paint
from .progress import progress
from .wording import count_text, shown, size_text

__all__ = ["verify"]


def verify(
    addresses: AddressesArgument = None,
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
        total = None
        if not addresses and sys.stderr.isatty():  # only the bar needs it
            total = sum(scope.usage().size for scope in islice(scopes_from(opened), 1, None))
        with progress("verifying", total) as tell:
            found = opened.verify(addresses or None, progress=tell)
    lines = [
        f"{paint('wrong', 'red')} {shown(problem.address)} version {problem.version}: {shown(problem.message)}"
        for problem in found.problems
    ]
    looked = f"{count_text(found.records, 'record')}, {size_text(found.size)}, in {found.seconds:.1f} s"
    lines += [f"verified {looked}: {'all as they were put' if found.fine else f'{len(found.problems):,} wrong'}"]
    facts = {**found._asdict(), "problems": [problem._asdict() for problem in found.problems]}
    answer(as_json, facts, "\n".join(lines))
    if not found.fine:
        raise typer.Exit(WRONG)
