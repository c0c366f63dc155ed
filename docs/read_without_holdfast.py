"""Print every record of a Holdfast store that no process has open, using nothing of Holdfast: format.md as a program.

    python read_without_holdfast.py FOLDER

Needs msgpack, blake3 to check the digests of contents above 4 KB, and zstandard or lz4 for those that are compressed.
"""

import hashlib
import json
import sqlite3
import sys
import time
from datetime import date, datetime, timedelta
from datetime import time as clock
from decimal import Decimal
from pathlib import Path
from struct import unpack
from urllib.parse import quote
from uuid import UUID

import msgpack

RECORDS = """
SELECT r.scope, r.key, r.version, r.algorithm, r.digest, r.size, r.config, r.data, c.serializer, c.encoding,
  b.place, s.url, r.blob
FROM records r JOIN codecs c ON c.id=r.codec LEFT JOIN blobs b ON b.id=r.blob LEFT JOIN storages s ON s.id=b.storage
WHERE r.tier=0 AND r.scope IN (SELECT id FROM scopes) AND (r.expires IS NULL OR r.expires>?) ORDER BY r.scope, r.key
"""
MEMBERS = """
SELECT b.place, s.url FROM members m JOIN blobs b ON b.id=m.blob JOIN storages s ON s.id=b.storage
WHERE m.bundle=? ORDER BY m.n
"""
ALGORITHMS = {None: 0, "sha256": 1, "blake3": 2}


def records(folder):
    """Address, version and value of each durable record."""
    catalog = folder.absolute() / "catalog.sqlite"
    log = Path(f"{catalog}-wal")
    if log.exists() and log.stat().st_size:
        sys.exit(f"{log} is not empty: the store is open, or was not closed; read a back-up of it")
    database = sqlite3.connect(f"{catalog.as_uri()}?immutable=1", uri=True)
    scopes = {row[0]: row[1:] for row in database.execute("SELECT id, parent, kind, name FROM scopes")}
    for (
        scope,
        key,
        version,
        algorithm,
        digest,
        size,
        config,
        data,
        serializer,
        encoding,
        place,
        url,
        blob,
    ) in database.execute(RECORDS, (time.time(),)):
        path = ""
        while scope:
            scope, kind, name = scopes[scope]
            path = f"{encoded(kind, '%/:')}:{encoded(name, '%/:')}/{path}"
        first, slash, rest = key.partition("/")
        config = json.loads(config or "{}")
        if "contents" in config:
            members = [] if blob is None else database.execute(MEMBERS, (blob,)).fetchall()
            found = {part["name"]: content(folder, part, data, members) for part in config["contents"]}
        else:
            stored = (folder / url / json.loads(place)).read_bytes() if place else data
            found = whole(serializer, encoding, algorithm, digest, size, stored, config)
        yield f"{path}{encoded(first, '%:')}{slash}{rest}", version, found


def whole(serializer, encoding, algorithm, digest, size, stored, config):
    """The value of one content."""
    if isinstance(stored, bytes):
        check(algorithm, digest, size, stored)
        if "size" in config:
            stored = unpacked(encoding, stored, config["size"])
    return decode(serializer, stored, config)


def content(folder, part, data, members):
    """One of several contents of an object."""
    if "at" in part:
        stored = data[part["at"] : part["at"] + part["size"]]
    else:
        place, url = members[part["member"]]
        stored = (folder / url.partition("#")[0] / json.loads(place)).read_bytes()
    algorithm, digest = ALGORITHMS[part["algorithm"]], bytes.fromhex(part["digest"])
    kind = (part["serializer"], part.get("encoding"))
    return whole(*kind, algorithm, digest, part["size"], stored, part.get("config") or {})


def encoded(text, characters):
    return "".join(quote(c, safe="") if c in characters else c for c in text)


def check(algorithm, digest, size, stored):
    if algorithm == 1:
        found = hashlib.sha256(stored).digest()
    else:
        import blake3

        found = blake3.blake3(stored).digest()
    if len(stored) != size or found != digest:
        sys.exit("the stored bytes are not those that were put")


def unpacked(encoding, stored, size):
    if encoding == "zstd":
        import zstandard

        return zstandard.ZstdDecompressor().decompress(stored, max_output_size=size)
    import lz4.frame

    return lz4.frame.decompress(stored)


def decode(serializer, stored, config):
    """A value, or what can be said of it without its library."""
    if not isinstance(stored, bytes):
        return stored  # a native integer
    buffers = [stored]
    if "parts" in config:
        buffers = [stored[: config["head"][0]], *(stored[start : start + size] for start, size in config["parts"])]
    return read(serializer, buffers)


def read(serializer, buffers):
    if serializer in (None, "holdfast.bytes@v1"):
        return buffers[0]
    if serializer == "holdfast.text@v1":
        return buffers[0].decode()
    if serializer in ("holdfast.json@v1", "holdfast.int@v1"):
        return json.loads(buffers[0])
    if serializer == "holdfast.value@v1":
        return value(buffers)
    if serializer == "holdfast.numpy@v1":
        header = msgpack.Unpacker()
        header.feed(buffers[0])
        return tuple(header.unpack())
    return f"<{sum(map(len, buffers))} bytes of {serializer}>"


class Mark(int):
    """The first item of a list that is something else than a list."""


SCALARS = {
    32: lambda data: int.from_bytes(data, "big", signed=True),
    33: lambda data: complex(*unpack(">dd", data)),
    34: lambda data: date.fromisoformat(data.decode()),
    35: lambda data: clock.fromisoformat(data.decode().partition("|")[0]),  # fold and zone stand behind the bar
    36: lambda data: datetime.fromisoformat(data.decode().partition("|")[0]),
    37: lambda data: timedelta(*map(int, data.split(b","))),
    38: lambda data: Decimal(data.decode()),
    39: lambda data: UUID(bytes=data[:16]),
    40: lambda data: Path(data[1:].decode()),
    41: bytearray,
}


def value(buffers):
    def items(found):
        if not found or not isinstance(found[0], Mark):
            return found
        mark, *rest = found
        if mark == 0:
            return rest[0]  # the beginning of a message with extensions
        if mark == 4:
            return dict(zip(rest[::2], rest[1::2], strict=True))
        if mark in (5, 6):
            return (bytes if mark == 5 else bytearray)(buffers[rest[0]])
        if mark == 7:
            name, _, _, _, inline, start, count = rest
            return read(name, [*([] if inline is None else [inline]), *buffers[start : start + count]])
        return {1: tuple, 2: set, 3: frozenset}[mark](rest)

    def extension(code, data):
        return SCALARS[code](data) if code in SCALARS else Mark(code)

    return msgpack.unpackb(buffers[0], strict_map_key=False, list_hook=items, ext_hook=extension)


if __name__ == "__main__":
    for address, version, found in records(Path(sys.argv[1])):
        print(address, version, repr(found), sep="\t")
