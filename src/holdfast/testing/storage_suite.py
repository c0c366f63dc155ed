"""What every storage must do, as tests to inherit.

A backend's own test file is this::

    class TestMyStorage(StorageSuite):
        @pytest.fixture
        def storage(self, tmp_path):
            storage = MyStorage(tmp_path / "bytes")
            yield storage
            storage.close()

        def reopen(self, storage):
            return MyStorage(storage.folder)

What a storage can do is seen from what it is: a :class:`~holdfast.storages.base.MappedStorage` is tested as one, an
``ephemeral`` one need not be opened a second time, and one with a method ``abandoned`` of its own must find what a
killed process left.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from ..errors import ClosedError, InvalidArgumentError, ValueLost
from ..payload import Buffer, Payload
from ..storages.base import MappedStorage, Storage
from .processes import in_child, killed_child

__all__ = ["StorageSuite"]

_PIECE = 4 << 20
"""Streams give at most this many bytes at once."""


def _no_digest() -> tuple[int, bytes]:
    """The digest of bytes that nobody hashes (an ephemeral content's)."""
    return 0, b""


def _pattern(size: int, seed: int = 0) -> bytes:
    """Bytes of which no two pieces are alike: a misplaced or missing one shows."""
    return hashlib.shake_128(b"%d" % seed).digest(size)


def _put(storage: Storage, *buffers: Buffer, sync: bool = False) -> Any:
    """Write buffers as one payload."""
    return storage.write(Payload(buffers, "application/octet-stream"), _no_digest, {}, sync=sync)


def _get(storage: Storage, config: Any) -> bytes:
    """All bytes of a config, as ``bytes``."""
    return bytes(storage.read(config))


def _joined(storage: Storage, config: Any, *span: int | None) -> bytes:
    """All bytes of a stream, whose pieces are checked."""
    pieces = []
    for piece in storage.read_stream(config, *span):  # type: ignore[arg-type]
        assert isinstance(piece, bytes), f"a stream gave {type(piece).__name__}, not bytes"
        assert 0 < len(piece) <= _PIECE, f"a stream gave a piece of {len(piece)} bytes"
        pieces.append(piece)
    return b"".join(pieces)


def _path_of(storage: MappedStorage, config: Any) -> str:
    """A path that reaches the file itself, as another program would."""
    with storage.open(config) as file:
        if sys.platform == "darwin":
            return fcntl.fcntl(file, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0").decode()
        return os.path.realpath(f"/proc/self/fd/{file.fileno()}")


def _open_files() -> int:
    """The number of file descriptors of this process."""
    return len(os.listdir("/dev/fd"))


class StorageSuite:
    """The promises of :class:`~holdfast.storages.base.Storage`, one a test; a subclass gives the storage.

    Attributes:
        LEFT: pieces that a process leaves when it is killed; more than the storage gives in one batch.
    """

    LEFT = 1500

    @pytest.fixture
    def storage(self) -> Any:
        """An empty storage."""
        raise NotImplementedError("a subclass of StorageSuite gives the fixture `storage`: an empty storage")

    def reopen(self, storage: Any) -> Any:
        """A second, independent object on the same place, as another process would make it; None when the bytes live
        in one object only."""
        if storage.ephemeral:
            return None
        raise NotImplementedError("a subclass of StorageSuite gives reopen(storage): another object on the same place")

    @pytest.fixture
    def mapped(self, storage: Storage) -> MappedStorage:
        """The storage, where it has files that can be mapped."""
        if not isinstance(storage, MappedStorage):
            pytest.skip("not a MappedStorage")
        return storage

    @pytest.fixture
    def second(self, storage: Storage) -> Iterator[Any]:
        """Another object on the same place."""
        other = self.reopen(storage)
        if other is None:
            pytest.skip("an ephemeral storage of one object")
        yield other
        other.close()

    # --- bytes in, bytes out ----------------------------------------------------------------------------------------

    def test_the_name_is_one_for_ever(self, storage: Storage) -> None:
        assert re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)+@v[1-9][0-9]*", storage.name), storage.name

    @pytest.mark.parametrize("size", [0, 1, 4095, 4096, 65537, 3_000_001])
    def test_bytes_come_back(self, storage: Storage, size: int) -> None:
        data = _pattern(size)
        config = _put(storage, data)
        assert _get(storage, config) == data
        assert _joined(storage, config) == data

    def test_a_config_is_json(self, storage: Storage) -> None:
        config = _put(storage, b"abc")
        text = json.dumps(config, allow_nan=False)
        assert json.loads(text) == config, f"{config!r} does not come through JSON as it is"
        assert _get(storage, json.loads(text)) == b"abc"

    def test_buffers_of_all_kinds_and_many_of_them(self, storage: Storage) -> None:
        few: list[Buffer] = [b"", b"in-band", bytearray(b"xy"), memoryview(bytearray(b"0123456789"))[2:7], b""]
        assert _get(storage, _put(storage, *few)) == b"in-bandxy23456"
        many = [_pattern(number % 97, number) for number in range(2500)]
        assert _get(storage, _put(storage, *many)) == b"".join(many)
        assert _get(storage, _put(storage)) == b""

    def test_what_the_caller_does_with_a_buffer_later_changes_nothing(self, storage: Storage) -> None:
        mine = bytearray(b"before" * 20_000)
        config = _put(storage, mine)
        with storage.writer({}) as writer:
            writer.write(mine)
            mine[:6] = b"after."
            streamed = writer.commit(_no_digest)
        assert _get(storage, config)[:6] == b"before"
        assert _get(storage, streamed)[:6] == b"before"

    def test_what_a_reader_does_with_its_bytes_changes_nothing(self, storage: Storage) -> None:
        config = _put(storage, b"before")
        with memoryview(storage.read(config)) as view:
            if not view.readonly:
                view[:] = b"after."
        assert _get(storage, config) == b"before"

    def test_each_write_is_a_new_piece(self, storage: Storage) -> None:
        configs = [_put(storage, b"same"), _put(storage, b"same"), _put(storage, b"diff"), _put(storage)]
        texts = {json.dumps(config) for config in configs}
        alone = 2 if storage.shares and configs[0] == configs[1] else 1  # the first that must outlive the one deleted
        assert len(texts) == 5 - alone, f"two pieces have one config: {configs}"
        storage.delete(configs[0])
        assert [_get(storage, config) for config in configs[alone:]] == [b"same", b"diff", b""][alone - 1 :]

    def test_tags_are_any_text(self, storage: Storage) -> None:
        tags = {"stage": "eval", "größe": "∞ / \n", "": ""}
        config = storage.write(Payload([b"tagged"], "text/plain"), _no_digest, tags)
        with storage.writer(tags) as writer:
            writer.write(b"too")
            other = writer.commit(_no_digest)
        assert (_get(storage, config), _get(storage, other)) == (b"tagged", b"too")

    def test_a_digest_that_fails_is_told_or_not_asked_for(self, storage: Storage) -> None:
        def failing() -> tuple[int, bytes]:
            raise ArithmeticError("no digest")

        try:
            config = storage.write(Payload([b"abc"], "text/plain"), failing, {})
        except ArithmeticError:
            return
        assert _get(storage, config) == b"abc"

    # --- streams ----------------------------------------------------------------------------------------------------

    def test_spans(self, storage: Storage) -> None:
        data = _pattern(9_000_001)
        config = _put(storage, data)
        assert _joined(storage, config) == data
        spans: list[tuple[int, int | None]] = [
            (0, 0), (0, 1), (5, None), (1_048_570, 20), (4_194_303, 4_194_306), (9_000_000, None),
            (9_000_000, 10), (9_000_001, None), (9_000_002, 5), (10, 100_000_000),
        ]  # fmt: skip
        for offset, length in spans:
            end = None if length is None else offset + length
            assert _joined(storage, config, offset, length) == data[offset:end], f"offset {offset}, length {length}"

    def test_impossible_spans_are_refused(self, storage: Storage) -> None:
        config = _put(storage, b"abc")
        for span in ((-1, None), (0, -1), (-1, 1)):
            with pytest.raises(InvalidArgumentError):
                _joined(storage, config, *span)
        with pytest.raises(InvalidArgumentError):
            storage.writer({}, size=-1)

    @pytest.mark.parametrize("size", [None, 0, 3_000_000, 2_999_999, 9_000_000])
    def test_a_stream_is_written(self, storage: Storage, size: int | None) -> None:
        """``size`` may be wrong: what was written counts."""
        data = _pattern(3_000_000)
        view = memoryview(data)
        with storage.writer({}, size=size) as writer:
            for start in range(0, len(data), 700_000):
                writer.write(view[start : start + 700_000])
            writer.write(b"")
            config = writer.commit(_no_digest)
        assert _get(storage, config) == data
        assert _joined(storage, config) == data
        if isinstance(storage, MappedStorage):
            identity = storage.identity(config)
            assert identity is not None
            assert identity.size == len(data)

    def test_an_empty_stream(self, storage: Storage) -> None:
        with storage.writer({}) as writer:
            config = writer.commit(_no_digest)
        assert _get(storage, config) == b""

    def test_a_writer_ends_once(self, storage: Storage) -> None:
        done, dropped = storage.writer({}), storage.writer({})
        done.write(b"kept")
        config = done.commit(_no_digest)
        done.abort()
        dropped.write(b"lost")
        dropped.abort()
        dropped.abort()
        for writer in (done, dropped):
            with pytest.raises(ClosedError):
                writer.write(b"more")
            with pytest.raises(ClosedError):
                writer.commit(_no_digest)
        assert _get(storage, config) == b"kept", "abort after commit took the piece away, or a later write changed it"

    def test_writers_side_by_side(self, storage: Storage) -> None:
        writers = [storage.writer({}) for _ in range(5)]
        for _ in range(3):
            for number, writer in enumerate(writers):
                writer.write(b"%d" % number)
        configs = [writer.commit(_no_digest) for writer in writers]
        assert [_get(storage, config) for config in configs] == [b"000", b"111", b"222", b"333", b"444"]

    # --- what is gone, and what never was ---------------------------------------------------------------------------

    def test_what_is_gone_is_told_everywhere(self, storage: Storage) -> None:
        gone, there = _put(storage, b"gone"), _put(storage, b"there")
        storage.delete(gone)
        storage.delete(gone)
        with pytest.raises(ValueLost):
            storage.read(gone)
        with pytest.raises(ValueLost):
            _joined(storage, gone)
        assert storage.sync([there, gone, there]) == [True, False, True]
        if isinstance(storage, MappedStorage):
            assert storage.identity(gone) is None
            with pytest.raises(ValueLost):
                storage.map(gone, 4)
            with pytest.raises(ValueLost):
                storage.open(gone)
        assert _get(storage, there) == b"there"

    def test_who_reads_may_finish(self, storage: Storage) -> None:
        data = _pattern(9_000_000)
        config = _put(storage, data)
        stream = storage.read_stream(config)
        first = next(iter(stream))
        storage.delete(config)
        assert first + b"".join(stream) == data

    def test_foreign_configs_are_refused(self, storage: Storage) -> None:
        config = _put(storage, b"mine")
        foreign: list[Any] = [
            None, True, 17, 1.5, [], {}, "", ".", "..", "/etc/passwd", "../../../etc/passwd", "a\0b", "\ud800",
            "x" * 10_000, [config], {"config": config},
        ]  # fmt: skip
        if isinstance(config, str):
            foreign += [
                f"../{config}",
                f"./{config}",
                f"{config}/..",
                f"{config}\n",
                f" {config}",
                f"{config}/",
                f"/{config}",
            ]
        for wrong in foreign:
            with pytest.raises(InvalidArgumentError):
                storage.read(wrong)
            with pytest.raises(InvalidArgumentError):
                _joined(storage, wrong)
            with pytest.raises(InvalidArgumentError):
                storage.delete(wrong)
            with pytest.raises(InvalidArgumentError):
                storage.sync([wrong])
            if isinstance(storage, MappedStorage):
                for verb in (storage.identity, storage.open, lambda config: storage.map(config, 1)):
                    with pytest.raises(InvalidArgumentError):
                        verb(wrong)
        assert _get(storage, config) == b"mine"

    # --- kept -------------------------------------------------------------------------------------------------------

    def test_sync(self, storage: Storage) -> None:
        at_once = _put(storage, _pattern(100_000), sync=True)
        later = [_put(storage, _pattern(100_000, number)) for number in range(3)]
        with storage.writer({}) as writer:
            writer.write(b"streamed")
            streamed = writer.commit(_no_digest, sync=True)
        assert storage.sync([]) == []
        assert storage.sync([*later, at_once, streamed, later[0]]) == [True] * 6
        assert _get(storage, later[2]) == _pattern(100_000, 2)

    def test_closing_twice(self, storage: Storage) -> None:
        _put(storage, b"abc")
        storage.close()
        storage.close()

    def test_another_object_reads_and_deletes(self, storage: Storage, second: Storage) -> None:
        config = _put(storage, b"abc")
        assert _get(second, config) == b"abc"
        theirs = _put(second, b"def")
        assert theirs != config
        assert _get(storage, theirs) == b"def"
        second.delete(config)
        with pytest.raises(ValueLost):
            storage.read(config)
        second.close()
        assert _get(storage, theirs) == b"def", "closing ended what was written"

    # --- at once ----------------------------------------------------------------------------------------------------

    def test_threads(self, storage: Storage) -> None:
        written: list[tuple[Any, bytes]] = []
        start = threading.Barrier(8)

        def work(thread: int) -> None:
            start.wait()
            for number in range(25):
                data = _pattern(1000 + number, thread)
                config = _put(storage, data)
                written.append((config, data))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len({json.dumps(config) for config, _ in written}) == 200
        for config, data in written:
            assert _get(storage, config) == data

    def test_a_forked_process_never_takes_our_configs(self, storage: Storage) -> None:
        before = _put(storage, b"before")

        def child() -> Any:
            assert _get(storage, before) == b"before"
            return [_put(storage, b"child %d" % number) for number in range(20)]

        theirs = in_child(child)
        ours = [_put(storage, b"parent %d" % number) for number in range(20)]
        assert not {json.dumps(config) for config in ours} & {json.dumps(config) for config in theirs}
        assert [_get(storage, config) for config in ours] == [b"parent %d" % number for number in range(20)]
        for number, config in enumerate(theirs):
            try:
                assert _get(storage, config) == b"child %d" % number
            except ValueLost:
                assert storage.ephemeral, "what a process wrote is lost at its end"

    def test_a_fork_leaves_our_writer_alone(self, storage: Storage) -> None:
        writer = storage.writer({})
        writer.write(b"one ")

        def child() -> Any:
            writer.abort()
            return None

        in_child(child)
        writer.write(b"two")
        assert _get(storage, writer.commit(_no_digest)) == b"one two"

    def test_what_a_killed_process_left(self, storage: Storage, second: Storage) -> None:
        if type(storage).abandoned is Storage.abandoned:
            pytest.skip("nothing is left behind in this storage")
        alive = [_put(storage, b"alive"), _put(second, b"alive")]

        def child(report: Any) -> None:
            configs = [_put(storage, b"dead %d" % number) for number in range(self.LEFT)]
            storage.writer({}).write(b"never finished")
            report(configs)
            signal.pause()

        dead = killed_child(child)
        found = []
        for item in second.abandoned():
            for batch in item.configs():
                assert 0 < len(batch) <= 1000, f"a batch of {len(batch)}"
                found += batch
                for config in batch:
                    second.delete(config)
            item.release()
        assert {json.dumps(config) for config in dead} <= {json.dumps(config) for config in found}
        assert not {json.dumps(config) for config in alive} & {json.dumps(config) for config in found}
        assert list(second.abandoned()) == [], "a released writer is reported again"
        assert [_get(storage, config) for config in alive] == [b"alive", b"alive"]
        assert _get(storage, _put(storage, b"goes on")) == b"goes on"

    # --- files that can be mapped -------------------------------------------------------------------------------------

    @pytest.mark.parametrize("size", [0, 1, 4096, 1_000_001])
    def test_a_map_has_the_bytes(self, mapped: MappedStorage, size: int) -> None:
        data = _pattern(size)
        view = mapped.map(_put(mapped, data), size)
        assert (view.format, view.ndim, view.readonly, view.nbytes) == ("B", 1, False, size)
        assert view == data

    def test_a_map_is_private(self, mapped: MappedStorage, second: MappedStorage) -> None:
        data = _pattern(10_000)
        config = _put(mapped, data)
        before = mapped.identity(config)
        first = mapped.map(config, 10_000)
        first[:5] = b"mine!"
        assert mapped.map(config, 10_000) == data
        assert mapped.read(config) == data
        assert second.map(config, 10_000) == data
        assert mapped.identity(config) == before
        assert bytes(first[:5]) == b"mine!"

    def test_a_map_outlives_its_file_and_its_storage(self, mapped: MappedStorage) -> None:
        data = _pattern(1_000_000)
        config = _put(mapped, data)
        part = mapped.map(config, 1_000_000)[500_000:]
        mapped.delete(config)
        mapped.close()
        assert part == data[500_000:]

    def test_a_short_file_is_lost_and_kills_nobody(self, mapped: MappedStorage) -> None:
        config = _put(mapped, _pattern(10_000))
        for size in (10_001, 12_288, 100_000):
            with pytest.raises(ValueLost):
                mapped.map(config, size)
        os.truncate(_path_of(mapped, config), 9_999)
        with pytest.raises(ValueLost):
            mapped.map(config, 10_000)
        with pytest.raises(InvalidArgumentError):
            mapped.map(config, -1)

    def test_an_identity_tells_a_touched_file(self, mapped: MappedStorage, second: MappedStorage) -> None:
        config, other = _put(mapped, b"a" * 1000), _put(mapped, b"a" * 1000)
        before = mapped.identity(config)
        assert before is not None
        assert before == mapped.identity(config) == second.identity(config)
        assert before.size == 1000
        assert before != mapped.identity(other)
        path = _path_of(mapped, config)
        with open(path, "r+b") as file:
            file.write(b"b")
        os.utime(path, ns=(before.mtime, before.mtime))
        assert mapped.identity(config) != before, "a change of the bytes under an old time was not told"

    def test_a_file_is_opened(self, mapped: MappedStorage) -> None:
        data = _pattern(100_000)
        with mapped.open(_put(mapped, data)) as file:
            assert isinstance(file, io.RawIOBase)
            assert (file.tell(), file.seekable(), file.readable(), file.writable()) == (0, True, True, False)
            assert file.read(10) == data[:10]
            assert file.seek(50_000) == 50_000
            assert file.readall() == data[50_000:]

    def test_nothing_stays_open(self, mapped: MappedStorage) -> None:
        config = _put(mapped, _pattern(3_000_000))
        before = _open_files()
        maps = [mapped.map(config, 3_000_000) for _ in range(50)]
        for _ in range(10):
            mapped.read(config)
            _joined(mapped, config)
            stream = mapped.read_stream(config)
            next(iter(stream))
            del stream
            mapped.writer({}).abort()
            mapped.delete(_put(mapped, b"x"))
        assert _open_files() == before, "files stay open (a map must not hold one: a thousand of them use up the limit)"
        assert len(maps) == 50
