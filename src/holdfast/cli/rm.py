"""``holdfast rm``: records and scopes are removed."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ..api import Scope, Store
from ..errors import HoldfastError, InvalidArgumentError, NotFoundError
from .arguments import JsonOption, StoreOption, complete_address, open_store, parse
from .commands import report
from .printing import json_line, record_json
from .wording import count_text, shown

__all__ = ["rm"]


def rm(
    addresses: Annotated[
        list[str],
        typer.Argument(
            metavar="ADDRESS...",
            help="Records; with -r also scopes, and prefixes that end in /.",
            autocompletion=complete_address,
            show_default=False,
        ),
    ],
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Scopes with all below, and prefixes.")] = False,
    if_version: Annotated[int | None, typer.Option(metavar="N", help="Only while this is its version.")] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="What is missing is no error.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove records, or with -r scopes with all below them.

    They are hidden at once; gc frees the disk. What can be removed is removed even if another address fails.

    \b
    Examples:
      holdfast rm namespace:prod/report.pdf
      holdfast rm -r namespace:prod/artifact:run-7 namespace:prod/maps/
    """
    if if_version is not None and (recursive or len(addresses) > 1):
        raise InvalidArgumentError("--if-version is for one record")
    code = 0
    with open_store(store) as opened:
        for address in addresses:
            try:
                _remove(opened, address, recursive, if_version, force, yes, as_json)
            except HoldfastError as error:
                code = report(error, as_json) if not code else (report(error, as_json), code)[1]
    if code:
        raise typer.Exit(code)


def _remove(
    store: Store, address: str, recursive: bool, if_version: int | None, force: bool, yes: bool, as_json: bool
) -> None:
    scope, key = parse(store, address)
    if scope is None:
        raise InvalidArgumentError("the whole store is not removed by rm: remove its folder")
    if key is not None and not key.endswith("/"):
        record = scope.delete(key, if_version=if_version, missing_ok=force)
        if record is not None and as_json:
            json_line({"is": "record", **record_json(record)})
        elif record is not None:
            print(f"removed {shown(record.address)}, which was version {record.version}")
        return
    if not recursive:
        what = "scope" if key is None else "prefix of keys"
        raise InvalidArgumentError(f"{address} is a {what}: -r removes it with all below it")
    if not yes and sys.stdin.isatty():
        typer.confirm(f"Remove all below {shown(address)}?", abort=True, err=True)
    if key is None:
        scope.drop(missing_ok=force)
        removed = {"is": "scope", "scope": str(scope)}
        text = f"removed {shown(str(scope))} with all below it"
    else:
        count = _remove_prefix(scope, key)
        if not count and not force:
            raise NotFoundError(f"no record of {scope} has a key that begins with {key!r}")
        removed = {"is": "prefix", "prefix": address, "records": count}
        text = f"removed {count_text(count, 'record')} below {shown(address)}"
    if as_json:
        json_line(removed)
    else:
        print(text)


def _remove_prefix(scope: Scope, prefix: str) -> int:
    return sum(scope.delete(key, missing_ok=True) is not None for key in scope.keys(prefix))
