"""What a function leaves in ``out/`` (D21)."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest

import holdfast
from holdfast.flows.engine import Engine
from holdfast.flows.functions.packing import file_pieces, opened_file, opened_folder
from holdfast.flows.functions.room import Room
from holdfast.flows.functions.watch import Watch
from holdfast.flows.workflows import register

from .acting import World, failing, file, tar

OUTPUT = "holdfast.function.output"
GO = 'cd "$DIREKTIV_TEMPDIR/out" && '


def names(data: bytes | None) -> list[str]:
    assert data is not None
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        return archive.getnames()


def test_d21_the_directories_are_there_before_the_call(world: World) -> None:
    assert world.shell(GO + "ls -d instance workflow namespace | wc -l") == 3


def test_d21_files_are_variables_of_their_scope(world: World) -> None:
    world.shell(GO + "printf 1 > instance/one; printf '' > workflow/two.txt; printf '{}' > namespace/three.json")
    assert world.stored() == {"namespace": ["three.json"], "workflow": ["two.txt"], "instance": ["one"]}
    assert [
        world.get(*where) for where in (("instance", "one"), ("workflow", "two.txt"), ("namespace", "three.json"))
    ] == [
        b"1",
        b"",
        b"{}",
    ]
    types = {
        name: world.place.scope(scope).record(name).content_type
        for scope, name in (("instance", "one"), ("workflow", "two.txt"), ("namespace", "three.json"))
    }
    assert types == {"one": "application/octet-stream", "two.txt": "text/plain", "three.json": "application/json"}


def test_d21_directories_are_archives_relative_to_them(world: World) -> None:
    world.shell(GO + "mkdir -p instance/d/sub/empty && printf 1 > instance/d/b && printf 22 > instance/d/sub/a")
    assert names(world.get("instance", "d")) == ["b", "sub", "sub/a", "sub/empty"]
    record = world.place.scope("instance").record("d")
    assert record.content_type == "application/gzip"
    script = 'cd "$DIREKTIV_TEMPDIR/back" && cat b sub/a && [ -d sub/empty ]'
    assert world.shell(script, file("d", "back", "tar.gz")) == 122


def test_d21_an_empty_directory_and_long_names(world: World) -> None:
    long = "/".join(["l" * 200] * 3)
    world.shell(GO + f"mkdir instance/none && mkdir -p instance/d/{long} && printf 5 > instance/d/{long}/größe")
    assert names(world.get("instance", "none")) == []
    assert world.shell(f'cat "$DIREKTIV_TEMPDIR/d/{long}/größe"', file("d", type="tar.gz")) == 5


def test_archives_are_the_same_for_the_same_content(world: World) -> None:
    world.shell(
        GO + "mkdir instance/d && cd instance/d && for n in 1 2 3; do echo $n > f$n; done; touch -d 1999-01-01 f1"
    )
    first = world.get("instance", "d")
    world.shell(GO + "mkdir instance/d && cd instance/d && umask 077 && for n in 3 2 1; do echo $n > f$n; done")
    assert world.get("instance", "d") == first
    world.shell(GO + "mkdir instance/d && cd instance/d && for n in 3 2 1; do echo $n > f$n; done; chmod +x f2")
    assert world.get("instance", "d") != first


def test_archives_are_sorted_by_bytes(world: World) -> None:
    world.shell(GO + "mkdir instance/d && cd instance/d && touch b a B ä $(seq 40)")
    found = names(world.get("instance", "d"))
    assert found == sorted(found, key=str.encode)
    assert len(found) == 44


def test_archives_are_read_by_the_tar_command(world: World) -> None:
    world.shell(GO + "mkdir -p instance/d/sub && echo words > instance/d/sub/file")
    found = subprocess.run(
        ["tar", "-xzOf", "-", "sub/file"], input=world.get("instance", "d"), capture_output=True, check=True
    )
    assert found.stdout == b"words\n"


def test_d21_output_of_a_function_that_returned_an_error_is_stored(world: World) -> None:
    with failing("container failed", "status 3"):
        world.shell(GO + "printf 1 > workflow/x; exit 3")
    assert world.get("workflow", "x") == b"1"
    with failing("my.code"):
        world.shell(GO + 'printf 2 > workflow/x; echo my.code > "$DIREKTIV_ERROR_FILE"')
    assert world.get("workflow", "x") == b"2"


ILLEGAL = ["1x", "x-", "-x", "_x", "a b", "a:b", "ä", ".hidden", "x" * 250 + ".", "a\nb", "x~"]


@pytest.mark.parametrize("name", ILLEGAL)
@pytest.mark.parametrize("make", ["touch", "mkdir"])
def test_d21_a_name_that_is_not_legal_fails_all(world: World, name: str, make: str) -> None:
    world.put("workflow", "kept", b"old")
    script = GO + f"printf new > workflow/kept; printf 1 > instance/fine; {make} namespace/'{name}'"
    with failing(OUTPUT, "no name of a variable"):
        world.shell(script)
    assert world.stored() == {"namespace": [], "workflow": ["kept"], "instance": []}
    assert world.get("workflow", "kept") == b"old"


def test_a_name_that_is_no_text_fails(world: World) -> None:
    with failing(OUTPUT, "no name of a variable"):
        world.shell(GO + r'touch "$(printf "namespace/x\377y")"')


def test_a_name_that_is_not_legal_does_not_hide_the_error_of_the_function(world: World) -> None:
    with failing("my.code", "why", "no name of a variable"):
        world.shell(
            GO + "printf 1 > instance/fine; touch instance/1x; printf 'my.code\nwhy' > \"$DIREKTIV_ERROR_FILE\""
        )
    assert world.get("instance", "fine") is None


def test_links_and_pipes_are_not_followed(world: World) -> None:
    secret = world.path / "secret"
    secret.write_text("secret")
    world.shell(
        GO + f"ln -s {secret} instance/file; ln -s {world.path} instance/folder; mkfifo instance/pipe; "
        f"mkdir workflow/d; ln -s {secret} workflow/d/file; ln -s {world.path} workflow/d/folder; "
        "mkfifo workflow/d/pipe; printf 1 > workflow/d/fine"
    )
    assert world.stored() == {"namespace": [], "workflow": ["d"], "instance": []}
    assert names(world.get("workflow", "d")) == ["fine"]
    told = "\n".join(world.lines)
    for what in (
        "out/instance/file",
        "out/instance/folder",
        "out/instance/pipe",
        "out/workflow/d/file",
        "out/workflow/d/pipe",
    ):
        assert f"{what} is " in told
    assert told.count("left out") == 6


def test_out_itself_is_no_link(world: World) -> None:
    (world.path / "other").mkdir()
    (world.path / "other" / "secret").write_text("secret")
    with failing(OUTPUT):
        world.shell(GO + f"rmdir instance && ln -s {world.path}/other instance && printf 1 > workflow/x")
    with failing(OUTPUT):
        world.shell(f'cd "$DIREKTIV_TEMPDIR" && mv out gone && ln -s {world.path} out')
    assert world.stored() == {"namespace": [], "workflow": [], "instance": []}


def test_directories_that_were_taken_away_have_nothing(world: World) -> None:
    assert world.shell('rm -r "$DIREKTIV_TEMPDIR/out"; echo 1') == 1
    assert world.shell(GO + "rmdir workflow instance; printf 1 > namespace/x; echo 1") == 1
    assert world.get("namespace", "x") == b"1"
    assert world.shell('rm -r "$DIREKTIV_TEMPDIR"; echo 1') == 1


def test_bounds_of_output(world: World) -> None:
    with failing(OUTPUT, "more than 1000000 bytes", "raise output"):
        world.shell(GO + "printf 1 > instance/a; truncate -s 900G instance/sparse", output=1_000_000)
    with failing(OUTPUT, "raise output"):
        world.shell(
            GO + "mkdir instance/d; printf 1 > instance/a; truncate -s 900G instance/d/sparse", output=1_000_000
        )
    with failing(OUTPUT, "raise entries"):
        world.shell(GO + "mkdir instance/d; for n in $(seq 101); do : > instance/d/$n; done", entries=100)
    with failing(OUTPUT, "raise entries"):
        world.shell(GO + "for n in $(seq 101); do : > instance/a$n; done", entries=100)
    with failing(OUTPUT, "inside of each other"):
        world.shell(GO + "d=instance/d; for n in $(seq 102); do d=$d/d; done; mkdir -p $d")
    assert world.stored() == {"namespace": [], "workflow": [], "instance": []}


@pytest.mark.parametrize("after", [b"1234", b"123456", b"54321"], ids=["shorter", "longer", "other bytes"])
def test_a_file_that_changes_while_it_is_stored_fails(tmp_path: Path, after: bytes) -> None:
    (tmp_path / "x").write_bytes(b"12345")
    os.utime(tmp_path / "x", (1, 1))
    room = Room(OUTPUT, "it", 1000, 10, "output", Watch())
    with opened_folder(str(tmp_path)) as folder, opened_file("x", folder, "x", room) as (file, found):
        (tmp_path / "x").write_bytes(after)
        with failing(OUTPUT, "was changed"):
            list(file_pieces(file, found, "x", room))


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_any_more_when_it_is_stored_fails(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "x")
    room = Room(OUTPUT, "it", 1000, 10, "output", Watch())
    with opened_folder(str(tmp_path)) as folder:
        before = len(os.listdir("/proc/self/fd"))
        with failing(OUTPUT, "was changed"), opened_file("x", folder, "x", room):
            pass
        assert len(os.listdir("/proc/self/fd")) == before


def test_d21_all_three_scopes_are_one_commit(world: World, store: holdfast.Store) -> None:
    """Who reads them in one transaction sees all of an action's output, or none."""
    script = GO + "n=$(cat); for s in instance workflow namespace; do printf $n > $s/x; done"
    functions = world.functions({"f": {"command": script, "shell": True}})
    scopes = [world.place.scope(name) for name in ("instance", "workflow", "namespace")]
    seen: set[tuple[Any, ...]] = set()
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            with suppress(holdfast.ConflictError):
                with store.transaction() as tx:
                    found = tuple([scope.within(tx).get("x", None) for scope in scopes])
                seen.add(found)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for n in range(30):
            functions.call(world.action(input=n))
    finally:
        stop.set()
        thread.join()
    assert len(seen) > 3
    assert all(len(set(found)) == 1 for found in seen), seen


def test_what_the_store_refuses_fails_all(world: World) -> None:
    cast(holdfast.Scope, world.place.namespace).set_policy(max_bytes=1000)
    with failing(OUTPUT):
        world.shell(GO + "printf 1 > instance/a; head -c 5000 /dev/zero > namespace/b")
    assert world.stored() == {"namespace": [], "workflow": [], "instance": []}


def test_files_that_nobody_may_read_fail_all(world: World) -> None:
    if os.getuid() == 0:  # may read all: then it is stored
        world.shell(GO + "printf 1 > instance/a; chmod 0 instance/a")
        assert world.get("instance", "a") == b"1"
    else:
        with failing(OUTPUT):
            world.shell(GO + "printf 1 > instance/a; chmod 0 instance/a; printf 1 > workflow/b")
        assert world.get("workflow", "b") is None
    assert world.left() == []


def test_rights_taken_away_do_not_keep_the_directory(world: World) -> None:
    world.shell('cd "$DIREKTIV_TEMPDIR" && mkdir -p a/b/c && touch a/b/c/d && chmod 0 a/b/c a/b a out/workflow || true')
    assert world.left() == []


def test_output_replaces_what_files_in_gave(world: World) -> None:
    world.put("instance", "x", tar(("a", b"1")))
    world.shell('cd "$DIREKTIV_TEMPDIR" && mv x out/instance/x', file("x", type="tar"))
    assert names(world.get("instance", "x")) == ["a"]


def test_d27_what_is_left_for_a_namespace_that_was_deleted_meanwhile_does_not_make_it_anew(world: World) -> None:
    namespace, begun, go = world.place.namespace, world.path / "begun", world.path / "go"
    line = f"touch {begun}; while [ ! -e {go} ]; do sleep 0.01; done; {GO} echo 1 > namespace/x"
    action = "functions: [{id: f, image: f}]\nstates:\n- {id: a, type: action, action: {function: f}}\n"
    register(namespace, "/f.yaml", action)
    with Engine(namespace, world.functions({"f": {"command": line, "shell": True}})) as engine:
        running = engine._here(namespace, engine.start(namespace, "/f.yaml"))
        assert running is not None
        while not begun.exists():
            time.sleep(0.01)
        namespace.drop()
        go.touch()
        assert running.ended.wait(10)
    assert not namespace.present
