"""The tables, and the way from every earlier form of them to the present one.

Why they are as they are:

* Versions of all keys come from one sequence, so that they never go back, not through delete, drop or rename. A write
  takes the number while it holds the key's advisory lock, and holds that until its commit is done: else one that waited
  could put a lower number over a higher one.
* ``store.epoch`` grows with every rename and drop. A writer asks for it under the store's advisory lock, which it
  shares with other writers and a rename or drop has alone; and through the function ``epoch``, which sees what was
  committed while the statement waited for its locks.
* Text is compared by its bytes: ``COLLATE "C"``. What may be longer than an index takes is found by its hash.
* ``number`` is a native integer, in the place of ``data``.
* ``kept`` holds what a value replaced whose bytes may not be on disk yet; see ``record_replaced``.
* ``members`` holds the blobs of a bundle together: a record of several contents refers to that one row of ``blobs``,
  of storage 0. A member loses its reference with its row here.
* ``past`` holds replaced and deleted versions, of scopes that ask for them in ``policies``; what writes there is the
  code of commits, so that puts elsewhere have none of it. ``surplus`` has the scopes that ask for fewer now, and the
  key from which on there may be too many.
* ``labels`` makes JSONB of tags, for the index by which they are searched. JSONB has no NUL, tags have: it becomes a
  pair of other characters, and what could be taken for these becomes another pair.
* ``records_labels`` tells the server how frequent tags are, which it does not learn from an index of some rows only.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

from ...errors import SchemaError
from .connection import Link

__all__ = ["CHILD", "HASH", "MIGRATIONS", "TABLES", "check", "migrate"]

HASH = "fingerprint({0})"
"""The hash by which a text {0} is found that may be longer than an index takes."""

CHILD = "left({0}||chr(1)||{1},600)"
"""The first part of kind and name, by which children are in their order; no name has that character."""

_CONTENT = """
  version int8 NOT NULL, flags int2 NOT NULL, created float8 NOT NULL, updated float8 NOT NULL, expires float8,
  tags text, session text, algorithm int2 NOT NULL, digest bytea, size int8 NOT NULL, codec int4 NOT NULL, config text,
  signature bytea, blob int8, number int8, data bytea"""

# The database is in UTF-8, so convert_to, which depends on that, is immutable here.
_TABLES = f"""
CREATE FUNCTION fingerprint(value text) RETURNS bytea IMMUTABLE PARALLEL SAFE RETURN sha256(convert_to(value, 'UTF8'));
CREATE TABLE store(
  id int2 PRIMARY KEY CHECK(id=1), uuid text NOT NULL, signing_key bytea NOT NULL, created float8 NOT NULL,
  epoch int8 NOT NULL DEFAULT 1, schema int4 NOT NULL);
CREATE SEQUENCE versions;
CREATE SEQUENCE tokens;
CREATE TABLE scopes(
  id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, parent int8 NOT NULL, kind text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL, created float8 NOT NULL, properties text,
  place bytea NOT NULL GENERATED ALWAYS AS ({HASH.format("kind||chr(1)||name")}) STORED);
CREATE UNIQUE INDEX scopes_name ON scopes(parent, place);
CREATE INDEX scopes_child ON scopes(parent, ({CHILD.format("kind", "name")}));
CREATE TABLE dropped(scope int8 PRIMARY KEY);
CREATE TABLE marks(
  path text COLLATE "C" NOT NULL, dropped int2 NOT NULL,
  place bytea PRIMARY KEY GENERATED ALWAYS AS ({HASH.format("path")}) STORED);
CREATE INDEX marks_path ON marks(left(path, 600));
CREATE TABLE codecs(
  id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, serializer text, content_type text NOT NULL, encoding text);
CREATE UNIQUE INDEX codecs_all ON codecs(
  {HASH.format("coalesce('s'||serializer,'')||chr(1)||content_type||chr(1)||coalesce('e'||encoding,'')")});
CREATE TABLE storages(id int4 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, url text NOT NULL);
CREATE UNIQUE INDEX storages_all ON storages({HASH.format("name||chr(1)||url")});
CREATE TABLE records(
  scope int8 NOT NULL, key text COLLATE "C" NOT NULL, tier int2 NOT NULL,{_CONTENT},
  PRIMARY KEY(scope, key, tier) INCLUDE (expires));
ALTER TABLE records ALTER data SET STORAGE EXTERNAL;
CREATE INDEX records_expires ON records(expires) WHERE expires IS NOT NULL;
CREATE INDEX records_blob ON records(blob) WHERE blob IS NOT NULL;
CREATE INDEX records_ephemeral ON records(scope, key) WHERE tier=1;
CREATE TABLE kept(
  id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, scope int8 NOT NULL, key text COLLATE "C" NOT NULL,
  tier int2 NOT NULL,{_CONTENT});
CREATE UNIQUE INDEX kept_key ON kept(scope, key, tier, version);
CREATE INDEX kept_blob ON kept(blob) WHERE blob IS NOT NULL;
CREATE TABLE policies(
  scope int8 PRIMARY KEY, history int4 NOT NULL, max_records int8, max_bytes int8, records int8, bytes int8);
CREATE TABLE past(
  id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, scope int8 NOT NULL, key text COLLATE "C" NOT NULL,
  tier int2 NOT NULL,{_CONTENT});
CREATE UNIQUE INDEX past_key ON past(scope, key, version DESC);
CREATE INDEX past_blob ON past(blob) WHERE blob IS NOT NULL;
CREATE INDEX past_expires ON past(expires) WHERE expires IS NOT NULL;
CREATE TABLE surplus(scope int8 PRIMARY KEY, key text COLLATE "C" NOT NULL);
CREATE TABLE blobs(
  id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY, storage int4 NOT NULL, place text NOT NULL, algo int2 NOT NULL,
  hash bytea, bytes int8 NOT NULL, refs int8 NOT NULL, state int2 NOT NULL DEFAULT 0, synced int2 NOT NULL, boot text,
  device int8, inode int8, mtime int8, ctime int8);
CREATE UNIQUE INDEX blobs_place ON blobs(storage, ({HASH.format("place")}));
CREATE INDEX blobs_hash ON blobs(hash) WHERE state=0 AND hash IS NOT NULL;
CREATE INDEX blobs_garbage ON blobs(id) WHERE refs=0;
CREATE INDEX blobs_unsynced ON blobs(id) WHERE synced=0;
CREATE TABLE leases(name text PRIMARY KEY, owner text NOT NULL, token int8 NOT NULL, expires float8 NOT NULL);
"""

_FUNCTIONS = r"""
CREATE FUNCTION labels(tags text) RETURNS jsonb IMMUTABLE PARALLEL SAFE RETURN
  CASE WHEN tags !~ U&'\E000|\\\\u(0000|[eE]000)' THEN tags::jsonb ELSE regexp_replace(regexp_replace(
    replace(tags, U&'\E000', U&'\E000a'),
    '(?<!\\)((?:\\\\)*)\\u[eE]000', U&'\\1\E000a', 'g'),
    '(?<!\\)((?:\\\\)*)\\u0000', U&'\\1\E000b', 'g')::jsonb END;
CREATE INDEX records_tags ON records USING gin (labels(tags) jsonb_path_ops) WHERE tags IS NOT NULL;
CREATE STATISTICS records_labels ON (labels(tags)) FROM records;

CREATE FUNCTION epoch() RETURNS int8 VOLATILE BEGIN ATOMIC SELECT epoch FROM store WHERE id=1; END;
CREATE FUNCTION is_alone(in_scope int8, of_key text) RETURNS bool VOLATILE BEGIN ATOMIC
  SELECT NOT EXISTS(SELECT 1 FROM records WHERE scope=in_scope AND key=of_key COLLATE "C" AND tier=1);
END;

CREATE FUNCTION hold_keys(scopes int8[], keys text[]) RETURNS void VOLATILE LANGUAGE plpgsql AS $$
DECLARE
  number int8;
BEGIN
  FOR number IN SELECT DISTINCT hashtextextended(k, s) AS h FROM unnest(scopes, keys) AS wanted(s, k) ORDER BY h LOOP
    PERFORM pg_advisory_xact_lock(number);
  END LOOP;
END $$;
CREATE FUNCTION hold(store_lock int4, alone bool, known int8, lease text, fence text, scopes int8[], keys text[],
  OUT epoch int8, OUT now float8) VOLATILE LANGUAGE plpgsql AS $$
BEGIN
  IF alone THEN
    PERFORM pg_advisory_xact_lock(1213156420, store_lock);
  ELSE
    PERFORM pg_advisory_xact_lock_shared(1213156420, store_lock);
  END IF;
  IF lease IS NOT NULL THEN
    PERFORM pg_advisory_xact_lock(hashtextextended(lease, -1));
  END IF;
  IF fence IS NOT NULL THEN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended(fence, -1));
  END IF;
  SELECT s.epoch INTO epoch FROM store s WHERE s.id=1;
  IF epoch=known THEN
    PERFORM hold_keys(scopes, keys);
  END IF;
  now := date_part('epoch', clock_timestamp());
END $$;
"""

# The statement that replaces a record has taken a reference to the new blob itself; what it replaced is settled here.
# While the new bytes may still be lost by a power cut, the old row is kept with a reference of its own; once they are
# inline or on disk, nothing of the key need be kept.
_TRIGGERS = """
CREATE FUNCTION record_replaced() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS(SELECT 1 FROM blobs WHERE id=NEW.blob AND synced=0) THEN
    IF OLD.tier=0 AND OLD.blob IS DISTINCT FROM NEW.blob
        AND NOT EXISTS(SELECT 1 FROM blobs WHERE id=OLD.blob AND state<>0) THEN
      INSERT INTO kept(scope, key, tier, version, flags, created, updated, expires, tags, session, algorithm, digest,
        size, codec, config, signature, blob, number, data)
      VALUES(OLD.scope, OLD.key, OLD.tier, OLD.version, OLD.flags, OLD.created, OLD.updated, OLD.expires, OLD.tags,
        OLD.session, OLD.algorithm, OLD.digest, OLD.size, OLD.codec, OLD.config, OLD.signature, OLD.blob, OLD.number,
        OLD.data);
    END IF;
  ELSE
    DELETE FROM kept WHERE scope=NEW.scope AND key=NEW.key AND tier=NEW.tier;
  END IF;
  UPDATE blobs SET refs=refs-1 WHERE id=OLD.blob;
  RETURN NULL;
END $$;
CREATE TRIGGER record_replaced AFTER UPDATE OF blob ON records FOR EACH ROW
  WHEN (OLD.blob IS NOT NULL OR NEW.blob IS NOT NULL) EXECUTE FUNCTION record_replaced();

CREATE FUNCTION record_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM kept WHERE scope=OLD.scope AND key=OLD.key AND tier=OLD.tier;
  UPDATE blobs SET refs=refs-1 WHERE id=OLD.blob;
  RETURN NULL;
END $$;
CREATE TRIGGER record_deleted AFTER DELETE ON records FOR EACH ROW EXECUTE FUNCTION record_deleted();

CREATE FUNCTION reference_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP='INSERT' THEN
    UPDATE blobs SET refs=refs+1 WHERE id=NEW.blob;
  ELSE
    UPDATE blobs SET refs=refs-1 WHERE id=OLD.blob;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER kept_inserted AFTER INSERT ON kept FOR EACH ROW WHEN (NEW.blob IS NOT NULL)
  EXECUTE FUNCTION reference_changed();
CREATE TRIGGER kept_deleted AFTER DELETE ON kept FOR EACH ROW WHEN (OLD.blob IS NOT NULL)
  EXECUTE FUNCTION reference_changed();
CREATE TRIGGER past_inserted AFTER INSERT ON past FOR EACH ROW WHEN (NEW.blob IS NOT NULL)
  EXECUTE FUNCTION reference_changed();
CREATE TRIGGER past_deleted AFTER DELETE ON past FOR EACH ROW WHEN (OLD.blob IS NOT NULL)
  EXECUTE FUNCTION reference_changed();

CREATE FUNCTION blob_synced() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM kept o USING records r
    WHERE r.blob=NEW.id AND o.scope=r.scope AND o.key=r.key AND o.tier=r.tier;
  DELETE FROM kept o USING kept n
    WHERE n.blob=NEW.id AND o.scope=n.scope AND o.key=n.key AND o.tier=n.tier AND o.version<n.version;
  RETURN NULL;
END $$;
CREATE TRIGGER blob_synced AFTER UPDATE OF synced ON blobs FOR EACH ROW WHEN (NEW.synced=1 AND OLD.synced=0)
  EXECUTE FUNCTION blob_synced();
"""

TABLES = (
    "store", "scopes", "dropped", "marks", "codecs", "storages", "records", "kept", "blobs", "leases", "policies",
    "past", "surplus", "members",
)  # fmt: skip
"""Names of the tables that a current catalog has."""


def _first(link: Link) -> None:
    link.script(_TABLES)
    link.script(_FUNCTIONS)
    link.script(_TRIGGERS)
    link.rows(
        "INSERT INTO store(id,uuid,signing_key,created,schema) "
        "VALUES(1,$1,$2,date_part('epoch',clock_timestamp()),0)",
        (secrets.token_hex(16), secrets.token_bytes(32)),
    )  # fmt: skip


# Two that mark the last two members as synced each wait here for the other, and the second one sees both marks.
_MEMBERS = """
CREATE TABLE members(bundle int8 NOT NULL, n int4 NOT NULL, blob int8 NOT NULL, PRIMARY KEY(bundle, n));
CREATE INDEX members_blob ON members(blob);
CREATE INDEX blobs_unheld ON blobs(id) WHERE refs=0 AND storage=0;
CREATE TRIGGER members_deleted AFTER DELETE ON members FOR EACH ROW EXECUTE FUNCTION reference_changed();
CREATE FUNCTION member_synced() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM 1 FROM blobs WHERE synced=0 AND id IN (SELECT bundle FROM members WHERE blob=NEW.id) ORDER BY id FOR UPDATE;
  UPDATE blobs SET synced=1 WHERE synced=0 AND id IN (SELECT bundle FROM members WHERE blob=NEW.id)
    AND NOT EXISTS(SELECT 1 FROM members m JOIN blobs b ON b.id=m.blob WHERE m.bundle=blobs.id AND b.synced=0);
  RETURN NULL;
END $$;
CREATE TRIGGER member_synced AFTER UPDATE OF synced ON blobs FOR EACH ROW
  WHEN (NEW.synced=1 AND OLD.synced=0 AND NEW.storage<>0) EXECUTE FUNCTION member_synced();
"""


# For people who look from outside. A key that is a UUID is the id. Of no other records is the config looked at.
_VIEWS = r"""
CREATE VIEW labox_manifests AS
  SELECT CASE WHEN uuid ~ '^[0-9a-f]{32}$' THEN uuid ELSE md5(scope||'/'||key) END::uuid AS id, tags::json AS tags,
    (config->'object'->>0)::uuid AS class_id, config->'object'->>1 AS unpacker_name,
    to_timestamp(created) AS created_at, scope, key
  FROM (SELECT r.scope, r.key, r.tags, r.created, replace(lower(r.key), '-', '') AS uuid,
      CASE WHEN c.serializer='holdfast.storable@v1' THEN labels(r.config) END AS config
    FROM records r JOIN codecs c ON c.id=r.codec JOIN scopes s ON s.id=r.scope
    WHERE c.serializer='holdfast.storable@v1' AND r.tier=0
      AND (r.expires IS NULL OR r.expires>date_part('epoch', clock_timestamp()))) objects;
CREATE VIEW labox_contents AS
  SELECT value->>'name' AS content_key, value->>'type' AS content_type, value->>'encoding' AS content_encoding,
    value->>'digest' AS content_hash, value->>'algorithm' AS content_hash_algorithm,
    (value->>'size')::int8 AS content_size, value->>'serializer' AS serializer_name,
    value->'config'->'config' AS serializer_config,
    CASE WHEN (value->>'stream')::bool THEN 2 ELSE 1 END AS serializer_type,
    coalesce(storages.name, 'holdfast.inline@v1') AS storage_name, b.place::json AS storage_config,
    m.created_at, m.id AS manifest_id
  FROM labox_manifests m JOIN records r ON r.scope=m.scope AND r.key=m.key AND r.tier=0
    CROSS JOIN LATERAL jsonb_array_elements(CASE WHEN m.id IS NOT NULL THEN labels(r.config)->'contents' END) AS value
    LEFT JOIN members ON bundle=r.blob AND n=(value->>'member')::int4
    LEFT JOIN blobs b ON b.id=members.blob LEFT JOIN storages ON storages.id=b.storage;
"""


def _second(link: Link) -> None:
    """Records of several contents, each with bytes of its own."""
    link.script(_MEMBERS)
    link.script(_VIEWS)


def _third(link: Link) -> None:
    """The sessions of ephemeral records are found, and what nobody needs in one storage."""
    link.script(
        "CREATE INDEX records_session ON records(session) WHERE session IS NOT NULL;"
        "CREATE INDEX blobs_free ON blobs(storage, id) WHERE refs=0;"
        "DROP INDEX blobs_garbage;"
    )


MIGRATIONS: list[Callable[[Link], None]] = [_first, _second, _third]
"""Step ``i`` takes a catalog of schema ``i`` to schema ``i + 1``. Never changed once released, only added to."""


def check(version: int, tables: Sequence[str], where: str) -> bool:
    """Whether a catalog of this schema number and with these tables is current.

    Raises:
        SchemaError: it is newer than this version of Holdfast, or damaged.
    """
    if version > len(MIGRATIONS):
        raise SchemaError(
            f"{where} has catalog schema {version}, this version of Holdfast knows up to {len(MIGRATIONS)}: "
            "upgrade holdfast to open it"
        )
    if version < len(MIGRATIONS):
        return False
    missing = [name for name in TABLES if name not in tables]
    if missing:
        raise SchemaError(f"{where} is damaged: it has no table {', '.join(missing)}; restore it from a copy")
    return True


def migrate(link: Link, version: int) -> None:
    """Bring a catalog to the present schema, inside the transaction of a caller who is alone in this."""
    for number in range(version, len(MIGRATIONS)):
        MIGRATIONS[number](link)
        link.rows("UPDATE store SET schema=$1 WHERE id=1", (number + 1,))
