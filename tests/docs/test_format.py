"""The page on the format is enough: a program that follows it reads a store, and it names every table and column."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PosixPath
from uuid import UUID

import apsw
import numpy as np
import pytest

import holdfast
from tests.docs.pages import DOCS

SCRIPT = DOCS / "read_without_holdfast.py"

VALUES = {
    "none": None,
    "integer": -(2**63),
    "large integer": 10**30,
    "bytes": b"\x00\xff",
    "many bytes": bytes(range(256)) * 400,
    "text": "Bjørn & 北",
    "long text": "ab" * 30_000,
    "list": [1, 2.5, "three", None, True, [4, []]],
    "dict": {"a": 1, 2: {"b": b"c"}},
    "tuple": (1, ("two", {3}), frozenset({4})),
    "keys": {(1, 2): "pair", frozenset({3}): 4},
    "scalars": [
        2**70, -(2**70), 1 + 2j, date(2024, 2, 29), time(1, 2, 3), datetime(2024, 5, 17, 12, 30), timedelta(-1, 2, 3),
        Decimal("1.20"), UUID(int=7), PosixPath("/a/b"), bytearray(b"xy"),
    ],
    "out of band": {"bytes": bytes(100_000), "array": bytearray(b"q" * 70_000), "small": (1,)},
}  # fmt: skip


def _run(folder: Path) -> subprocess.CompletedProcess[str]:
    # -I: nothing of the working directory or the environment; and a Holdfast that is imported would be seen.
    code = f"import runpy,sys; sys.argv=['x',{str(folder)!r}]; runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    code += "; assert not [name for name in sys.modules if name.startswith('holdfast')]"
    return subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with holdfast.open(tmp_path / "data") as store:
        odd = store.namespace("a/b").scope("100%:x", "ü")
        for key, value in VALUES.items():
            odd.put(key, value)
        odd.put("5%:of/c:d", "odd key")
        odd.put("json", {"a": [1, None]}, serializer="holdfast.json@v1")
        odd.put_chunks("file", [b"line\n"])
        odd.put("array", np.arange(6, dtype="<i4").reshape(2, 3))
        odd.put("nested", {"array": np.zeros(10_000), "pair": (np.float32(1.5),)})
        odd.put("zstd", {"array": np.zeros(10_000)}, compression="zstd")
        odd.put_chunks("lz4", [b"line\n"] * 50_000, compression="lz4")
        odd.put("gone", 1, expires=timedelta(seconds=-1))
        odd.put("deleted", 1)
        odd.delete("deleted")
        store.namespace("old").put("counter", 1)
        store.namespace("old").rename_scope("new").add("counter", 5)
        store.namespace("dropped").put("k", 1)
        store.namespace("dropped").drop()
    return tmp_path / "data"


def test_a_program_that_follows_the_page_reads_everything(folder: Path) -> None:
    done = _run(folder)
    assert done.stderr == ""
    found = {}
    for line in done.stdout.splitlines():
        address, version, value = line.split("\t")
        found[address] = (int(version), value)
    prefix = "namespace:a%2Fb/100%25%3Ax:ü/"
    expected = {prefix + key: (1, repr(value)) for key, value in VALUES.items()}
    expected[prefix + "5%25%3Aof/c:d"] = (1, "'odd key'")
    expected[prefix + "json"] = (1, "{'a': [1, None]}")
    expected[prefix + "file"] = (1, "b'line\\n'")
    expected[prefix + "array"] = (1, "('array', '<i4', [2, 3], 'C')")
    expected[prefix + "nested"] = (
        1,
        "{'array': ('array', '<f8', [10000], 'C'), 'pair': (('scalar', '<f4', [], 'C'),)}",
    )
    expected[prefix + "zstd"] = (1, "{'array': ('array', '<f8', [10000], 'C')}")
    expected[prefix + "lz4"] = (1, repr(b"line\n" * 50_000))
    expected["namespace:new/counter"] = (2, "6")
    assert found == expected
    with holdfast.open(folder, create=False) as store:
        for address, (number, _) in found.items():
            scope, key = store.find(address)
            assert scope.record(key).version == number


def test_the_program_notices_altered_bytes(folder: Path) -> None:
    (path, *_) = [path for path in folder.glob("files/*/*") if path.name != "lock"]
    path.write_bytes(b"x" * path.stat().st_size)
    done = _run(folder)
    assert done.returncode == 1
    assert "not those that were put" in done.stderr


def test_the_program_refuses_an_open_store(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "data") as store:
        store.namespace("a").put("k", 1)
        done = _run(tmp_path / "data")
    assert done.returncode == 1
    assert "the store is open" in done.stderr


def test_the_page_names_every_table_and_column(folder: Path) -> None:
    text = (DOCS / "format.md").read_text(encoding="utf-8")
    connection = apsw.Connection(str(folder / "catalog.sqlite"), flags=apsw.SQLITE_OPEN_READONLY)
    columns = connection.execute(
        "SELECT m.name, c.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c "
        "WHERE m.type='table' AND m.name NOT LIKE 'sqlite_%'"
    ).fetchall()
    version, application = connection.pragma("user_version"), connection.pragma("application_id")
    connection.close()
    assert (version, hex(application).upper()) == (5, "0X484F4C44")
    assert f"the schema, {version} |" in text
    sections = dict(re.findall(r"^\*\*`(\w+)`\*\*(.*?)(?=^\*\*|^#)", text, re.MULTILINE | re.DOTALL))
    assert set(sections) == {table for table, _ in columns}
    like_records = sections["records"] + sections["kept"]
    missing = [
        f"{table}.{column}"
        for table, column in columns
        if column != "id" and f"`{column}`" not in (like_records if table in ("kept", "past") else sections[table])
    ]
    assert missing == []


def test_the_page_gives_the_form_of_dates_with_zones() -> None:
    moment = datetime(2024, 5, 17, 12, tzinfo=timezone(timedelta(hours=2)))
    with holdfast.open("memory:") as store:
        scope = store.namespace("a")
        scope.put("k", moment)
        assert b"2024-05-17T12:00:00|0O7200000000" in scope.get_bytes("k")
