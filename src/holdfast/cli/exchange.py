"""``holdfast export``, ``import`` and ``sync``: a store as a folder of plain files, and as a copy of another store."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from itertools import islice
from typing import Annotated

import typer

from ..api import Store
from ..exchange import Moved
from ..exchange.folder import FolderSource
from ..upkeep.verifier import Problem, scopes_from
from .arguments import JsonOption, StorageOption, StoreOption, open_store
from .commands import CONFLICT, WRONG
from .printing import document, note, paint
from .progress import progress
from .wording import count_text, shown, size_text

__all__ = ["export", "import_", "sync"]

_FolderArgument = Annotated[str, typer.Argument(metavar="FOLDER", help="The export.", show_default=False)]
_ReplaceOption = Annotated[bool, typer.Option("--replace", help="Replace records that are newer there, too.")]


def export(
    folder: _FolderArgument,
    key_file: Annotated[
        str | None, typer.Option("--key-file", metavar="FILE", help="Write the store's key to this new file.")
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write all of a store to a new folder: plain files, with JSON that says what they are. For back-ups, and to move.

    The key is never in the folder. An import needs it to load pickles again: write it to a file, kept apart.

    \b
    Examples:
      holdfast export backup --key-file backup.key
      holdfast export backup --store data
    """
    with open_store(store) as opened, progress("exporting", _size(opened)) as tell:
        done = opened.export_to(folder, key_file=key_file, progress=tell)
    if as_json:
        document({**done._asdict(), "problems": _problems(done.problems)})
    else:
        _show(done.problems, done.refused)
        what = f"{count_text(done.records, 'record')} in {count_text(done.scopes, 'scope')}, {size_text(done.size)}"
        print(f"exported {what}, to {shown(folder)}, in {done.seconds:.1f} s")
    if done.refused:
        raise typer.Exit(WRONG)


def import_(
    folder: _FolderArgument,
    key_file: Annotated[
        str | None, typer.Option("--key-file", metavar="FILE", help="The key that the export wrote.")
    ] = None,
    replace: _ReplaceOption = False,
    store: StoreOption = None,
    storage: StorageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take over all of an export, under the same versions and times. The store is made if need be; what is newer in it,
    or only there, stays.

    Bytes are checked against their digests, pickles against the exporter's key. Run it again to go on with an import
    that was interrupted, or to sign pickles once the key is at hand.

    \b
    Examples:
      holdfast import backup --key-file backup.key --store new
    """
    with FolderSource(os.path.abspath(folder)) as source:  # before a store is made
        total = source.head.size
    with open_store(store, create=True, storage=storage) as opened, progress("importing", total) as tell:
        done = opened.import_from(folder, key_file=key_file, replace=replace, progress=tell)
    _end("imported", done, as_json)
    if done.unsigned:
        note(
            f"{count_text(done.unsigned, 'pickle')} came unsigned and will not be loaded: import again with "
            "--key-file, the file that holdfast export --key-file wrote"
        )
    _leave(done)


def sync(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="The other store; it is made if need be.")],
    delete: Annotated[bool, typer.Option("--delete", help="Remove there what is not here.")] = False,
    replace: _ReplaceOption = False,
    store: StoreOption = None,
    storage: StorageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring another store up to what this one has. Only what is newer here is moved, while others write.

    \b
    Examples:
      holdfast sync /mnt/disk/copy
      holdfast sync /mnt/disk/copy --delete
    """
    with (
        open_store(store) as opened,
        open_store(target, create=True, storage=storage) as other,
        progress("synchronizing", _size(opened)) as tell,
    ):
        done = opened.sync_to(other, delete=delete, replace=replace, progress=tell)
    _end("synchronized", done, as_json)
    _leave(done)


def _size(store: Store) -> int | None:
    if not sys.stderr.isatty():  # only the bar needs it
        return None
    size: int = sum(scope.usage().size for scope in islice(scopes_from(store), 1, None))
    return size


def _end(verb: str, done: Moved, as_json: bool) -> None:
    if as_json:
        document({**done._asdict(), "problems": _problems(done.problems)})
        return
    _show(done.problems, done.refused)
    for address in done.newer:
        print(f"{paint('newer there', 'cyan')} {shown(address)}")
    parts = [f"{count_text(done.records, 'record')}, {size_text(done.size)}", f"{done.there:,} there already"]
    parts += [
        f"{number:,} {what}" for number, what in ((done.removed, "removed"), (done.left, "newer there")) if number
    ]
    print(f"{verb} {'; '.join(parts)}; in {done.seconds:.1f} s")


def _leave(done: Moved) -> None:
    if done.refused or done.left:
        raise typer.Exit(WRONG if done.refused else CONFLICT)


def _problems(problems: Sequence[Problem]) -> list[dict[str, object]]:
    return [problem._asdict() for problem in problems]


def _show(problems: Sequence[Problem], number: int) -> None:
    for problem in problems:
        print(f"{paint('wrong', 'red')} {shown(problem.address)} version {problem.version}: {shown(problem.message)}")
    if number > len(problems):
        print(f"{paint('wrong', 'red')} and {number - len(problems):,} more")
