"""The catalog's promises on sessions; see :mod:`holdfast.testing.catalog_suite`."""

from __future__ import annotations

from ..catalog.base import ABSENT, Catalog, Delete, Policy
from ..hashing import NONE
from ..model import EPHEMERAL, RecordRow
from .catalog_cases import FLOW, INTEGER, SPACE, blob_of, data_of, file_put, inline_put, put, put_file, versions

__all__ = ["SessionTests"]


class SessionTests:
    """Ephemeral records that end with a session."""

    def test_sessions_are_those_of_the_records_there_are(self, catalog: Catalog) -> None:
        assert catalog.sessions() == []
        for number in range(30):
            one = "memory second" if number % 2 else "memory first"
            path = SPACE if number % 3 else FLOW
            catalog.commit([inline_put(catalog, f"key{number}", path=path, tier=EPHEMERAL, session=one)])
        put(catalog, "durable", b"1")
        assert sorted(catalog.sessions()) == ["memory first", "memory second"]

    def test_the_end_of_a_session_hides_its_records_and_no_others(self, catalog: Catalog) -> None:
        put(catalog, "both", b"durable")
        for key, one in (("both", "memory ends"), ("alone", "memory ends"), ("other", "memory stays")):
            catalog.commit([inline_put(catalog, key, b"memory", tier=EPHEMERAL, session=one)])
        before = max(versions(catalog, "both"))
        assert catalog.end_session("memory ends") == 2
        assert catalog.end_session("memory ends") == 0
        assert catalog.sessions() == ["memory stays"]
        assert catalog.keys(FLOW, "", None, 100) == ["both", "other"]
        assert [row[0] for row in catalog.search(FLOW)] == ["both", "other"]
        catalog.commit([inline_put(catalog, "alone", b"new", if_version=ABSENT)])
        put(catalog, "both", b"again")
        assert data_of(catalog, "both") == b"again"
        assert max(versions(catalog, "both")) > before, "a version was given twice"

    def test_a_value_that_ends_is_put_beside_a_durable_one(self, catalog: Catalog) -> None:
        durable = put(catalog, "key", 1)
        row = (None, '{"a":"b"}', NONE, None, 8, catalog.codec_id(INTEGER), None, None, 2)
        made = [catalog.put(FLOW, "key", row, False, "memory ends")[0] for _ in range(3)]
        assert durable < made[0] < made[1] < made[2]
        assert sorted(versions(catalog, "key")) == [durable, made[2]]
        assert data_of(catalog, "key") == 2
        assert [(row.session, row.tags) for row in map(RecordRow._make, catalog.record(FLOW, "key"))] == [
            (None, None),
            ("memory ends", '{"a":"b"}'),
        ]
        catalog.put(SPACE, "first", row, True, "memory ends")
        assert catalog.end_session("memory ends") == 2
        assert catalog.put(FLOW, "key", row, False, "memory again")[0] > made[2]
        assert catalog.sessions() == ["memory again"]

    def test_many_records_of_a_session_end(self, catalog: Catalog) -> None:
        puts = [inline_put(catalog, f"key{number}", tier=EPHEMERAL, session="memory ends") for number in range(2500)]
        catalog.commit(puts)
        assert catalog.end_session("memory ends") == 2500
        assert catalog.sessions() == []
        assert catalog.keys(FLOW, "", None, 10) == []

    def test_what_ended_is_collected(self, catalog: Catalog) -> None:
        catalog.set_policy(FLOW, Policy(max_records=1))
        catalog.commit([file_put(catalog, "large", tier=EPHEMERAL, session="memory ends", synced=True)])
        (row,) = catalog.find(FLOW, "large")
        catalog.end_session("memory ends")
        put(catalog, "room", b"1")
        while catalog.sweep():
            pass
        assert row[10] in [blob.id for blob in catalog.garbage()]
        assert catalog.usage(FLOW).records == 1

    def test_a_record_put_anew_is_of_its_new_session(self, catalog: Catalog) -> None:
        for one in ("memory first", "memory second"):
            catalog.commit([inline_put(catalog, "key", one.encode(), tier=EPHEMERAL, session=one)])
        assert catalog.sessions() == ["memory second"]
        assert catalog.end_session("memory first") == 0
        assert data_of(catalog, "key") == b"memory second"

    def test_garbage_of_one_storage(self, catalog: Catalog) -> None:
        mine = put_file(catalog, "mine", b"mine", storage="test.mine@v1")
        put_file(catalog, "other", b"other")
        catalog.commit([Delete(FLOW, "mine"), Delete(FLOW, "other")])
        number = catalog.storage_id("test.mine@v1", "files")
        assert [blob.id for blob in catalog.garbage(10, number)] == [blob_of(mine)]
        assert [blob.id for blob in catalog.garbage(10, number)] == [blob_of(mine)], "a dying one is given again"
        catalog.forget([blob_of(mine)])
        assert catalog.garbage(10, number) == []
        assert len(catalog.garbage()) == 1
