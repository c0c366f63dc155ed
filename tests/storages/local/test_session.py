"""A session begins with the first process and ends with the last, however that ends."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from holdfast.errors import ClosedError, InvalidArgumentError, NetworkFilesystemError, StoreError, ValueLost
from holdfast.storages import places
from holdfast.storages.local import LocalMemory, place
from holdfast.storages.local import reading as local_reading
from holdfast.storages.local.session import Home
from holdfast.testing.processes import in_child, killed_child

from .programs import put

PROGRAM = """
import sys
from tests.storages.local.programs import put
from holdfast.storages.local import LocalMemory
memory = LocalMemory("one", folder=sys.argv[1])
for line in sys.stdin:
    verb, _, word = line.strip().partition(" ")
    if verb == "put":
        print(put(memory, word.encode()), flush=True)
    elif verb == "get":
        print(bytes(memory.read(word)).decode(), flush=True)
    elif verb == "session":
        print(memory.session(), flush=True)
    elif verb == "alive":
        print(memory.alive(word), flush=True)
"""


class Program:
    """Another process that uses the memory in a folder."""

    def __init__(self, folder):
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[3],
        )

    def ask(self, line):
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        assert answer, f"no answer to {line}"
        return answer

    def end(self):
        self.process.communicate(timeout=20)
        assert self.process.returncode == 0

    def kill(self):
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path / "memory")


@pytest.fixture
def memory(folder):
    memory = LocalMemory("one", folder=folder)
    yield memory
    memory.close()


@pytest.fixture
def other(folder):
    memory = LocalMemory("one", folder=folder)
    yield memory
    memory.close()


@pytest.fixture
def program(folder):
    program = Program(folder)
    yield program
    program.kill()


def left(folder):
    return sorted(str(path) for path in Path(folder).rglob("holdfast-*"))


def test_nothing_is_begun_before_it_is_needed(memory, other, folder):
    config = put(other, b"x")
    session = other.session()
    other.close()
    assert left(folder) == []
    memory.delete(config)
    assert memory.sync([config]) == [False]
    assert list(memory.abandoned()) == []
    assert not memory.alive(session)
    with pytest.raises(ValueLost, match="all processes ended"):
        memory.read(config)
    assert LocalMemory.sweep(folder) == 0
    assert left(folder) == []


def test_two_processes_share(memory, program):
    ours = put(memory, b"ours")
    theirs = program.ask("put theirs")
    assert program.ask(f"get {ours}") == "ours"
    assert bytes(memory.read(theirs)) == b"theirs"
    assert program.ask("session") == memory.session() == ours.rpartition("/")[0].rpartition("/")[0]
    program.end()
    assert bytes(memory.read(theirs)) == b"theirs", "the session ended with one of two"


def test_a_reader_is_part_of_the_session(memory, program, folder):
    config = program.ask("put handed-on")
    assert bytes(memory.read(config)) == b"handed-on"
    program.end()
    assert bytes(memory.read(config)) == b"handed-on"
    assert memory.session() in config
    memory.close()
    assert left(folder) == []


def test_a_program_that_ends_without_closing_leaves_nothing(program, folder, memory):
    session = program.ask("session")
    program.ask("put x")
    assert memory.alive(session)
    program.end()
    assert left(folder) == []
    assert not memory.alive(session)


def test_a_killed_last_one_ends_the_session(memory, program, folder):
    config = program.ask("put x")
    session = program.ask("session")
    assert memory.alive(session)
    program.kill()
    assert not memory.alive(session)
    assert memory.sync([config]) == [False]
    with pytest.raises(ValueLost, match="all processes ended"):
        memory.read(config)
    assert left(folder), "there is nothing to clean up, so this test shows nothing"
    assert memory.session() != session
    assert not memory.alive(session)
    names = os.listdir(left(folder)[0] + "/one")
    assert session.rpartition(".")[2] not in names, "what a killed process left was not removed by the next"
    memory.close()
    assert left(folder) == []


def test_a_sweep_removes_what_killed_ones_left_and_nothing_else(memory, folder):
    put(memory, b"alive")

    def child(report):
        kept = [LocalMemory(store, folder=folder) for store in ("two", "three")]
        report([put(one, b"dead") for one in kept])
        signal.pause()

    killed_child(child)
    assert LocalMemory.sweep(folder) == 2
    assert os.listdir(left(folder)[0]) == ["one"]
    assert LocalMemory.sweep(folder) == 0
    memory.close()
    assert left(folder) == []


def test_alive(memory, other):
    session = memory.session()
    machine, boot, where, own = session.split(".")
    assert len(session) <= 200
    assert session.isascii()
    for one in (memory, other):
        assert one.alive(session)
        assert one.alive(f"{'0' * 16}.{boot}.{where}.{own}"), "of another machine: cannot be told"
        assert one.alive(f"{machine}.{boot}.{'0' * 16}.{own}"), "of another container, user or folder: cannot be told"
        assert not one.alive(f"{machine}.{'0' * 16}.{where}.{own}"), "of another start of the machine"
        assert not one.alive(f"{machine}.{boot}.{where}.{'0' * 16}")
        assert one.alive("what is this")


def test_alive_asks_nobody_when_attached(memory, monkeypatch):
    session = memory.session()

    def never(*args, **kwargs):
        raise AssertionError("a system call")

    with monkeypatch.context() as patch:
        for name in ("open", "stat", "lstat", "fstat"):
            patch.setattr(os, name, never)
        alive = memory.alive(session)
    assert alive


def test_what_is_elsewhere_says_where(memory):
    config = put(memory, b"x")
    machine, boot, where, rest = config.split(".")
    for wrong, words in (
        (f"{'0' * 16}.{boot}.{where}.{rest}", "another machine"),
        (f"{machine}.{boot}.{'0' * 16}.{rest}", "another memory_folder="),
        (f"{machine}.{'0' * 16}.{where}.{rest}", "started anew"),
        (f"{machine}.{boot}.{where}.{'0' * 16}/{rest.partition('/')[2]}", "all processes ended"),
    ):
        with pytest.raises(ValueLost, match=words):
            memory.read(wrong)
        with pytest.raises(ValueLost, match=words):
            memory.view(wrong, 1)
        memory.delete(wrong)
        assert memory.sync([wrong]) == [False]
    assert bytes(memory.read(config)) == b"x"


@pytest.mark.parametrize("verb", ["read", "delete", "view", "sync", "read_stream"])
def test_hostile_configs(memory, verb):
    config = put(memory, b"x")
    session, writer, name = config.split("/")
    number, _, length = name.partition("-")
    arguments = {"view": lambda wrong: (wrong, 1), "sync": lambda wrong: ([wrong],)}
    for wrong in (
        "../x", f"../{config}", f"{session}/../{writer}/{name}", f"{session}/{writer}/../room",
        f"{session}/{writer}/lock",
        f"{session}/{writer}/new-0", f"{session}/{writer}/{number}", f"{session}/{writer}/{number}-", f"{config}\n",
        f"{session}/{writer}/{number}-{'9' * 30}", f"{session}/{writer}/-1-{length}", f"{session}/free/4096/1",
        f"{session}/{writer}/\u0661-{length}", session, b"x", 7, None, [config], {"x": config},
    ):  # fmt: skip
        with pytest.raises(InvalidArgumentError):
            getattr(memory, verb)(*arguments.get(verb, lambda wrong: (wrong,))(wrong))
    for lied in (f"{session}/{writer}/{number}-{int(length) + 1}", f"{session}/{writer}/9-{length}"):
        with pytest.raises(ValueLost):
            memory.read(lied)


@pytest.mark.parametrize(
    ("arguments", "more"),
    [
        (("../x",), {}),
        (("",), {}),
        ((None,), {}),
        (("x",), {"size": 0}),
        (("x",), {"size": "1"}),
        (("x",), {"folder": ""}),
    ],
)
def test_wrong_arguments(arguments, more):
    with pytest.raises(InvalidArgumentError):
        LocalMemory(*arguments, **more)


def test_it_travels_to_another_process(memory):
    config = put(memory, b"x")
    text = pickle.dumps(memory)
    assert bytes(pickle.loads(text).read(config)) == b"x"


def test_machines_of_one_image_are_not_taken_for_each_other(folder, monkeypatch):
    """They have the id that was in the image, and a start and a name of their own."""
    sessions: list[str] = []
    for name, boot in (("a", "1" * 32), ("b", "2" * 32)):
        uname = os.uname_result(("Linux", name, *os.uname()[2:]))
        monkeypatch.setattr(places, "machine_id", lambda: "0" * 32)
        monkeypatch.setattr(place, "boot_id", lambda boot=boot: boot)
        monkeypatch.setattr(os, "uname", lambda uname=uname: uname)
        place.machine_and_boot.cache_clear()
        memory = LocalMemory("one", folder=f"{folder}-{name}")
        for session in sessions:
            assert memory.alive(session), "on another machine, as far as is known"
        sessions.append(memory.session())
    monkeypatch.undo()
    place.machine_and_boot.cache_clear()


def test_who_only_reads_goes_on_when_the_folder_was_removed(memory, folder):
    reader = LocalMemory("one", folder=folder)
    session, config = memory.session(), put(memory, b"x")
    assert bytes(reader.read(config)) == b"x"
    shutil.rmtree(f"{folder}/holdfast-{os.geteuid()}")
    with pytest.raises(ValueLost):
        reader.read(config)
    assert not reader.alive(session)
    config = put(memory, b"y")
    assert bytes(reader.read(config)) == b"y"
    shutil.rmtree(f"{folder}/holdfast-{os.geteuid()}")
    config = put(memory, b"z")
    assert bytes(reader.read(config)) == b"z"
    assert reader.session() == memory.session()
    reader.close()


# --- the place ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["user", "store"])
@pytest.mark.parametrize("what", ["link", "open to others", "file"])
def test_a_folder_that_others_reach_is_refused(memory, folder, tmp_path, what, level):
    path = Path(folder) / f"holdfast-{os.geteuid()}"
    path.parent.mkdir()
    if level == "store":
        path.mkdir(0o700)
        path = path / "one"
    if what == "link":
        (tmp_path / "elsewhere").mkdir(0o700)
        path.symlink_to(tmp_path / "elsewhere")
    elif what == "file":
        path.write_text("mine")
    else:
        path.mkdir()
        path.chmod(0o777)
    with pytest.raises(StoreError, match=r"is not used .* memory_folder="):
        put(memory, b"x")
    with pytest.raises(StoreError):
        memory.session()
    assert list((tmp_path / "elsewhere").glob("*")) == []


def test_a_folder_of_another_user_is_refused(memory, folder, monkeypatch):
    path = Path(folder) / f"holdfast-{os.geteuid() + 1}"
    path.mkdir(0o700, parents=True)
    other = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: other)
    with pytest.raises(StoreError, match="belongs to the user with number"):
        memory.session()


def test_nothing_is_read_from_a_folder_that_others_reach(memory, folder, tmp_path):
    config = put(memory, b"x" * 1000)
    session = memory.session()
    for path in (Path(folder) / f"holdfast-{os.geteuid()}", Path(folder) / f"holdfast-{os.geteuid()}" / "one"):
        path.chmod(0o777)
        other = LocalMemory("one", folder=folder)
        assert not other.alive(session)
        with pytest.raises(ValueLost):
            other.read(config)
        assert other.sync([config]) == [False]
        path.chmod(0o700)
    assert bytes(LocalMemory("one", folder=folder).read(config)) == b"x" * 1000


@pytest.mark.parametrize("what", ["link", "open to others"])
def test_nothing_is_removed_from_a_folder_that_others_reach(folder, tmp_path, what):
    user, there = Path(folder) / f"holdfast-{os.geteuid()}", tmp_path / "there"
    victim = (there if what == "link" else user) / "store" / "precious"
    victim.mkdir(parents=True)
    (victim.parent / "gate").touch()
    if what == "link":
        user.parent.mkdir()
        user.symlink_to(there)
    else:
        user.chmod(0o777)
    assert LocalMemory.sweep(folder) == 0
    assert victim.is_dir()


def test_where_there_is_no_shared_memory_it_is_the_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(place, "_SHM", str(tmp_path / "missing"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    memory = LocalMemory("one")
    config = put(memory, b"x" * 1_000_000)
    assert left(str(tmp_path)) == [str(tmp_path / f"holdfast-{os.geteuid()}")]
    assert bytes(memory.view(config, 1_000_000)[0]) == b"x" * 1_000_000
    memory.close()
    assert left(str(tmp_path)) == []


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="this system has no such place")
def test_it_is_in_shared_memory():
    memory = LocalMemory("test-of-the-place")
    config = put(memory, b"x")
    try:
        assert os.path.isdir(f"/dev/shm/holdfast-{os.geteuid()}/test-of-the-place")
        assert bytes(memory.read(config)) == b"x"
    finally:
        memory.close()
    assert not os.path.exists(f"/dev/shm/holdfast-{os.geteuid()}/test-of-the-place")


def test_a_network_folder_is_refused(memory, monkeypatch):
    monkeypatch.setattr("holdfast.storages.places.filesystem_type", lambda path: "nfs4")
    with pytest.raises(NetworkFilesystemError, match="memory_folder="):
        memory.session()


def test_a_folder_that_somebody_removes_is_made_anew(memory, other, folder):
    old, session = put(memory, b"old"), memory.session()
    subprocess.run(["rm", "-r", left(folder)[0]], check=True)
    with pytest.raises(ValueLost):
        memory.read(old)
    new = put(memory, b"new")
    assert memory.session() != session
    assert bytes(other.read(new)) == b"new"
    assert not other.alive(session)
    other.close()
    memory.close()
    assert left(folder) == []


# --- ends and forks -----------------------------------------------------------------------------------------------


def test_a_closed_memory_writes_no_more_and_reads_what_is_left(memory, other):
    config = put(memory, b"x")
    put(other, b"y")
    writer = memory.writer({})
    memory.close()
    for work in (lambda: put(memory, b"z"), memory.session, lambda: memory.writer({}), lambda: writer.write(b"z")):
        with pytest.raises(ClosedError):
            work()
    assert bytes(memory.read(config)) == b"x"
    other.close()
    with pytest.raises(ValueLost):
        memory.read(config)


def test_an_object_that_nobody_has_any_more_leaves(folder):
    memory = LocalMemory("one", folder=folder)
    put(memory, b"x")
    del memory
    assert left(folder) == []


def test_an_object_that_the_garbage_collector_finds_behind_the_gate(folder, memory, monkeypatch):
    """It must not wait for a lock that its own thread has."""
    memory.session()
    other = LocalMemory("one", folder=folder)
    other.session()
    kept = [other]
    del other
    current = Home._current

    def and_collect(self):
        kept.clear()
        return current(self)

    monkeypatch.setattr(Home, "_current", and_collect)
    third = LocalMemory("one", folder=folder)
    assert third.session() == memory.session()
    third.close()


def test_a_forked_child_keeps_the_session_of_its_killed_parent(memory, folder):
    """And writes under a name of its own, so that what the parent left is found."""

    def parent(report):
        mine = LocalMemory("one", folder=folder)
        config = put(mine, b"parent")
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.setsid()
            os.write(writing, put(mine, b"child").encode())
            os.close(writing)
            time.sleep(60)
            os._exit(0)
        os.close(writing)
        report([config, os.read(reading, 200).decode(), child, mine.session()])
        signal.pause()

    config, theirs, child, session = killed_child(parent)
    try:
        assert memory.alive(session)
        assert config.split("/")[1] != theirs.split("/")[1]
        assert [list(item.configs()) for item in memory.abandoned()] == [[[config]]]
        assert bytes(memory.read(theirs)) == b"child"
        assert bytes(memory.read(config)) == b"parent"
        assert memory.session() == session
    finally:
        os.kill(child, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while len(list(memory.abandoned())) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    memory.close()
    assert left(folder) == []


def test_a_child_that_closes_leaves_its_parent_in_the_session(memory):
    config = put(memory, b"x")

    def child():
        put(memory, b"y")
        memory.close()
        return memory.alive(config.split("/")[0])

    assert in_child(child)
    assert bytes(memory.read(config)) == b"x"
    put(memory, b"z")


def test_a_child_lives_on_when_its_parent_closes(folder):
    memory = LocalMemory("one", folder=folder)
    config = put(memory, b"x")
    reading, writing = os.pipe()
    ready, done = os.pipe()
    child = os.fork()
    if not child:
        os.read(reading, 1)
        wrong = bytes(memory.read(config)) != b"x"
        put(memory, b"y")
        memory.close()
        os.write(done, b"1")
        os._exit(wrong)
    try:
        memory.close()
        assert left(folder) != []
        os.write(writing, b"x")
        os.read(ready, 1)
    finally:
        _, status = os.waitpid(child, 0)
        for fd in (reading, writing, ready, done):
            os.close(fd)
    assert status == 0
    assert left(folder) == [], "the child was the last, and left something"


def test_a_fork_while_another_thread_reads_keeps_nothing(memory, folder, monkeypatch):
    config = put(memory, b"x" * 1000)
    reading, go_on = threading.Event(), threading.Event()
    copy = local_reading._copy

    def slowly(*args):
        reading.set()
        go_on.wait(20)
        return copy(*args)

    monkeypatch.setattr(local_reading, "_copy", slowly)
    thread = threading.Thread(target=memory.read, args=(config,))
    thread.start()
    assert reading.wait(20)
    (out_of, into), (ready, tell) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(into)
        os.write(tell, b".")
        os.read(out_of, 1)
        os._exit(0)
    try:
        os.read(ready, 1)
        go_on.set()
        thread.join()
        memory.delete(config)
        assert not list(Path(folder).glob("*/*/*/gone/*/*")), "the child reads it"
        assert list(Path(folder).glob("*/*/*/free/*/*"))
    finally:
        for fd in (into, out_of, ready, tell):
            os.close(fd)
        os.waitpid(child, 0)


def test_forks_among_threads_that_write(memory):
    """No child hangs on a lock that a thread of its parent held, or writes as its parent."""
    stop = threading.Event()
    wrong: list[str] = []

    def work():
        while not stop.is_set():
            config = put(memory, b"parent" * 100_000)
            if bytes(memory.view(config, 600_000)[0]) != b"parent" * 100_000:
                wrong.append(config)
            memory.delete(config)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(15):
            config = in_child(lambda: put(memory, b"child" * 100_000))
            assert bytes(memory.read(config)) == b"child" * 100_000
            memory.delete(config)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert len(list(memory.abandoned())) == 15


def test_a_started_program_does_not_hold_the_session(memory, other):
    session = memory.session()
    program = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        memory.close()
        assert not other.alive(session)
    finally:
        program.kill()
        program.wait()


def test_many_come_and_go(folder):
    """Each finds a session, or begins one; what it wrote is there while it is; in the end nothing is left."""
    programs = [subprocess.Popen([sys.executable, "-c", COMING], cwd=Path(__file__).parents[3], env={
        **os.environ, "FOLDER": folder}) for _ in range(4)]  # fmt: skip
    assert [program.wait(timeout=60) for program in programs] == [0] * 4
    assert left(folder) == []


COMING = """
import os
from tests.storages.local.programs import put
from holdfast.storages.local import LocalMemory
for number in range(40):
    memory = LocalMemory("one", folder=os.environ["FOLDER"])
    config = put(memory, b"%d" % number)
    assert config.startswith(memory.session())
    assert memory.alive(memory.session())
    assert bytes(memory.read(config)) == b"%d" % number
    memory.close()
"""
