"""Opening a catalog: what must be there, what is made, and how each connection is set."""

from __future__ import annotations

from typing import NamedTuple

import psycopg
from psycopg import sql

from ...errors import NotAStoreError, ReadOnlyError, StoreError, StoreNotFoundError
from .connection import Link
from .failures import translated
from .schema import check, migrate
from .target import Target

__all__ = ["Identity", "open_catalog", "settings"]

_OLDEST = 140000
_LOCK = "SELECT pg_advisory_xact_lock(1213156421,hashtext($1))"  # one at a time makes or migrates a schema


class Identity(NamedTuple):
    """What a catalog is known by: see :class:`~holdfast.catalog.base.Catalog`; and the number of its store's lock."""

    store_id: str
    signing_key: bytes
    lock: int


def settings(schema: str, timeout: float) -> str:
    """The statements that set a connection.

    What a server is told to take lightly is not: a commit is on its disk before it is acknowledged. Plans are made for
    tables that are large or will be, also before the server has seen that. Who is stopped in the middle of a
    transaction does not hold its locks for ever.
    """
    path = sql.SQL("{},pg_temp").format(sql.Identifier(schema)).as_string()
    return (
        f"SET search_path={path};SET lock_timeout={max(1, int(timeout * 1000))};"
        "SET default_transaction_isolation='read committed';SET client_min_messages=warning;"
        "SET standard_conforming_strings=on;"
        "SET enable_seqscan=off;SET random_page_cost=1;SET jit=off;"
        "SELECT set_config('synchronous_commit','on',false) WHERE current_setting('synchronous_commit')='off';"
        "SELECT set_config('idle_in_transaction_session_timeout','60s',false) "
        "WHERE current_setting('idle_in_transaction_session_timeout')='0'"
    )


def open_catalog(link: Link, target: Target, *, create: bool) -> Identity:
    """Make or check the catalog, and bring it to the present schema.

    Raises:
        StoreError: an old server, or a database that is not in UTF-8.
        StoreNotFoundError: no catalog is there, and ``create`` is False.
        NotAStoreError: the schema holds something else.
        ReadOnlyError: this user may not make the schema or its tables.
        SchemaError: newer than this version, or damaged.
    """
    if link.version < _OLDEST:
        raise StoreError(f"{target.where} is on PostgreSQL {link.version // 10000}: 14 or later is needed")
    if link.encoding != "UTF8":
        raise StoreError(f"{target.where} is in {link.encoding}: make a database with ENCODING 'UTF8' for it")
    try:
        if not _is_current(link, target):
            if not create and not _is_there(link, target):
                raise StoreNotFoundError(
                    f"no catalog is there yet: {target.where}; holdfast put, or create=True, makes it"
                )
            _make(link, target)
        store_id, key, lock = link.rows(
            "SELECT uuid,signing_key,'store'::regclass::oid::int8::bit(32)::int4 FROM store WHERE id=1"
        )[0]
    except psycopg.Error as error:
        link.settle()
        raise _explained(error, target) from error
    return Identity(store_id, key, lock)


def _explained(error: psycopg.Error, target: Target) -> Exception:
    if error.sqlstate == "42501":
        user = target.parameters.get("user", "user")
        return ReadOnlyError(
            f"{target.where} cannot be made or used by {user} ({' '.join(str(error).split())}): let an administrator "
            f'run CREATE SCHEMA {sql.Identifier(target.schema).as_string()} AUTHORIZATION "{user}"'
        )
    return translated(error, target.where)


def _tables(link: Link, target: Target) -> list[str]:
    rows = link.rows(
        "SELECT relname::text FROM pg_class c JOIN pg_namespace n ON n.oid=relnamespace "
        "WHERE nspname=$1 AND relkind IN ('r','p','v','m','f')",
        (target.schema,),
    )
    return [name for (name,) in rows]


def _is_there(link: Link, target: Target) -> bool:
    """Whether a catalog is in the schema, of whatever version.

    Raises:
        NotAStoreError: something else is there.
    """
    tables = _tables(link, target)
    if not tables:
        return False
    ours = link.rows(
        "SELECT count(*) FROM information_schema.columns WHERE table_schema=$1 AND table_name='store' "
        "AND column_name IN ('uuid','signing_key','epoch','schema')",
        (target.schema,),
    )
    if ours[0][0] != 4:
        raise NotAStoreError(
            f"{target.where} holds other tables ({min(tables)} ...) and no store: name a new schema, as in ?schema=name"
        )
    return True


def _version(link: Link) -> int:
    rows = link.rows("SELECT schema FROM store WHERE id=1")
    return rows[0][0] if rows else 0


def _is_current(link: Link, target: Target) -> bool:
    return _is_there(link, target) and check(_version(link), _tables(link, target), target.where)


def _make(link: Link, target: Target) -> None:
    link.rows("BEGIN")
    link.rows(_LOCK, (target.schema,))
    if not _is_there(link, target):
        if not link.rows("SELECT 1 FROM pg_namespace WHERE nspname=$1", (target.schema,)):
            link.script(f"CREATE SCHEMA {sql.Identifier(target.schema).as_string()}")
        migrate(link, 0)
    elif not _is_current(link, target):
        migrate(link, _version(link))
    link.rows("COMMIT")
