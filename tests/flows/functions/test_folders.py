"""Temporary directories: of one action each, private, and removed, whoever dies when (D17)."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.errors import StoreError
from holdfast.flows.functions.folders import Folders

from .acting import World, alive, failing, file, until

PROGRAM = """
import sys, threading, uuid
import holdfast
from holdfast.flows.functions import Functions
from holdfast.flows.functions.action import Action, File
from holdfast.flows.place import Place

store = holdfast.open(sys.argv[1])
place = Place(store.namespace("prod").create(), "/a.yaml", str(uuid.uuid4()))
place.scope("instance").put_chunks("x", [b"1" * 1000])
functions = Functions.from_settings(
    {"f": {"command": sys.argv[3], "shell": True}}, {"door": "127.0.0.1:0", "folder": sys.argv[2]}
)
files = (File("x", "instance", "x", "plain", None),)
while True:
    functions.call(Action("f", None, files, 0, 60, place, print, threading.Event()))
    print("called", flush=True)
"""


def test_it_is_removed_after_a_call_and_after_an_error(world: World) -> None:
    functions = world.functions({"f": {"command": 'touch "$DIREKTIV_TEMPDIR/x"; exit $(cat)', "shell": True}})
    functions.call(world.action(input=0))
    assert world.left() == []
    with failing("container failed"):
        functions.call(world.action(input=1))
    assert world.left() == []
    functions.close()
    assert [path.name for path in world.folder.iterdir()] == ["lock"]


def _begin(tmp_path: Path, script: str) -> subprocess.Popen[str]:
    arguments = [str(tmp_path / "store"), str(tmp_path / "functions"), script]
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def _pids(tmp_path: Path) -> list[int]:
    return [int(text) for path in tmp_path.glob("pid*") for text in path.read_text().split()]


def test_what_a_killed_process_left_is_removed_at_the_next_start(tmp_path: Path) -> None:
    folder = tmp_path / "functions"
    process = _begin(
        tmp_path, f'echo $$ > {tmp_path}/pid; mkdir -p "$DIREKTIV_TEMPDIR/d/e"; chmod 0 "$DIREKTIV_TEMPDIR/d"; sleep 60'
    )
    try:
        until(lambda: any(folder.glob("*/*/d")) and _pids(tmp_path))
        (pid,) = _pids(tmp_path)
        live = Folders(str(folder))  # another one's start leaves those of the living alone
        assert len(list(folder.glob("*/*/x"))) == 1
        with live.folder() as own:
            assert Path(own).is_dir()
            process.kill()
            process.wait()
            assert len(list(folder.glob("*/*/x"))) == 1
            assert alive(pid)
            Folders(str(folder))
            assert list(folder.glob("*/*/x")) == []
            assert Path(own).is_dir()
            until(lambda: not alive(pid))
        live.close()
        assert [path.name for path in folder.iterdir()] == ["lock"]
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_what_a_killed_process_started_ends_at_the_next_start(tmp_path: Path) -> None:
    """All of it: in a session of its own, too; but not what a call that had ended left behind on purpose."""
    (tmp_path / "loop").write_text("trap '' TERM; echo $$ > $0.$1; while :; do sleep 0.05; done")
    child = f'sh -c "$(cat {tmp_path}/loop)" {tmp_path}/pid'
    script = (
        f"if [ ! -e {tmp_path}/kept ]; then setsid {child} kept > /dev/null 2>&1 & "
        f"while [ ! -s {tmp_path}/pid.kept ]; do sleep 0.01; done; mv {tmp_path}/pid.kept {tmp_path}/kept; "
        f"else {child} 1 & setsid {child} 2 & echo $$ > {tmp_path}/pid.3; wait; fi"
    )
    process = _begin(tmp_path, script)
    try:
        until(lambda: len(_pids(tmp_path)) == 3)
        process.kill()
        process.wait()
        kept, pids = int((tmp_path / "kept").read_text()), _pids(tmp_path)
        assert all(map(alive, [kept, *pids]))
        (tmp_path / "link").symlink_to(tmp_path)
        Folders(str(tmp_path / "link" / "functions"))  # it may have another path for who starts next
        until(lambda: not any(map(alive, pids)))
        assert alive(kept)
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
        for path in (tmp_path / "kept", *tmp_path.glob("pid*")):
            with suppress(ProcessLookupError):
                os.kill(int(path.read_text()), signal.SIGKILL)


def test_a_folder_with_other_things_keeps_them(tmp_path: Path) -> None:
    """Whoever configures a folder that is used already, such as a home, does not lose what is there."""
    root = tmp_path / "root"
    root.mkdir(mode=0o700)
    for name in ("work", "0123456789abcdef", "process-work"):
        (root / name).mkdir()
        (root / name / "file").write_text("1")
    folders = Folders(str(root))
    with folders.folder():
        Folders(str(root))
    folders.close()
    assert sorted(path.name for path in root.rglob("file")) == ["file"] * 3


def test_who_cleans_up_temporary_files_does_not_end_those_that_live(tmp_path: Path) -> None:
    """What is old is removed from /tmp on many systems, file by file."""
    folders = Folders(str(tmp_path / "root"))
    with folders.folder() as first:
        (Path(first).parent / "lock").unlink()
        Folders(str(tmp_path / "root"))
        assert Path(first).is_dir()
        shutil.rmtree(Path(first).parent)
        with folders.folder() as second:
            assert Path(second, "out", "instance").is_dir()
            Folders(str(tmp_path / "root"))
            assert Path(second).is_dir()
    folders.close()
    assert os.listdir(tmp_path / "root") == ["lock"]


@pytest.mark.parametrize("died", [False, True])
def test_a_folder_of_any_depth_is_removed(tmp_path: Path, died: bool) -> None:
    root = tmp_path / "root"
    dead = root / "process-0123456789abcdef"
    dead.mkdir(parents=True)
    root.chmod(0o700)
    (dead / "lock").touch()
    try:
        if died:
            _deep(str(dead), 1100)
        folders = Folders(str(root))
        with folders.folder() as folder:
            _deep(folder, 0 if died else 1100)
        folders.close()
        assert os.listdir(root) == ["lock"]
    finally:
        subprocess.run(["rm", "-r", str(root)], check=True)  # which pytest could not


def _deep(folder: str, depth: int) -> None:
    """Directories in each other, with a file in the last one."""
    at = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=at)
        inner = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=at))
    os.close(at)


@pytest.mark.long
def test_kills_at_random_moments_leave_nothing_in_part(tmp_path: Path) -> None:
    import random
    import time

    script = (
        'cd "$DIREKTIV_TEMPDIR/out" && echo $$ > instance/a && mkdir workflow/d && '
        "for n in 1 2 3; do echo $$ > workflow/d/$n; done; "
        "head -c 300000 /dev/zero > instance/big; echo $$ > namespace/b"
    )
    chance = random.Random(9)
    for _ in range(60):
        process = _begin(tmp_path, script)
        assert process.stdout is not None
        with process.stdout:
            assert process.stdout.readline() == "called\n"
            time.sleep(chance.random() / 5)
            process.kill()
            process.wait()
    folder = tmp_path / "functions"
    Folders(str(folder))
    assert [path.name for path in folder.iterdir()] == ["lock"]
    with holdfast.open(tmp_path / "store") as store:
        namespace = store.namespace("prod")
        whole = 0
        for scope in namespace.children():
            if scope.kind == "instance":
                whole += 1
                assert set(scope.keys()) == {"x", "a", "big"}
                assert scope.record("big").size == 300_000
        assert whole == 60
        last = namespace.get_bytes("b")
        assert last in [scope.get_bytes("a") for scope in namespace.children() if scope.kind == "instance"]


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir(mode=0o755)
    os.chmod(root, 0o755)
    folders = Folders(str(root))
    with pytest.raises(StoreError, match="private folder"), folders.folder():
        pass
    (tmp_path / "link").symlink_to(tmp_path / "other")
    (tmp_path / "other").mkdir(mode=0o700)
    with pytest.raises(StoreError, match="private folder"), Folders(str(tmp_path / "link")).folder():
        pass
    with pytest.raises(StoreError, match="no folder for an action"), Folders("/proc/none").folder():
        pass


def test_a_folder_that_cannot_be_made_fails_the_action(world: World) -> None:
    functions = world.functions({"f": {"command": ["true"]}}, folder="/proc/none")
    with failing("holdfast.function.files", "/proc/none"):
        functions.call(world.action())


def test_many_begin_at_a_time(tmp_path: Path) -> None:
    folders = Folders(str(tmp_path / "root"))
    paths: list[str] = []

    def one() -> None:
        with folders.folder() as folder:
            paths.append(folder)

    threads = [threading.Thread(target=one) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(paths)) == 16
    folders.close()
    assert os.listdir(tmp_path / "root") == ["lock"]


def test_links_that_a_function_leaves_are_not_followed(world: World) -> None:
    kept = world.path / "kept"
    kept.mkdir(mode=0o500)
    (kept / "file").parent.chmod(0o700)
    (kept / "file").write_text("1")
    kept.chmod(0o500)
    world.shell(
        f'cd "$DIREKTIV_TEMPDIR" && ln -s {kept} link && mkdir d && ln -s {kept} d/link && touch d/x && chmod 0 d'
    )
    assert world.left() == []
    assert (kept / "file").read_text() == "1"
    assert kept.stat().st_mode & 0o777 == 0o500


def test_a_fork_begins_anew(world: World) -> None:
    world.put("instance", "x", b"7")
    functions = world.functions({"f": {"command": ["sh", "-c", 'cat "$DIREKTIV_TEMPDIR/x"']}})
    assert functions.call(world.action("f", file("x"))) == 7
    (own,) = [path for path in world.folder.iterdir() if path.is_dir()]
    all_there = threading.Barrier(8)

    def call(_: int) -> Any:
        all_there.wait(10)
        return functions.call(world.action("f", file("x")))

    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            sys.setswitchinterval(1e-6)
            with ThreadPoolExecutor(8) as threads:  # which all come first
                found = list(threads.map(call, range(8)))
            code = 0 if found == [7] * 8 else 2
            code += 4 * (len([path for path in world.folder.iterdir() if path.is_dir()]) != 2)
            code += 8 * (functions._running != 0)
            functions.close()
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    assert own.is_dir()
    assert functions.call(world.action("f", file("x"))) == 7


def test_a_fork_does_not_keep_what_another_thread_had_locked(tmp_path: Path) -> None:
    folders = Folders(str(tmp_path / "functions"))
    with folders._alone():
        pid = os.fork()
        if pid == 0:
            signal.pause()
            os._exit(0)
    try:
        with FileIO(tmp_path / "functions" / "lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, None], ids=["interrupted", "terminated", "at its end"])
def test_a_process_that_ends_without_closing(tmp_path: Path, how: signal.Signals | None) -> None:
    """An interrupt ends what runs; and whatever is left is gone at the next start."""
    folder = tmp_path / "functions"
    process = _begin(tmp_path, f"echo $$ > {tmp_path}/pid; " + ("exit 3" if how is None else "exec sleep 60"))
    try:
        if how is not None:
            until(lambda: _pids(tmp_path))
            process.send_signal(how)
        assert process.wait(20) == (-how if how is not None else 1)
        if how is signal.SIGINT:
            until(lambda: not any(map(alive, _pids(tmp_path))), 2)
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    Folders(str(folder))
    assert [path.name for path in folder.iterdir()] == ["lock"]
    until(lambda: not any(map(alive, _pids(tmp_path))))
