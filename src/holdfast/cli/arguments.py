"""The arguments that commands have in common, and the store that they lead to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..address import Path, format_address, format_path, parse_address
from ..api import Scope, Store
from ..config import MEMORY, find_config, is_server
from ..errors import HoldfastError, InvalidArgumentError, NotFoundError, StoreNotFoundError
from ..kernel import CATALOG_FILE
from ..model import Record
from ..store import OpenKernel

if TYPE_CHECKING:
    from ..flows.functions import Functions

__all__ = [
    "AddressArgument",
    "AddressesArgument",
    "BelowOption",
    "ContentOption",
    "FunctionsOption",
    "JsonOption",
    "Place",
    "PlaceArgument",
    "QuietOption",
    "StorageOption",
    "StoreOption",
    "complete_address",
    "functions_from",
    "hand_down",
    "missing_below",
    "open_store",
    "parse",
    "parse_record",
    "parse_scope",
    "size_of",
]

Place = Store | Scope
"""Where scopes are: the store, which is the root, or a scope."""

_OFFERED = 100  # completions


def open_store(store: str | None, *, create: bool = False, storage: str | None = None) -> Store:
    """The store that ``--store``, the environment or ``holdfast.toml`` names; use it in a ``with`` block.

    Raises:
        StoreNotFoundError: none is named, or none is there and ``create`` is False.
    """
    try:
        config = find_config(store, storage=storage)
    except StoreNotFoundError:
        raise StoreNotFoundError(
            "no store is named: give --store FOLDER, set HOLDFAST_STORE, or write store = 'FOLDER' into holdfast.toml"
        ) from None
    folder = config.store
    if not (create or folder == MEMORY or is_server(folder)) and not os.path.exists(os.path.join(folder, CATALOG_FILE)):
        raise StoreNotFoundError(f"no store in {folder}: holdfast put makes one")
    return Store(OpenKernel(config, create=create))


def functions_from(file: str | None) -> Functions:
    """The functions that flows may call: those of ``--functions``, of the environment or of ``holdfast.toml``.

    Raises:
        NotFoundError: there is no such file.
        InvalidArgumentError: it is not legal.
    """
    from ..flows.functions import configured  # all of flows, which few commands need

    if file is not None and not os.path.exists(file):
        raise NotFoundError(f"no file {file}")
    return configured(file)


def parse(store: Store, address: str) -> tuple[Place, str | None]:
    """Scope and key of an address; the store itself for the empty address, no key for a scope.

    Raises:
        InvalidScopeError, InvalidKeyError: the text is no address.
    """
    if address in ("", "/"):
        return store, None
    path, key = parse_address(address)
    return store.scope(format_path(path)), key


def parse_record(store: Store, address: str) -> tuple[Scope, str]:
    """Scope and key of an address that must name a record.

    Raises:
        InvalidArgumentError: it names a scope or a prefix, or is no address.
    """
    scope, key = parse(store, address)
    if not isinstance(scope, Scope) or key is None:
        raise InvalidArgumentError(f"{address!r} names a scope: add a key, as in namespace:prod/model")
    return scope, key


def parse_scope(store: Store, address: str) -> Place:
    """The scope of an address, which exists; the store itself for the empty address.

    Raises:
        InvalidArgumentError: it names a key, or is no address.
        NotFoundError: there is no such scope.
    """
    place, key = parse(store, address)
    if key is not None:
        raise InvalidArgumentError(f"{address!r} is no scope: name one, as in namespace:prod")
    if isinstance(place, Scope):
        place.info()
    return place


def missing_below(scope: Scope, prefix: str) -> HoldfastError:
    """The error for a prefix of keys that no record has; that there is no such scope is another one, raised here."""
    scope.info()
    return NotFoundError(f"no record of {scope} has a key that begins with {prefix!r}")


def complete_address(ctx: typer.Context, incomplete: str) -> list[str]:
    """Scopes and keys that begin with what was typed; nothing when there is no store to look into."""
    try:
        with open_store(ctx.params.get("store")) as store:
            return list(islice(_offers(store, incomplete), _OFFERED))
    except HoldfastError:
        return []  # no place to show an error: the shell is in the middle of a line


def _offers(store: Store, incomplete: str) -> Iterator[str]:
    above, slash, _ = incomplete.rpartition("/")
    path: Path = ()
    key: str | None = None
    if above:
        path, key = parse_address(above)
    place = store.scope(format_path(path)) if path else store
    if key is None:
        for child in place.children():
            text = f"{above}{slash}{format_path(child.path[-1:])}"
            if text.startswith(incomplete):
                yield text
    if isinstance(place, Scope):
        last = incomplete[len(format_path(path)) + 1 :]
        begun = parse_address(incomplete)[1] if last and ":" not in last.partition("/")[0] else ""
        for found in place.keys(begun or "", limit=_OFFERED):
            yield format_address(path, found)


_address = partial(typer.Argument, autocompletion=complete_address, show_default=False)

AddressArgument = Annotated[
    str, _address(metavar="ADDRESS", help="Scope and key, as in namespace:prod/workflow:forecast/model.")
]
"""An address that must be given."""

PlaceArgument = Annotated[
    str, _address(metavar="ADDRESS", help="A scope, or a scope and a key; by default the whole store.")
]
"""An address, or nothing for the store."""

AddressesArgument = Annotated[
    list[str] | None, _address(metavar="ADDRESS...", help="Records, scopes, or prefixes of keys that end in /.")
]
"""Any number of addresses."""

QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Do not show its log.")]
"""``--quiet`` of what runs a flow."""

StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="FOLDER",
        help="Folder or postgresql:// URL of the store; else HOLDFAST_STORE, else holdfast.toml.",
    ),
]
"""``--store``."""

StorageOption = Annotated[
    str | None, typer.Option("--storage", metavar="URL", help="Where the store's bytes go; else where they went last.")
]
"""``--storage``."""

ContentOption = Annotated[
    str | None, typer.Option("--content", metavar="NAME", help="Which content, of an object that has several.")
]
"""``--content``."""

BelowOption = Annotated[
    str,
    typer.Option(
        "--scope", metavar="PATH", help="Only what is in this scope or below it.", autocompletion=complete_address
    ),
]
"""``--scope`` of a listing."""

FunctionsOption = Annotated[
    str | None,
    typer.Option(
        "--functions", metavar="FILE", help="TOML file of functions; else HOLDFAST_FUNCTIONS, else holdfast.toml."
    ),
]
"""``--functions``."""

JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON, errors too.")]
"""``--json``."""


def size_of(record: Record, content: str | None) -> int:
    """How many bytes of a record, or of one of its contents, there will be; for the progress that is shown."""
    found = None if content is None else record.contents.get(content)
    return record.unpacked_size if found is None else found.size


def hand_down(ctx: typer.Context, store: StoreOption = None) -> None:
    """Let a store named before a command's name be that of the command; without a command show the help."""
    group: Any = ctx.command
    if ctx.invoked_subcommand is None:
        print(ctx.get_help())
    elif store is not None:
        ctx.default_map = {name: {"store": store} for name in group.commands}
