"""Where a catalog is: the server, the database and the schema that a URL names."""

from __future__ import annotations

import math
from typing import NamedTuple
from urllib.parse import unquote

import psycopg
from psycopg.conninfo import conninfo_to_dict

from ...errors import InvalidArgumentError

__all__ = ["SCHEMA", "Target", "parse_url"]

SCHEMA = "holdfast"
"""The schema of a store whose URL names none."""

_SCHEMES = ("postgresql://", "postgres://")
_LONGEST = 63  # bytes of a name in PostgreSQL
_EXAMPLE = "postgresql://user@host:5432/database?schema=name"


class Target(NamedTuple):
    """A catalog's place.

    Attributes:
        parameters: what libpq needs to connect, the password among it.
        schema: the schema that holds the tables.
        where: the place in words, for messages; no password.
    """

    parameters: dict[str, str]
    schema: str
    where: str

    def __repr__(self) -> str:
        return f"Target({self.where})"


def parse_url(url: str, timeout: float) -> Target:
    """Read a URL as libpq does, and ``schema`` beside libpq's own parameters.

    A connection that does not come about, or whose other end is gone without a word, is given up after about
    ``timeout`` seconds, unless the URL says otherwise.

    Raises:
        InvalidArgumentError: it is no URL of PostgreSQL, or names no legal schema. The message does not repeat it, as
            a password may be in it.
    """
    if not url.startswith(_SCHEMES):
        raise InvalidArgumentError(f"a PostgreSQL URL begins with {_SCHEMES[0]}, as in {_EXAMPLE}")
    base, _, query = url.partition("?")
    pairs = query.split("&") if query else []
    own = [pair for pair in pairs if pair.startswith("schema=")]
    others = [pair for pair in pairs if pair not in own]
    schema = _check_schema(unquote(own[-1].removeprefix("schema="))) if own else SCHEMA
    try:
        given = conninfo_to_dict(base + ("?" + "&".join(others) if others else ""))
    except (psycopg.Error, ValueError) as error:
        reason = str(error).strip()
        named = f" ({reason})" if reason.startswith("invalid URI query parameter") else ""
        message = f"this is no PostgreSQL URL{named}: it must be like {_EXAMPLE}, with special characters as %40"
        raise InvalidArgumentError(message) from None
    parameters = {name: str(value) for name, value in given.items()}
    patience = max(2, math.ceil(timeout))
    defaults = {
        "connect_timeout": patience,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 1000 * max(10, patience),
        "fallback_application_name": "holdfast",
    }
    for name, value in defaults.items():
        parameters.setdefault(name, str(value))
    parameters["client_encoding"] = "UTF8"
    return Target(parameters, schema, _words(parameters, schema))


def _check_schema(name: str) -> str:
    if not name or len(name.encode()) > _LONGEST or not name.isprintable() or name.startswith("pg_"):
        raise InvalidArgumentError(
            f"illegal schema {ascii(name)[:80]} in the URL: it must be 1 to {_LONGEST} bytes of printable characters, "
            "and not begin with pg_"
        )
    return name


def _words(parameters: dict[str, str], schema: str) -> str:
    host = parameters.get("host") or parameters.get("hostaddr") or "the default host"
    port = f":{parameters['port']}" if "port" in parameters else ""
    database = parameters.get("dbname") or parameters.get("user") or "the default"
    return f"the PostgreSQL catalog {schema} (database {database} at {host}{port})"
