"""Programs written for labox: with their imports changed, and unmodified by ``python -m holdfast.compat labox``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.compat.labox import ManifestRecord
from holdfast.compat.labox.core.session import scope_of

from ..kernel.places import set_keys
from .jobs import python
from .labox_names import NAMES
from .labox_places import KINDS, run

PROGRAM = Path(__file__).with_name("labox_program.txt").read_text()

QUICK = {("sqlite+files", "changed"), ("postgresql+s3", "unmodified")}


def changed(program: str) -> str:
    """A program with its imports changed, and nothing else."""
    program = re.sub(r"^import labox$", "import holdfast.compat.labox as labox", program, flags=re.MULTILINE)
    return re.sub(r"^from labox", "from holdfast.compat.labox", program, flags=re.MULTILINE)


def start(program: str, how: str, *words: Any, **more: Any) -> str:
    """Run a program in a process of its own, and give what it printed."""
    Path("program.py").write_text(changed(program) if how == "changed" else program)
    begin = [] if how == "changed" else ["-m", "holdfast.compat", "labox"]
    return python(*begin, "program.py", *words, **more).stdout


@pytest.mark.parametrize(
    "kind, how",
    [
        pytest.param(kind, how, marks=() if (kind, how) in QUICK else pytest.mark.long)
        for kind in KINDS
        for how in ("changed", "unmodified")
    ],
)
def test_a_laboratorys_program_runs_on_a_store(
    kind: str, how: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    set_keys(request.getfixturevalue("monkeypatch"))
    catalog, _, storage = kind.partition("+")
    database = f"sqlite+aiosqlite:///{tmp_path}/laboratory.db"
    if catalog == "postgresql":
        import psycopg

        server, name = request.getfixturevalue("postgresql"), f"laboratory_{storage}_{how}"
        with psycopg.connect(server.url(), autocommit=True) as link:
            link.execute(f'DROP DATABASE IF EXISTS "{name}"')
            link.execute(f'CREATE DATABASE "{name}"')
        database = server.url(name).replace("postgresql:", "postgresql+psycopg:")
    place = request.getfixturevalue("s3_endpoint") if storage == "s3" else "bytes"
    assert start(PROGRAM, how, database, place) == "holdfast.compat.labox 5 records\n"
    url = f"{tmp_path}/laboratory.db.holdfast" if catalog == "sqlite" else database.replace("+psycopg", "")
    with holdfast.open(url, create=False) as store:  # what it is to Holdfast
        records = store.scope("labox", "manifests").list(tags={"project": "spectra"})
        assert [dict(record.tags)["stage"] for record in records] == ["raw"] * 6
        manifests = run(found(store))
        assert len(manifests) == 10
        assert {manifest.unpacker_name for manifest in manifests} >= {"labox.pydantic@v1", "labox.builtin.dataclass@v1"}


async def found(store: holdfast.Store) -> list[ManifestRecord]:
    return [manifest async for manifest in ManifestRecord.search(store)]


STORAGE = """
import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterable
from pathlib import Path
from tempfile import NamedTemporaryFile

from labox import Digest, Registry, Storage, TagMap, load_one, save_one
from labox.builtin import StorableStream, StorableValue, json_serializer, json_stream_serializer
from labox.core.storage import GetStreamDigest


class TempFiles(Storage):
    name = "temp-files@v1"

    def __init__(self, root: Path) -> None:
        self._root = root

    async def write_data(self, data: bytes, digest: Digest, tags: TagMap) -> str:
        assert tags == {"stage": "raw"}
        path = self._root / digest["content_hash"]
        path.write_bytes(data)
        return str(path)

    async def read_data(self, config: str) -> bytes:
        return Path(config).read_bytes()

    async def write_data_stream(
        self, stream: AsyncIterable[bytes], get_digest: GetStreamDigest, tags: TagMap
    ) -> str:
        with NamedTemporaryFile(dir=self._root, delete=False) as file:
            async for piece in stream:
                file.write(piece)
        path = self._root / get_digest()["content_hash"]
        Path(file.name).rename(path)
        return str(path)

    async def read_data_stream(self, config: str) -> AsyncGenerator[bytes]:
        with Path(config).open("rb") as file:
            while piece := file.read(100):
                yield piece


async def items():
    for n in range(300):
        yield [n]


async def main() -> None:
    import holdfast

    Path("files").mkdir()
    registry = Registry(
        storables=[StorableValue, StorableStream],
        serializers=[json_serializer, json_stream_serializer],
        default_storage=TempFiles(Path("files")),
    )
    with holdfast.open("data") as store:
        how = {"session": store, "registry": registry}
        tags = {"stage": "raw"}
        value = await save_one(StorableValue({"a": [1, 2.5, None]}), tags=tags, **how)
        stream = await save_one(StorableStream(items()), tags=tags, **how)
        print((await load_one(value, StorableValue, **how)).value)
        from contextlib import AsyncExitStack

        async with AsyncExitStack() as stack:
            loaded = await load_one(stream, StorableStream, stack=stack, **how)
            print(sum([item[0] async for item in loaded.value_stream]))
    print(sorted(path.name for path in Path("files").iterdir()) == sorted(
        content.content_hash for manifest in (value, stream) for content in manifest.contents
    ))


asyncio.run(main())
"""


@pytest.mark.parametrize("how", ["changed", "unmodified"])
def test_a_program_with_an_authors_storage_runs_inside_a_store(how: str) -> None:
    assert start(STORAGE, how) == "{'a': [1, 2.5, None]}\n44850\nTrue\n"


def test_without_a_store_the_program_is_told_what_a_session_is() -> None:
    program = STORAGE.replace('{"session": store,', '{"session": "data",')
    Path("program.py").write_text(program)
    done = python("-m", "holdfast.compat", "labox", "program.py", check=False)
    assert done.returncode == 1
    assert "session is a Holdfast store or scope" in done.stderr


def test_a_scope_is_a_session_of_its_own(store: holdfast.Store) -> None:
    scope = store.namespace("prod").workflow("forecast")
    assert scope_of(scope) is scope
    assert str(scope_of(store)) == "labox:manifests"


MODULES = """
import importlib, pkgutil
from pathlib import Path

import holdfast.compat

holdfast.compat.install("labox")
import labox

for module in pkgutil.walk_packages(labox.__path__, "labox."):
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        assert module.name.rpartition(".")[2] not in str(error).partition("Holdfast has")[2], error
        continue
    print(module.name)
"""


def test_an_installed_face_offers_the_modules_that_labox_has_and_no_others() -> None:
    packages = {"builtin", "builtin.serializers", "builtin.storables", "builtin.storages", "common", "core", "core.api"}
    names = {f"labox.{name}" for name in {*NAMES, *packages, "extra"}}
    assert set(python("-c", MODULES).stdout.split()) == names


def test_what_the_core_stands_on_imports_nothing_that_ships_with_it() -> None:
    code = "import sys, holdfast.compat.labox; print([name for name in sys.modules if 'labox.builtin' in name])"
    assert python("-c", code).stdout == "[]\n"
