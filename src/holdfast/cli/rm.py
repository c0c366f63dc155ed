"""``holdfast rm``: records and scopes are removed."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ..api import Scope
from ..errors import HoldfastError, InvalidArgumentError
from .arguments import AddressesArgument, JsonOption, StoreOption, missing_below, open_store, parse
from .commands import report
from .printing import answer, json_line, record_json
from .wording import count_text, shown

__all__ = ["rm"]


def rm(
    addresses: AddressesArgument,
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
    wanted = addresses or []
    if if_version is not None and (recursive or len(wanted) > 1):
        raise InvalidArgumentError("--if-version is for one record")
    codes = []
    with open_store(store) as opened:
        for address in wanted:
            try:
                scope, key = parse(opened, address)
                if not isinstance(scope, Scope):
                    raise InvalidArgumentError("rm does not remove the whole store: remove its folder")
                if key is not None and not key.endswith("/"):
                    _remove_record(scope, key, if_version, force, as_json)
                elif not recursive:
                    what = "scope" if key is None else "prefix of keys"
                    raise InvalidArgumentError(f"{address} is a {what}: -r removes it with all below it")
                else:
                    if not yes and sys.stdin.isatty():
                        typer.confirm(f"Remove all below {shown(address)}?", abort=True, err=True)
                    _remove_below(scope, key, force, as_json)
            except HoldfastError as error:
                codes.append(report(error, as_json))
    if codes:
        raise typer.Exit(codes[0])


def _remove_record(scope: Scope, key: str, if_version: int | None, force: bool, as_json: bool) -> None:
    record = scope.delete(key, if_version=if_version, missing_ok=force)
    if record is not None:
        text = f"removed {shown(record.address)}, which was version {record.version}"
        answer(as_json, {"is": "record", **record_json(record)}, text, json_line)


def _remove_below(scope: Scope, prefix: str | None, force: bool, as_json: bool) -> None:
    """Drop the scope, or delete all its records of a prefix."""
    if prefix is None:
        scope.drop(missing_ok=force)
        removed: dict[str, object] = {"is": "scope", "scope": str(scope)}
        text = f"removed {shown(str(scope))} with all below it"
    else:
        count = sum(scope.delete(key, missing_ok=True) is not None for key in scope.keys(prefix))
        if not count and not force:
            raise missing_below(scope, prefix)
        removed = {"is": "prefix", "prefix": f"{scope}/{prefix}", "records": count}
        text = f"removed {count_text(count, 'record')} below {shown(f'{scope}/{prefix}')}"
    answer(as_json, removed, text, json_line)
