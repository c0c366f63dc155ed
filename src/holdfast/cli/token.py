"""Bearer tokens of the store, by which programs reach it over HTTP: made, listed, revoked."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ..address import format_path
from ..api import Store
from ..config import find_config, is_service
from ..errors import InvalidArgumentError
from ..tokens import Token, Tokens
from .arguments import JsonOption, StoreOption, complete_address, open_store
from .printing import answer, json_line, note, print_columns, time_json
from .wording import age_text, duration, left_text, shown

__all__ = ["create", "ls", "revoke"]

_SCOPES = typer.Option(
    "--scope", metavar="SCOPE", help="What it opens, with all below; may be repeated. / is the whole store.",
    autocompletion=complete_address,
)  # fmt: skip
_ALLOW = typer.Option(metavar="VERBS", help="What it allows there: read, write, admin, with commas between them.")
_EXPIRES = typer.Option(metavar="TIME", help="It ends after 30d, 12h, 15m, 90s or 2w; by default never.")
_LABEL = typer.Option(metavar="TEXT", help="To tell it from others.")


def _open(store: str | None, *, create: bool = False) -> Store:
    """The store; tokens of one that a service keeps are no matter of its clients."""
    if is_service(find_config(store).store):
        raise InvalidArgumentError("no service lets its clients at tokens: run this where the store lies")
    return open_store(store, create=create)


def _json(token: Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "label": token.label,
        "scopes": [format_path(path) for path in token.access.scopes],
        "allow": sorted(token.access.verbs),
        "created": time_json(token.created),
        "expires": time_json(token.expires),
    }


def create(
    scope: Annotated[list[str], _SCOPES],
    allow: Annotated[str, _ALLOW] = "read",
    expires: Annotated[str | None, _EXPIRES] = None,
    label: Annotated[str, _LABEL] = "",
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a token and write its text to stdout. It is shown this once: the store keeps only a digest of it.

    The store is made when it is not there. From the first token on, the service answers no request without a token.

    \b
    Examples:
      holdfast token create --scope namespace:prod --allow read,write --expires 30d --label forecast
      holdfast token create --scope / --allow read
    """
    span = None if expires is None else duration(expires, "--expires")
    verbs = [verb.strip() for verb in allow.split(",")]
    with _open(store, create=True) as opened:
        text, token = Tokens(opened).create(scopes=scope, allow=verbs, expires=span, label=label)
    answer(as_json, {"token": text, **_json(token)}, text)
    if not as_json:
        note(f"token {token.id}: keep its text now, it is not shown again")


def ls(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """List the tokens that are not expired, the oldest first, without their texts. With --json one object a line.

    \b
    Examples:
      holdfast token ls
      holdfast token ls --json
    """
    with _open(store) as opened:
        tokens = Tokens(opened).list()
    if as_json:
        for token in tokens:
            json_line(_json(token))
        return
    rows = []
    for token in tokens:
        scopes = " ".join(format_path(path) or "/" for path in token.access.scopes)
        ends = "never" if token.expires is None else left_text(token.expires)
        verbs = ",".join(sorted(token.access.verbs))
        rows.append((token.id, verbs, shown(scopes), age_text(token.created), ends, shown(token.label)))
    print_columns(rows)
    if not rows:
        note("there are no tokens")


def revoke(
    id: Annotated[str, typer.Argument(metavar="ID", help="As token ls shows it.", show_default=False)],
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Revoke a token: within 5 seconds it opens nothing any more.

    \b
    Examples:
      holdfast token revoke 3f9c5b1e0d7a2468
    """
    with _open(store) as opened:
        Tokens(opened).revoke(id)
    answer(as_json, {"revoked": id}, f"revoked {id}", json_line)
