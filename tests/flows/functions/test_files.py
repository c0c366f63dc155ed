"""Variables as files of a function (D18, D19)."""

from __future__ import annotations

import base64
import gzip
import os
import stat
from dataclasses import dataclass
from pathlib import Path

import pytest

import holdfast
from holdfast import StorableDataclass

from .acting import World, failing, file, tar

FILES = "holdfast.function.files"


@dataclass
class Two(StorableDataclass, class_id="a00000f1"):
    """An object of two contents."""

    one: int
    two: str


SHOW = 'cd "$DIREKTIV_TEMPDIR" && find . -path ./out -prune -o -type f -print | sort'


def test_d18_a_variable_is_a_file_of_its_key_or_as(world: World) -> None:
    world.put("instance", "one", b"1")
    world.put("workflow", "two", b"2")
    world.put("namespace", "three", b"3")
    world.put("file", "docs/four.txt", b"4")
    files = [
        file("one"),
        file("two", "deep/er/zwei", scope="workflow"),
        file("three", "drei", scope="namespace"),
        file("/docs/four.txt", scope="file"),
    ]
    script = 'cd "$DIREKTIV_TEMPDIR" && for f in one deep/er/zwei drei docs/four.txt; do cat $f; done'
    assert world.shell(script, *files) == 1234


def test_d18_the_default_scope_is_a_matter_of_the_flow(world: World) -> None:
    with failing("direktiv.var.invalidScope", "namespace, workflow, instance"):
        world.shell("true", file("x", scope="system"))
    with failing("direktiv.var.invalidScope"):
        world.shell("true", file("x", scope=""))


def test_d18_permissions_are_octal(world: World) -> None:
    world.put("instance", "x", b"#!/bin/sh\necho 7\n")
    script = 'cd "$DIREKTIV_TEMPDIR" && stat -c %a x y z && ./y'
    files = [file("x"), file("x", "y", permissions="0755"), file("x", "z", permissions="600")]
    with failing("container failed"):
        world.shell(script + "; exit 3", *files)
    assert base64.b64decode(world.shell(script, *files)) == b"644\n755\n600\n7\n"


@pytest.mark.parametrize("text", ["rw-r--r--", "0888", "1777", "-1", "0o", "6 4 4", "99999999999999", "٠٦٤٤"])
def test_permissions_that_are_none(world: World, text: str) -> None:
    with failing("direktiv.var.perms", "0000 to 0777"):
        world.shell("true", file("x", permissions=text))


def test_d18_two_files_of_one_target_fail(world: World) -> None:
    world.put("instance", "x", b"1")
    marker = world.path / "called"
    for targets in (("a", "a"), ("a", "./a"), ("a", "a/"), ("a", "a/b"), ("a/b/c", "a"), ("d/./e", "d//e")):
        files = [file("x", target) for target in targets]
        with failing(FILES, "by as"):
            world.shell(f"touch {marker}", *files)
    assert not marker.exists()
    files = [file("x", "a-b"), file("x", "a/b"), file("x", "ab"), file("x", "a.b")]
    assert base64.b64decode(world.shell(SHOW, *files)) == b"./a-b\n./a.b\n./a/b\n./ab\n"


@pytest.mark.parametrize("target", ["../x", "a/../../x", "/etc/x", "..", ".", "", "/", "a/../b", "a\0b", "./.."])
def test_targets_that_would_leave_the_directory(world: World, target: str) -> None:
    world.put("instance", "x", b"1")
    with failing(FILES, "leave the directory"):
        world.shell("true", file("x", target))
    assert world.left() == []


@pytest.mark.parametrize("target", ["a\ud800", "a" * 256, "/".join(["a" * 200] * 30)])
def test_targets_that_no_file_can_have(world: World, target: str) -> None:
    world.put("instance", "x", b"1")
    with failing(FILES, "cannot be laid out"):
        world.shell("true", file("x", target))


@pytest.mark.parametrize("target", ["out", "out/instance/x", "./out/workflow"])
def test_out_is_no_target(world: World, target: str) -> None:
    world.put("instance", "x", b"1")
    with failing(FILES, "gives back"):
        world.shell("true", file("x", target))


def test_d19_plain_is_as_it_is(world: World) -> None:
    data = bytes(range(256)) * 5000
    world.put("instance", "x", data)
    assert base64.b64decode(world.shell('cat "$DIREKTIV_TEMPDIR/x"', file("x"))) == data


def test_d19_values_of_python_are_their_bytes(world: World) -> None:
    world.place.scope("instance").add("n", 41)
    world.place.scope("instance").put("text", "words", compression="none")
    world.place.scope("instance").put("long", "words " * 100_000, compression="zstd")
    assert world.shell('cat "$DIREKTIV_TEMPDIR/n"', file("n")) == 41
    size = world.shell('wc -c < "$DIREKTIV_TEMPDIR/long"', file("long"))
    assert size == len(world.place.scope("instance").get_bytes("long")) > 500_000


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 50_000, 1_500_000])
def test_d19_base64_is_decoded(world: World, size: int) -> None:
    data = os.urandom(size)
    world.put("instance", "x", base64.encodebytes(data))
    script = 'cp "$DIREKTIV_TEMPDIR/x" "$DIREKTIV_TEMPDIR/out/instance/y"'
    world.shell(script, file("x", type="base64"))
    assert world.get("instance", "y") == data


@pytest.mark.parametrize(
    "data", [b"a", b"ab", b"abc", b"ab==cd==", b"ab=c", b"!abc", b"abcd\xff", b"abcdabcd=", b"=", b"===="]
)
def test_bytes_that_are_no_base64(world: World, data: bytes) -> None:
    world.put("instance", "x", data)
    with failing(FILES, "no base64"):
        world.shell("true", file("x", type="base64"))


@pytest.mark.parametrize("type", ["tar", "tar.gz"])
def test_d19_archives_are_unpacked(world: World, type: str) -> None:
    long = "d" * 60 + "/" + "e" * 90 + "/" + "f" * 120
    data = tar(("file-1", b"one"), ("./sub/file 2", b"two" * 300_000), (long, b"three"), ("größe", b""))
    world.put("instance", "x", data if type == "tar" else gzip.compress(data))
    found = base64.b64decode(world.shell(SHOW + "; cat myFiles/file-1", file("x", "myFiles", type)))
    names = ["file-1", "größe", "sub/file 2", long]
    assert sorted(found.decode().split("\n")[:-1]) == sorted(f"./myFiles/{name}" for name in names)
    assert found.endswith(b"one")
    assert world.shell('wc -c < "$DIREKTIV_TEMPDIR/myFiles/sub/file 2"', file("x", "myFiles", type)) == 900_000


def test_d19_archives_keep_who_may_execute(world: World) -> None:
    import tarfile

    run = tarfile.TarInfo("run")
    run.mode = 0o4711
    world.put("instance", "x", tar(run, ("plain", b"1"), tarfile.TarInfo("none")))
    script = 'cd "$DIREKTIV_TEMPDIR" && stat -c %a x x/run x/plain'
    assert base64.b64decode(world.shell(script, file("x", type="tar"))).split() == [b"755", b"711", b"644"]
    found = base64.b64decode(world.shell(script, file("x", type="tar", permissions="0640"))).split()
    assert found == [b"750", b"640", b"640"]


@pytest.mark.parametrize("type", ["plain", "base64"])
def test_d19_a_missing_variable_is_an_empty_file(world: World, type: str) -> None:
    assert world.shell('cat "$DIREKTIV_TEMPDIR/as"; echo 1', file("none", "as", type)) == 1
    assert world.shell('cat "$DIREKTIV_TEMPDIR/as"; echo 1', file("none/there", "as", type, "file")) == 1


@pytest.mark.parametrize("type", ["tar", "tar.gz"])
def test_d19_a_missing_or_empty_variable_is_an_empty_directory(world: World, type: str) -> None:
    world.put("instance", "zero", b"")
    empty = tar()
    world.put("instance", "empty", empty if type == "tar" else gzip.compress(empty))
    files = [file(key, type=type) for key in ("none", "zero", "empty")]
    assert world.shell('cd "$DIREKTIV_TEMPDIR" && ls -A none zero empty | grep -c -v -e : -e "^$" || true', *files) == 0


def test_an_object_of_several_contents_is_no_variable(world: World) -> None:
    world.place.scope("instance").put("x", Two(one=1, two="2"))
    assert world.shell('cat "$DIREKTIV_TEMPDIR/x"; echo 1', file("x")) == 1


@pytest.mark.parametrize("type", ["zip", "TAR", "", "tar.bz2", "tgz"])
def test_d19_an_unknown_type_has_a_code(world: World, type: str) -> None:
    with failing("direktiv.var.invalidType", "plain, base64, tar, tar.gz"):
        world.shell("true", file("x", type=type))


@pytest.mark.parametrize("key", ["", "1x", "x/y", "ä", "x" * 600, "-"])
def test_names_that_are_none(world: World, key: str) -> None:
    with failing("direktiv.var.invalidKey"):
        world.shell("true", file(key, "as"))


def test_all_files_are_checked_before_one_is_written(world: World) -> None:
    world.put("instance", "x", b"1")
    with failing("direktiv.var.invalidType"):
        world.shell("true", *[file("x", f"x{n}") for n in range(50)], file("x", type="none"))


def test_the_directory_is_private(world: World) -> None:
    old = os.umask(0)
    try:
        found = world.shell(
            'stat -c %a "$DIREKTIV_TEMPDIR" "$TMPDIR" "$DIREKTIV_TEMPDIR/.." "$DIREKTIV_TEMPDIR/out" | sort -u'
        )
    finally:
        os.umask(old)
    assert found == 700
    assert stat.S_IMODE(world.folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("type", ["plain", "tar", "tar.gz"])
def test_bytes_that_are_not_those_that_were_put(world: World, store: holdfast.Store, type: str) -> None:
    data = tar(("a", os.urandom(400_000)))
    world.put("instance", "x", gzip.compress(data) if type == "tar.gz" else data)
    place = world.place.scope("instance").record("x").contents["value"].storage_config
    stored = Path(store._kernel.config.store) / "files" / place
    changed = bytearray(stored.read_bytes())
    changed[200_000] ^= 1
    stored.write_bytes(changed)
    with failing("holdfast.function.files", "'x'"):
        world.shell(f"touch {world.path}/called", file("x", type=type))
    assert not (world.path / "called").exists()
