"""Records and entries say what the catalog's row says, in the words of callers."""

from __future__ import annotations

import copy
import pickle
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.hashing import BLAKE3, NONE, SHA256
from holdfast.model import DURABLE, EPHEMERAL, POWER, TIERS, Codec, Entry, Record, RecordRow, ScopeInfo, from_epoch

PATH = (("namespace", "prod"), ("workflow", "fore/cast"))
CODEC = Codec("holdfast.value@v1", "application/x-msgpack", "zstd")
ROW = RecordRow(
    key="loads/wind",
    tier=DURABLE,
    version=7,
    flags=0,
    created=1_700_000_000.25,
    updated=1_700_000_100.5,
    expires=None,
    tags='{"stage": "eval"}',
    session=None,
    algorithm=SHA256,
    digest=bytes(range(32)),
    size=12,
    codec=3,
    config='{"rows": 4}',
    storage=None,
    storage_config=None,
    synced=None,
)
FILE = ROW._replace(
    algorithm=BLAKE3, storage=2, storage_config='"w1/5"', synced=0, size=1 << 20, config=None, tags=None
)


def record(row: RecordRow = ROW, codec: Codec = CODEC, storage: str | None = None, **changes: Any) -> Record:
    """A record as a catalog gives it: over a plain tuple."""
    return Record(PATH, tuple(row._replace(**changes)), codec, storage)


def test_names() -> None:
    found = record()
    assert (found.path, found.key, found.version) == (PATH, "loads/wind", 7)
    assert found.scope == "namespace:prod/workflow:fore%2Fcast"
    assert found.address == "namespace:prod/workflow:fore%2Fcast/loads/wind"
    assert found.row == ROW
    assert isinstance(found.row, RecordRow)


def test_times_are_aware() -> None:
    found = record(expires=1_700_000_200.0)
    assert found.created == datetime(2023, 11, 14, 22, 13, 20, 250_000, timezone.utc)
    assert found.updated - found.created == timedelta(seconds=100.25)
    assert found.expires is not None
    assert found.expires - found.created == timedelta(seconds=199.75)
    assert {found.created.tzinfo, found.updated.tzinfo, found.expires.tzinfo} == {timezone.utc}
    assert record().expires is None


def test_from_epoch() -> None:
    assert from_epoch(None) is None
    assert from_epoch(0) == datetime(1970, 1, 1, tzinfo=timezone.utc)
    assert from_epoch(-1.5) == datetime(1969, 12, 31, 23, 59, 58, 500_000, timezone.utc)


def test_tags() -> None:
    found = record()
    tags = found.tags
    assert tags == {"stage": "eval"}
    tags["stage"] = "altered"  # type: ignore[index]
    assert found.tags == {"stage": "eval"}
    assert record(tags=None).tags == {}


def test_tiers() -> None:
    assert (DURABLE, EPHEMERAL, POWER) == (0, 1, 2)
    assert TIERS == {0: "durable", 1: "ephemeral"}
    assert record().tier == "durable"
    assert record(tier=EPHEMERAL).tier == "ephemeral"


@pytest.mark.parametrize(
    ("row", "durability"),
    [
        (ROW, "process"),
        (ROW._replace(flags=POWER), "power"),
        (ROW._replace(flags=1), "process"),
        (ROW._replace(flags=POWER | 1), "power"),
        (FILE, "process"),
        (FILE._replace(flags=POWER), "process"),  # the row was synced, its file was not
        (FILE._replace(synced=1), "power"),
        (FILE._replace(tier=EPHEMERAL, synced=1), "session"),
        (ROW._replace(tier=EPHEMERAL, flags=POWER), "session"),
    ],
)
def test_durability(row: RecordRow, durability: str) -> None:
    assert record(row).durability == durability


def test_an_inline_content() -> None:
    (content,) = record().contents.values()
    assert list(record().contents) == ["value"]
    assert content == (
        *("sha256", bytes(range(32)), 12, "application/x-msgpack", "zstd", "holdfast.value@v1", {"rows": 4}),
        *(None, None, False, False),
    )


def test_a_content_in_a_storage() -> None:
    found = record(FILE, Codec(None, "text/csv"), "holdfast.file@v1")
    content = found.contents["value"]
    assert (content.algorithm, content.size) == ("blake3", 1 << 20)
    assert (content.serializer, content.serializer_config) == (None, None)
    assert (content.storage, content.storage_config) == ("holdfast.file@v1", "w1/5")
    assert (found.serializer, found.content_type, found.size) == (None, "text/csv", 1 << 20)


def test_digest_as_text() -> None:
    assert record().digest == "sha256:" + bytes(range(32)).hex()
    assert record(FILE).digest == "blake3:" + bytes(range(32)).hex()


def test_a_native_integer_has_no_digest() -> None:
    found = record(algorithm=NONE, digest=None)
    assert found.digest is None
    assert found.contents["value"].algorithm is None


def test_an_algorithm_of_a_later_version_has_its_number() -> None:
    """In both places where it shows."""
    found = record(algorithm=9)
    assert found.contents["value"].algorithm == "9"
    assert found.digest == "9:" + bytes(range(32)).hex()


@given(st.integers(1, 2**62), st.integers(0, 1), st.none() | st.floats(0, 4e9))
def test_a_record_survives_pickling(version: int, tier: int, expires: float | None) -> None:
    found = record(FILE, storage="holdfast.file@v1", version=version, tier=tier, expires=expires)
    for twin in (pickle.loads(pickle.dumps(found)), copy.copy(found), copy.deepcopy(found)):
        assert twin == found
        assert hash(twin) == hash(found)
        assert (twin.row, twin.address, twin.contents, twin.expires) == (
            *(found.row, found.address, found.contents),
            found.expires,
        )


def test_equality() -> None:
    assert record() == record()
    assert record() != record(version=8)
    assert record() != record(tags=None)
    assert record() != Record((("namespace", "test"),), tuple(ROW), CODEC, None)
    assert record() != tuple(ROW)
    assert len({record(), record(), record(version=8)}) == 2


@pytest.mark.parametrize("name", ["path", "key", "version", "size", "tags", "anything"])
def test_a_record_is_immutable(name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(record(), name, "altered")


def test_its_text() -> None:
    text = "<Record namespace:prod/workflow:fore%2Fcast/loads/wind version 7, 12 bytes of application/x-msgpack>"
    assert repr(record()) == text


def test_an_entry() -> None:
    value = object()
    entry = Entry(value, record())
    assert entry.value is value
    assert entry.version == 7
    assert entry.record == record()
    assert repr(Entry([1], record())) == "<Entry [1] of namespace:prod/workflow:fore%2Fcast/loads/wind version 7>"
    twin = pickle.loads(pickle.dumps(Entry([1], record())))
    assert (twin.value, twin.record) == ([1], record())


def test_a_scope() -> None:
    info = ScopeInfo(PATH, 0.0, {"a": 1})
    assert (info.kind, info.name) == ("workflow", "fore/cast")


def test_a_codec() -> None:
    assert Codec(None, "text/plain").encoding is None
