"""Archives that nobody should unpack (D19): nothing is called, nothing is written beside the directory."""

from __future__ import annotations

import errno
import gzip
import io
import random
import shutil
import tarfile
import threading
import time
from pathlib import Path

import pytest

from holdfast.flows.failures import Failure
from holdfast.flows.functions.room import Room
from holdfast.flows.functions.unpacking import unpack
from holdfast.flows.functions.watch import Watch

from .acting import World, failing, file, special, tar

FILES = "holdfast.function.files"

OUTSIDE = {
    "above": tar(("../evil", b"1")),
    "above, inside": tar(("a/../../evil", b"1")),
    "above and back": tar(("a/../b", b"1")),
    "of the root": tar(("/evil", b"1")),
    "above, a directory": tar(special("../evil", tarfile.DIRTYPE)),
    "above, by a long name": tar(("a/" * 90 + "../" * 92 + "evil", b"1")),
    "above, by pax": tar(special("x", tarfile.REGTYPE, pax_headers={"path": "../evil"})),
    "a symbolic link": tar(special("a", tarfile.SYMTYPE, linkname="/etc")),
    "a symbolic link, and through it": tar(special("a", tarfile.SYMTYPE, linkname=".."), ("a/evil", b"1")),
    "a hard link": tar(("b", b"1"), special("a", tarfile.LNKTYPE, linkname="b")),
    "a hard link outside": tar(special("a", tarfile.LNKTYPE, linkname="../../lock")),
    "a character device": tar(special("a", tarfile.CHRTYPE, devmajor=1, devminor=3)),
    "a block device": tar(special("a", tarfile.BLKTYPE, devmajor=7)),
    "a pipe": tar(special("a", tarfile.FIFOTYPE)),
    "an unknown type": tar(special("a", b"Z")),
    "a sparse file": tar(special("a", tarfile.GNUTYPE_SPARSE)),
    "a file and a directory": tar(("a", b"1"), ("a/b", b"1")),
    "a directory and a file": tar(special("a", tarfile.DIRTYPE), ("a", b"1")),
    "too deep": tar(("a/" * 101 + "b", b"1")),
    "a name too long": tar(("a" * 300, b"1")),
    "a name of a megabyte": tar(("a" * 1_000_000, b"1")),
    "no name": tar(("./", b"1")),
}

NONE = {
    "text": b"no archive at all",
    "a block of text": b"x" * 1024,
    "without its end": tar(("a", b"1"))[:1024],
    "cut in a file": tar(("a", b"1" * 5000))[:3000],
    "cut in a header": tar(("a", b"1"))[:300],
    "a zip": b"PK\x03\x04" + bytes(5000),
    "half a block of zeros": bytes(100),
}


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("type", ["tar", "tar.gz"])
def test_d19_an_archive_that_is_refused(world: World, name: str, type: str) -> None:
    before = set(world.path.rglob("*"))
    data = OUTSIDE[name]
    world.put("instance", "x", gzip.compress(data) if type == "tar.gz" else data)
    with failing(FILES, "'x'"):
        world.shell("touch called", file("x", type=type))
    assert world.left() == []
    new = {path.name for path in set(world.path.rglob("*")) - before}
    assert not new & {"evil", "called"}


@pytest.mark.parametrize("name", NONE)
@pytest.mark.parametrize("type", ["tar", "tar.gz"])
def test_d19_bytes_that_are_no_archive(world: World, name: str, type: str) -> None:
    data = NONE[name]
    world.put("instance", "x", gzip.compress(data) if type == "tar.gz" else data)
    with failing(FILES, "'x'"):
        world.shell("touch called", file("x", type=type))
    assert not (world.path / "called").exists()


def test_d19_a_compressed_archive_is_no_tar_and_a_tar_no_compressed_one(world: World) -> None:
    world.put("instance", "x", gzip.compress(tar(("a", b"1"))))
    with failing(FILES):
        world.shell("true", file("x", type="tar"))
    world.put("instance", "x", tar(("a", b"1")))
    with failing(FILES, "gzip"):
        world.shell("true", file("x", type="tar.gz"))


@pytest.mark.parametrize("cut", [5, 12, -4, -9])
def test_a_compressed_archive_that_is_cut(world: World, cut: int) -> None:
    world.put("instance", "x", gzip.compress(tar(("a", random.randbytes(5000))))[:cut])
    with failing(FILES):
        world.shell("true", file("x", type="tar.gz"))


def test_a_compressed_archive_with_a_wrong_sum(world: World) -> None:
    data = bytearray(gzip.compress(tar(("a", random.randbytes(5000)))))
    data[-5] ^= 1
    world.put("instance", "x", bytes(data))
    with failing(FILES):
        world.shell("true", file("x", type="tar.gz"))


def _bomb(path: Path, size: int) -> bytes:
    """A small file that unpacks to ``size`` bytes."""
    with gzip.open(path, "wb", compresslevel=6) as target:
        head = tarfile.TarInfo("zeros")
        head.size = size
        target.write(head.tobuf())
        for _ in range(size >> 20):
            target.write(bytes(1 << 20))
        target.write(bytes(1024))
    return path.read_bytes()


def test_d19_what_unpacks_to_too_much(world: World) -> None:
    bomb = _bomb(world.path / "bomb", 40 << 20)
    assert len(bomb) < 1 << 18
    world.put("instance", "x", bomb)
    began = time.monotonic()
    with failing(FILES, "more than 1000000 bytes", "raise unpacked"):
        world.shell("true", file("x", type="tar.gz"), unpacked=1_000_000)
    assert time.monotonic() - began < 2  # what is said to be too large is not unpacked
    assert world.shell('wc -c < "$DIREKTIV_TEMPDIR/x/zeros"', file("x", type="tar.gz"), unpacked=50 << 20) == 40 << 20


def test_the_bound_is_of_all_archives_together(world: World) -> None:
    world.put("instance", "x", tar(("a", bytes(400_000))))
    files = [file("x", f"x{n}", "tar") for n in range(3)]
    with failing(FILES, "more than 1000000 bytes"):
        world.shell("true", *files, unpacked=1_000_000)
    world.shell("true", *files[:2], unpacked=1_000_000)


def test_what_follows_an_archive_is_bounded_too(world: World) -> None:
    world.put("instance", "x", gzip.compress(tar(("a", b"1")) + bytes(5 << 20)))
    with failing(FILES, "more than 1000000 bytes"):
        world.shell("true", file("x", type="tar.gz"), unpacked=1_000_000)


@pytest.mark.parametrize(
    "data",
    [
        tar(*[(f"f{n}", b"") for n in range(200)]),
        tar(*[special(f"d{n}", tarfile.DIRTYPE) for n in range(200)]),
        tar(*[(f"{n}/" + "/".join("abcdefghijk") + "/x", b"") for n in range(12)]),  # directories that are not entries
        tar(*[special("x", tarfile.XGLTYPE)] * 200),
    ],
    ids=["files", "directories", "directories that are implied", "headers"],
)
def test_d19_too_many_entries(world: World, data: bytes) -> None:
    world.put("instance", "x", data)
    with failing(FILES, "more than 100 files", "raise entries"):
        world.shell("true", file("x", type="tar"), entries=100)


def test_many_directories_are_not_unpacked_to_their_end_when_it_is_cancelled(tmp_path: Path) -> None:
    ended = threading.Event()
    data = tar(*[special(f"d{n}", tarfile.DIRTYPE) for n in range(200)])

    class Archive(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 10_000:
                ended.set()
            return super().read(size)

    room = Room(FILES, "it", 1_000_000, 1000, "unpacked", Watch(ended))
    with failing("holdfast.function.cancelled"):
        unpack(Archive(data), str(tmp_path), room, None, "it")
    assert len(list(tmp_path.iterdir())) < 30


def test_headers_that_say_large_things_take_no_memory(world: World) -> None:
    import tracemalloc

    def head(kind: bytes, size: int) -> bytes:
        info = special("x", kind)
        info.size = size
        return info.tobuf(tarfile.GNU_FORMAT)

    for kind in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
        world.put("instance", "x", head(kind, 12 << 20) + bytes(12 << 20))
        tracemalloc.start()
        with failing(FILES, "too long"):
            world.shell("true", file("x", type="tar"))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 8 << 20
    world.put("instance", "x", head(tarfile.REGTYPE, 1 << 62))
    with failing(FILES, "raise unpacked"):
        world.shell("true", file("x", type="tar"))


@pytest.mark.parametrize(
    "text",
    [b"9 path=", b"0 path=x\n", b"99999 path=x\n", b"x path=y\n", b"12 pathxyz\n", b"11 size=-5\n", b"\0\0\0"],
)
def test_extended_headers_that_are_none(world: World, text: bytes) -> None:
    info = special("x", tarfile.XHDTYPE)
    info.size = len(text)
    data = info.tobuf(tarfile.GNU_FORMAT) + text + bytes(-len(text) % 512) + tar(("a", b"1"))
    world.put("instance", "x", data)
    with failing(FILES):
        world.shell("true", file("x", type="tar"))


def test_archives_that_were_changed_at_random(tmp_path: Path) -> None:
    """Either they are refused or they are unpacked; and never beside the directory, and never otherwise."""
    whole = tar(("a", b"1" * 700), ("b/" * 20 + "c" * 80, b"2"), special("d", tarfile.DIRTYPE), ("é" * 80, b"3"))
    refused = 0
    for seed in range(150):
        chance = random.Random(seed)
        data = bytearray(whole)
        for _ in range(chance.randrange(1, 8)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        folder = tmp_path / str(seed)
        folder.mkdir()
        room = Room(FILES, "it", 1_000_000, 1000, "unpacked", Watch())
        try:
            unpack(io.BytesIO(bytes(data)), str(folder), room, None, "it")
        except Failure as failure:
            refused += failure.code == FILES
        except OSError as error:
            assert error.errno == errno.ENAMETOOLONG  # noqa: PT017
        shutil.rmtree(folder)
    assert 40 < refused < 150
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_form_of_tar_is_read(world: World, form: int) -> None:
    target = io.BytesIO()
    names = ["a", "p" * 90 + "/" + "q" * 90, "sub/b"]
    with tarfile.open(fileobj=target, mode="w", format=form) as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = 700
            archive.addfile(info, io.BytesIO(name[:1].encode() * 700))
    world.put("instance", "x", target.getvalue())
    script = f'cd "$DIREKTIV_TEMPDIR/x" && cat {" ".join(names)} | wc -c'
    assert world.shell(script, file("x", type="tar")) == 2100


def test_a_later_entry_of_a_name_counts(world: World) -> None:
    world.put("instance", "x", tar(("a", b"1"), ("a", b"2")))
    assert world.shell('cat "$DIREKTIV_TEMPDIR/x/a"', file("x", type="tar")) == 2


def test_archives_of_the_tar_command(world: World) -> None:
    import subprocess

    source = world.path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "f").write_text("5")
    subprocess.run(["tar", "-cf", "x.tar", "-C", "source", "."], cwd=world.path, check=True)
    world.put("instance", "x", (world.path / "x.tar").read_bytes())
    assert world.shell('cat "$DIREKTIV_TEMPDIR/x/sub/f"', file("x", type="tar")) == 5
