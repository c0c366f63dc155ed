"""The tables, and the way from every earlier form of them to the present one.

Why the tables are as they are:

* ``scopes.id`` is AUTOINCREMENT: an id is never used again, so a remembered one can go stale but never point at
  another scope. ``store.epoch`` grows with every rename and drop; a remembered id is good for one epoch.
* Versions: a new key of a scope starts above ``floor``, which deletes raise. No version of the scope is above
  ``ceiling`` (raised in steps), so that a drop finds out in no time where the next scope of that name has to start.
* ``records.version`` is NOT NULL as a guard: the sub-select that makes it gives NULL when the scope is gone, the epoch
  is another, or the ceiling is reached, and then nothing is written.
* No trigger stands on INSERT, and none on columns that an inline put names: they would be compiled into every put.
* ``data`` is last: long rows overflow there, and the columns before it stay on the first page.
* ``kept`` holds what a value replaced whose bytes may not be on disk yet; see ``records_replaced``.
* ``members`` holds the blobs of a bundle together: a record of several contents refers to that one row of ``blobs``,
  of storage 0. A member loses its reference with its row here.
* ``past`` holds replaced and deleted versions, of scopes that ask for them in ``policies``; what writes there is the
  code of commits, so that puts elsewhere have none of it. ``surplus`` has the scopes that ask for fewer now, and the
  key from which on there may be too many.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence

import apsw

from ...errors import NotAStoreError, SchemaError

__all__ = ["APPLICATION", "MIGRATIONS", "check", "is_current", "migrate", "missing_tables"]

APPLICATION = 0x484F4C44
"""SQLite's ``application_id`` of our files: "HOLD"."""

_TABLES = """
CREATE TABLE store(
  id INTEGER PRIMARY KEY CHECK(id=1), uuid TEXT NOT NULL, signing_key BLOB NOT NULL, created REAL NOT NULL,
  epoch INTEGER NOT NULL DEFAULT 1, floor INTEGER NOT NULL DEFAULT 0, tally INTEGER NOT NULL DEFAULT 0,
  machine TEXT, boot TEXT, until REAL);
CREATE TABLE scopes(
  id INTEGER PRIMARY KEY AUTOINCREMENT, parent INTEGER NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL,
  floor INTEGER NOT NULL, ceiling INTEGER NOT NULL, created REAL NOT NULL, properties TEXT);
CREATE UNIQUE INDEX scopes_name ON scopes(parent, kind, name);
CREATE TABLE dropped(scope INTEGER PRIMARY KEY);
CREATE TABLE marks(path TEXT PRIMARY KEY, dropped INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE codecs(id INTEGER PRIMARY KEY, serializer TEXT, content_type TEXT NOT NULL, encoding TEXT);
CREATE UNIQUE INDEX codecs_all ON codecs(ifnull(serializer, 0), content_type, ifnull(encoding, 0));
CREATE TABLE storages(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, url TEXT NOT NULL);
CREATE TABLE records(
  id INTEGER PRIMARY KEY, scope INTEGER NOT NULL, key TEXT NOT NULL, tier INTEGER NOT NULL, version INTEGER NOT NULL,
  flags INTEGER NOT NULL, created REAL NOT NULL, updated REAL NOT NULL, expires REAL, tags TEXT, session TEXT,
  algorithm INTEGER NOT NULL, digest BLOB, size INTEGER NOT NULL, codec INTEGER NOT NULL, config TEXT, signature BLOB,
  blob INTEGER, data);
CREATE UNIQUE INDEX records_key ON records(scope, key, tier);
CREATE INDEX records_expires ON records(expires) WHERE expires IS NOT NULL;
CREATE INDEX records_blob ON records(blob) WHERE blob IS NOT NULL;
CREATE INDEX records_ephemeral ON records(scope, key) WHERE tier=1;
CREATE TABLE kept(
  id INTEGER PRIMARY KEY, scope INTEGER NOT NULL, key TEXT NOT NULL, tier INTEGER NOT NULL, version INTEGER NOT NULL,
  flags INTEGER NOT NULL, created REAL NOT NULL, updated REAL NOT NULL, expires REAL, tags TEXT, session TEXT,
  algorithm INTEGER NOT NULL, digest BLOB, size INTEGER NOT NULL, codec INTEGER NOT NULL, config TEXT, signature BLOB,
  blob INTEGER, data);
CREATE UNIQUE INDEX kept_key ON kept(scope, key, tier, version);
CREATE INDEX kept_blob ON kept(blob) WHERE blob IS NOT NULL;
CREATE TABLE blobs(
  id INTEGER PRIMARY KEY AUTOINCREMENT, storage INTEGER NOT NULL, place TEXT NOT NULL, algo INTEGER NOT NULL, hash BLOB,
  bytes INTEGER NOT NULL, refs INTEGER NOT NULL, state INTEGER NOT NULL DEFAULT 0, synced INTEGER NOT NULL, boot TEXT,
  device INTEGER, inode INTEGER, mtime INTEGER, ctime INTEGER);
CREATE UNIQUE INDEX blobs_place ON blobs(storage, place);
CREATE INDEX blobs_hash ON blobs(hash) WHERE state=0 AND hash IS NOT NULL;
CREATE INDEX blobs_garbage ON blobs(id) WHERE refs=0;
CREATE INDEX blobs_unsynced ON blobs(id) WHERE synced=0;
CREATE TABLE leases(
  name TEXT PRIMARY KEY, owner TEXT NOT NULL, token INTEGER NOT NULL, expires REAL NOT NULL) WITHOUT ROWID;
"""

# The statement that replaces a record has taken a reference to the new blob itself; what it replaced is settled here.
# While the new bytes may still be lost by a power cut, the old row is kept with a reference of its own; once they are
# inline or on disk, nothing of the key need be kept.
_TRIGGERS = """
CREATE TRIGGER records_replaced AFTER UPDATE OF blob ON records WHEN OLD.blob IS NOT NULL OR NEW.blob IS NOT NULL
BEGIN
  INSERT INTO kept(scope, key, tier, version, flags, created, updated, expires, tags, session, algorithm, digest, size,
    codec, config, signature, blob, data)
  SELECT OLD.scope, OLD.key, OLD.tier, OLD.version, OLD.flags, OLD.created, OLD.updated, OLD.expires, OLD.tags,
    OLD.session, OLD.algorithm, OLD.digest, OLD.size, OLD.codec, OLD.config, OLD.signature, OLD.blob, OLD.data
  WHERE OLD.tier=0 AND OLD.blob IS NOT NEW.blob AND EXISTS(SELECT 1 FROM blobs WHERE id=NEW.blob AND synced=0)
    AND NOT EXISTS(SELECT 1 FROM blobs WHERE id=OLD.blob AND state<>0);
  DELETE FROM kept WHERE scope=NEW.scope AND key=NEW.key AND tier=NEW.tier
    AND NOT EXISTS(SELECT 1 FROM blobs WHERE id=NEW.blob AND synced=0);
  UPDATE blobs SET refs=refs-1 WHERE id=OLD.blob;
END;
CREATE TRIGGER records_deleted AFTER DELETE ON records
BEGIN
  UPDATE scopes SET floor=OLD.version WHERE id=OLD.scope AND floor<OLD.version;
  DELETE FROM kept WHERE scope=OLD.scope AND key=OLD.key AND tier=OLD.tier;
  UPDATE blobs SET refs=refs-1 WHERE id=OLD.blob;
END;
CREATE TRIGGER kept_inserted AFTER INSERT ON kept WHEN NEW.blob IS NOT NULL
BEGIN
  UPDATE blobs SET refs=refs+1 WHERE id=NEW.blob;
END;
CREATE TRIGGER kept_deleted AFTER DELETE ON kept WHEN OLD.blob IS NOT NULL
BEGIN
  UPDATE blobs SET refs=refs-1 WHERE id=OLD.blob;
END;
CREATE TRIGGER blobs_synced AFTER UPDATE OF synced ON blobs WHEN NEW.synced=1 AND OLD.synced=0
BEGIN
  DELETE FROM kept WHERE id IN (SELECT o.id FROM records r
    JOIN kept o ON o.scope=r.scope AND o.key=r.key AND o.tier=r.tier WHERE r.blob=NEW.id);
  DELETE FROM kept WHERE id IN (SELECT o.id FROM kept n JOIN kept o ON o.scope=n.scope AND o.key=n.key AND o.tier=n.tier
    AND o.version<n.version WHERE n.blob=NEW.id);
END;
"""


def _first(connection: apsw.Connection) -> None:
    connection.execute(_TABLES)
    connection.execute(_TRIGGERS)
    connection.execute(
        "INSERT INTO store(id, uuid, signing_key, created) VALUES(1, ?, ?, ?)",
        (secrets.token_hex(16), secrets.token_bytes(32), time.time()),
    )
    connection.execute(f"PRAGMA application_id={APPLICATION}")


def _tokens(connection: apsw.Connection) -> None:
    """One counter for the tokens of all leases: who gave his back, or let it expire, need leave no row."""
    connection.execute("ALTER TABLE store ADD COLUMN token INTEGER NOT NULL DEFAULT 0")
    connection.execute("UPDATE store SET token=(SELECT ifnull(max(token), 0) FROM leases)")
    connection.execute("DELETE FROM leases WHERE owner=''")


_STORAGES = """
CREATE TABLE named(id INTEGER PRIMARY KEY, name TEXT NOT NULL, url TEXT NOT NULL, UNIQUE(name, url));
INSERT INTO named SELECT id, name, url FROM storages;
DROP TABLE storages;
ALTER TABLE named RENAME TO storages;
"""
_POLICIES = """
CREATE TABLE policies(
  scope INTEGER PRIMARY KEY, history INTEGER NOT NULL, max_records INTEGER, max_bytes INTEGER,
  records INTEGER, bytes INTEGER);
CREATE TABLE past(
  id INTEGER PRIMARY KEY, scope INTEGER NOT NULL, key TEXT NOT NULL, tier INTEGER NOT NULL, version INTEGER NOT NULL,
  flags INTEGER NOT NULL, created REAL NOT NULL, updated REAL NOT NULL, expires REAL, tags TEXT, session TEXT,
  algorithm INTEGER NOT NULL, digest BLOB, size INTEGER NOT NULL, codec INTEGER NOT NULL, config TEXT, signature BLOB,
  blob INTEGER, data);
CREATE UNIQUE INDEX past_key ON past(scope, key, version DESC);
CREATE INDEX past_blob ON past(blob) WHERE blob IS NOT NULL;
CREATE INDEX past_expires ON past(expires) WHERE expires IS NOT NULL;
CREATE TABLE surplus(scope INTEGER PRIMARY KEY, key TEXT NOT NULL);
CREATE TRIGGER past_inserted AFTER INSERT ON past WHEN NEW.blob IS NOT NULL
BEGIN
  UPDATE blobs SET refs=refs+1 WHERE id=NEW.blob;
END;
CREATE TRIGGER past_deleted AFTER DELETE ON past WHEN OLD.blob IS NOT NULL
BEGIN
  UPDATE blobs SET refs=refs-1 WHERE id=OLD.blob;
END;
"""


def _third(connection: apsw.Connection) -> None:
    """A storage is a name and a URL: a store may use two buckets. What scopes ask for: history and quotas."""
    connection.execute(_STORAGES)
    connection.execute(_POLICIES)


_MEMBERS = """
CREATE TABLE members(
  bundle INTEGER NOT NULL, n INTEGER NOT NULL, blob INTEGER NOT NULL, PRIMARY KEY(bundle, n)) WITHOUT ROWID;
CREATE INDEX members_blob ON members(blob);
CREATE INDEX blobs_unheld ON blobs(id) WHERE refs=0 AND storage=0;
CREATE TRIGGER members_deleted AFTER DELETE ON members
BEGIN
  UPDATE blobs SET refs=refs-1 WHERE id=OLD.blob;
END;
CREATE TRIGGER members_synced AFTER UPDATE OF synced ON blobs WHEN NEW.synced=1 AND OLD.synced=0 AND NEW.storage<>0
BEGIN
  UPDATE blobs SET synced=1 WHERE synced=0 AND id IN (SELECT bundle FROM members WHERE blob=NEW.id)
    AND NOT EXISTS(SELECT 1 FROM members m JOIN blobs b ON b.id=m.blob WHERE m.bundle=blobs.id AND b.synced=0);
END;
"""


# For people who look from outside, by any SQLite. A key that is a UUID is the id.
_VIEWS = """
CREATE VIEW labox_manifests AS
  SELECT CASE WHEN length(uuid)=32 AND uuid NOT GLOB '*[^0-9a-f]*' THEN uuid ELSE printf('%016x%016x', scope, id) END
    AS id, tags, json_extract(config, '$.object[0]') AS class_id, json_extract(config, '$.object[1]') AS unpacker_name,
    strftime('%Y-%m-%d %H:%M:%f', created, 'unixepoch') AS created_at, scope, key
  FROM (SELECT r.*, replace(lower(r.key), '-', '') AS uuid
    FROM records r JOIN codecs c ON c.id=r.codec JOIN scopes s ON s.id=r.scope
    WHERE c.serializer='holdfast.storable@v1' AND r.tier=0
      AND (r.expires IS NULL OR r.expires>(julianday('now')-2440587.5)*86400));
CREATE VIEW labox_contents AS
  SELECT json_extract(value, '$.name') AS content_key, json_extract(value, '$.type') AS content_type,
    json_extract(value, '$.encoding') AS content_encoding, json_extract(value, '$.digest') AS content_hash,
    json_extract(value, '$.algorithm') AS content_hash_algorithm, json_extract(value, '$.size') AS content_size,
    json_extract(value, '$.serializer') AS serializer_name, json_extract(value, '$.config.config') AS serializer_config,
    CASE WHEN json_extract(value, '$.stream') THEN 2 ELSE 1 END AS serializer_type,
    coalesce(storages.name, 'holdfast.inline@v1') AS storage_name, b.place AS storage_config,
    m.created_at, m.id AS manifest_id
  FROM labox_manifests m JOIN records r ON r.scope=m.scope AND r.key=m.key AND r.tier=0
    JOIN json_each(r.config, '$.contents') LEFT JOIN members ON bundle=r.blob AND n=json_extract(value, '$.member')
    LEFT JOIN blobs b ON b.id=members.blob LEFT JOIN storages ON storages.id=b.storage;
"""


def _fourth(connection: apsw.Connection) -> None:
    """Records of several contents, each with bytes of its own."""
    connection.execute(_MEMBERS)
    connection.execute(_VIEWS)


def _fifth(connection: apsw.Connection) -> None:
    """The sessions of ephemeral records are found, and what nobody needs in one storage."""
    connection.execute(
        "CREATE INDEX records_session ON records(session) WHERE session IS NOT NULL;"
        "CREATE INDEX blobs_free ON blobs(storage, id) WHERE refs=0;"
        "DROP INDEX blobs_garbage;"
    )


MIGRATIONS = [_first, _tokens, _third, _fourth, _fifth]
"""Step ``i`` takes a catalog of schema ``i`` to schema ``i + 1``. Never changed once released, only added to."""


def check(connection: apsw.Connection, where: str) -> int:
    """The file's schema number, 0 for an empty file.

    Raises:
        NotAStoreError: it is a database of something else.
        SchemaError: it is newer than this version of Holdfast.
    """
    # The application's number last: another process may be making the catalog, in one commit, between these reads.
    tables = connection.pragma("schema_version")
    version: int = connection.pragma("user_version")
    application = connection.pragma("application_id")
    if application != APPLICATION and (version or application or tables):
        raise NotAStoreError(f"{where} is an SQLite database, but not a Holdfast catalog: name another folder")
    if version > len(MIGRATIONS):
        raise SchemaError(
            f"{where} has catalog schema {version}, this version of Holdfast knows up to {len(MIGRATIONS)}: "
            "upgrade holdfast to open it"
        )
    return version


def is_current(version: int) -> bool:
    """Whether no migration is needed."""
    return version == len(MIGRATIONS)


def migrate(connection: apsw.Connection, where: str) -> None:
    """Bring the catalog to the present schema, each step in a transaction of its own."""
    while True:
        connection.execute("BEGIN IMMEDIATE")
        try:
            version = check(connection, where)  # again, now that nobody else can change it
            if not is_current(version):
                MIGRATIONS[version](connection)
                connection.execute(f"PRAGMA user_version={version + 1}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        if is_current(version):
            return


def missing_tables(connection: apsw.Connection) -> Sequence[str]:
    """Names of tables that a current catalog has and this one has not: it is damaged."""
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type='table'")}
    wanted = (
        "store", "scopes", "dropped", "marks", "codecs", "storages", "records", "kept", "blobs", "leases", "policies",
        "past", "surplus", "members",
    )  # fmt: skip
    return [name for name in wanted if name not in names]
