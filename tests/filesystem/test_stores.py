"""Which store is meant, and one open store for all that mean the same one."""

from __future__ import annotations

import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import fsspec
import pytest

import holdfast
from holdfast.filesystem import HoldfastFileSystem
from tests.kernel.tools import in_fork, python

AT = "namespace:a/x"


def folder(fs: HoldfastFileSystem) -> str | None:
    return fs._kernel.folder


def test_named_by_its_folder(tmp_path: Path) -> None:
    place = tmp_path / "data"
    fs = fsspec.filesystem("holdfast", store=str(place))
    assert folder(fs) == str(place)
    assert fs is fsspec.filesystem("holdfast", store=place)
    assert fs is fsspec.filesystem("holdfast", store=f"file://{place}", asynchronous=True, skip_instance_cache=True)
    with ThreadPoolExecutor(1) as other:
        apart = other.submit(HoldfastFileSystem, place).result()
    assert apart is not fs
    assert apart._kernel is fs._kernel
    assert (apart == fs, hash(apart) == hash(fs), apart._fs_token) == (True, True, fs._fs_token)
    assert fsspec.filesystem("holdfast", store=tmp_path / "other") != fs
    fs.pipe_file(AT, b"x")
    assert fsspec.open(f"holdfast://{AT}", store=str(place)).open().read() == b"x"
    with holdfast.open(place) as store:
        assert store.namespace("a").get_bytes("x") == b"x"
    fs._kernel.close()
    again = HoldfastFileSystem(place)
    assert again.cat_file(AT) == b"x"
    with pytest.raises(holdfast.ClosedError):
        fs.cat_file(AT)


def test_the_configured_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(holdfast.StoreNotFoundError, match="storage_options"):
        fsspec.open(f"holdfast://{AT}", "wb")
    (tmp_path / "holdfast.toml").write_text("store = 'one'\ndurability = 'power'\n")
    assert folder(HoldfastFileSystem()) == str(tmp_path / "one")
    assert HoldfastFileSystem()._kernel.power
    monkeypatch.setenv("HOLDFAST_STORE", str(tmp_path / "two"))
    assert folder(HoldfastFileSystem(durability="process")) == str(tmp_path / "two")
    assert not HoldfastFileSystem(durability="process")._kernel.power


def test_the_run_context(store: holdfast.Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_STORE", str(tmp_path / "configured"))
    with store.context(namespace="a"):
        with fsspec.open(f"holdfast://{AT}", "wb") as file:
            file.write(b"x")
        frozen = pickle.dumps(fsspec.filesystem("holdfast"))
    assert store.namespace("a").get_bytes("x") == b"x"
    assert folder(pickle.loads(frozen)) == store.config.store
    assert folder(fsspec.filesystem("holdfast")) == str(tmp_path / "configured")


def test_an_open_store(store: holdfast.Store, tmp_path: Path) -> None:
    fs = HoldfastFileSystem(store)
    assert fs._kernel is store._kernel
    assert HoldfastFileSystem(store, use_listings_cache=False) is fs
    with pytest.raises(holdfast.InvalidArgumentError, match="leave durability away"):
        HoldfastFileSystem(store, durability="power")
    with holdfast.open(tmp_path / "second") as second:
        assert HoldfastFileSystem(second) != fs
    with pytest.raises(holdfast.ClosedError):
        HoldfastFileSystem(second).ls("")


def test_a_store_in_memory() -> None:
    fs = fsspec.filesystem("holdfast", store="memory:")
    fs.pipe_file(AT, bytes(100_000))
    assert fsspec.open(f"holdfast://{AT}", store="memory:").open().read() == bytes(100_000)
    assert fs.cat_file(AT, 5, 9) == bytes(4)
    with holdfast.open("memory:") as other:
        assert HoldfastFileSystem(other) != fs
        assert HoldfastFileSystem(other).find("") == []
    with pytest.raises(holdfast.InvalidArgumentError, match="memory"):
        pickle.dumps(fs)
    fs.rm("namespace:a", recursive=True)


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(holdfast.StoreNotFoundError):
        HoldfastFileSystem(tmp_path / "no", create=False)
    assert not (tmp_path / "no").exists()
    with pytest.raises(TypeError, match="stroe"):
        HoldfastFileSystem(stroe=tmp_path / "no")
    with pytest.raises(holdfast.InvalidArgumentError, match="store"):
        HoldfastFileSystem(5)
    (tmp_path / "strangers").mkdir()
    (tmp_path / "strangers" / "file").touch()
    with pytest.raises(holdfast.NotAStoreError):
        HoldfastFileSystem(tmp_path / "strangers")


def count(fs: HoldfastFileSystem, number: int) -> str:
    fs.pipe_file(f"namespace:a/{number}", b"%d" % number)
    return fs._fs_token


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes(fs: HoldfastFileSystem, method: str) -> None:
    context = multiprocessing.get_context(method)
    fs.pipe_file(AT, b"x")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        tokens = set(pool.map(count, [fs] * 8, range(8)))
    assert tokens == {fs._fs_token}
    assert len(fs.find("namespace:a")) == 9


def test_a_fork(fs: HoldfastFileSystem, store: holdfast.Store) -> None:
    fs.pipe_file(AT, b"x")
    reader = fs.open(AT)

    def child() -> None:
        assert reader.read() == b"x"
        assert fs.cat_file(AT) == b"x"
        fs.pipe_file("namespace:a/child", b"y")
        assert HoldfastFileSystem(store).find("") == ["namespace:a/child", AT]

    assert in_fork(child) == 0
    assert fs.cat_file("namespace:a/child") == b"y"
    assert fs is HoldfastFileSystem(store)


def test_json(tmp_path: Path) -> None:
    fs = HoldfastFileSystem(store=str(tmp_path / "data"))
    assert fsspec.AbstractFileSystem.from_json(fs.to_json()) is fs
    assert fsspec.AbstractFileSystem.from_dict(fs.to_dict()) is fs


def test_fsspec_finds_it(tmp_path: Path) -> None:
    code = """
        import sys, fsspec
        assert "holdfast" in fsspec.available_protocols()
        assert "holdfast" not in sys.modules
        fs = fsspec.filesystem("holdfast", store=sys.argv[1])
        assert type(fs).__name__ == "HoldfastFileSystem"
        assert fsspec.get_filesystem_class("holdfast") is type(fs)
        assert "numpy" not in sys.modules
    """
    python(code, str(tmp_path / "data"))


def test_without_fsspec() -> None:
    code = """
        import sys
        sys.modules["fsspec"] = None
        import holdfast
        try:
            import holdfast.filesystem
        except holdfast.MissingExtraError as error:
            print(error)
    """
    assert 'pip install "holdfast[fsspec]"' in python(code).stdout
