"""The catalog in PostgreSQL: many threads and processes of many machines."""

from __future__ import annotations

from ...errors import MissingExtraError

try:
    import psycopg  # noqa: F401
except ImportError as error:
    raise MissingExtraError('a catalog in PostgreSQL needs psycopg: pip install "holdfast[postgresql]"') from error

from .catalog import PostgreSQLCatalog

__all__ = ["PostgreSQLCatalog"]
