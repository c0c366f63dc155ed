"""Worker processes: what ends them, and that nothing is left."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from holdfast import executors
from holdfast.errors import InvalidArgumentError, TaskLost
from holdfast.executors import tasks
from holdfast.testing.processes import in_child

from . import deeds


def gone(*processes: int) -> bool:
    """Whether these processes are no more, zombies included, after a moment at most."""
    deadline = time.monotonic() + 20
    while any(psutil.pid_exists(process) for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_closing_leaves_nothing() -> None:
    with executors.open("processes", workers=2) as executor:
        found = executor.gather([executor.submit(deeds.process) for _ in range(8)])
        assert len(set(found)) <= 2
        assert all(psutil.pid_exists(process) for process in found)
    assert gone(*found)


def test_one_that_is_dropped_ends_its_workers() -> None:
    executor = executors.open("processes", workers=1)
    process = executor.submit(deeds.process).result(60)
    del executor
    gc.collect()
    assert gone(process)


def test_a_worker_that_died_while_it_had_nothing_to_do() -> None:
    with executors.open("processes", workers=1) as executor:
        for _ in range(3):
            process = executor.submit(deeds.process).result(60)
            os.kill(process, signal.SIGKILL)
            while psutil.Process(process).status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.01)
            assert executor.submit(deeds.add, 1).result(60) == 2


def test_a_cancelled_task_frees_its_worker_at_once(tmp_path: Path) -> None:
    with executors.open("processes", workers=1) as executor:
        for number in range(3):
            future = executor.submit(deeds.touch_and_wait, tmp_path / f"{number}")
            deeds.wait_for(tmp_path / f"{number}")
            assert future.running()
            future.cancel()
            assert executor.submit(deeds.add, number).result(30) == number + 1


def test_tasks_cancelled_at_any_moment_harm_no_other() -> None:
    """The right process is killed, or none."""
    with executors.open("processes", workers=2) as executor:
        kept = []
        for number in range(40):
            doomed = executor.submit(time.sleep, 0.01)
            kept.append(executor.submit(deeds.add, number))
            time.sleep(number % 5 * 0.004)
            doomed.cancel()
        assert executor.gather(kept, timeout=90) == list(range(1, 41))


def fork_and_die(path: Path) -> None:
    """Leave a child that holds what this process held, and die."""
    child = os.fork()
    if not child:
        time.sleep(100)
        os._exit(0)
    path.write_text(str(child))
    deeds.die()


def test_death_is_noticed_though_a_child_lives_on(tmp_path: Path) -> None:
    with executors.open("processes", workers=1) as executor:
        try:
            with pytest.raises(TaskLost, match="SIGKILL"):
                executor.submit(fork_and_die, tmp_path / "child").result(30)
        finally:
            os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)


def test_named_resources_are_held_while_a_task_runs(tmp_path: Path) -> None:
    with executors.open("processes", workers=2, resources={"gpus": 1}) as executor:
        assert executor.resources.named == {"gpus": 1}
        first = executor.submit(deeds.touch_and_wait, tmp_path / "a", resources={"gpus": 1})
        second = executor.submit(deeds.touch, tmp_path / "b", resources={"gpus": 1})
        executor.submit(deeds.add, 1).result(60)  # goes past the one that waits
        deeds.wait_for(tmp_path / "a")
        assert not (tmp_path / "b").exists()
        (tmp_path / "a.go").touch()
        executor.gather([first, second], timeout=60)
        with pytest.raises(InvalidArgumentError, match="asks for 2 gpus, and the executor has 1"):
            executor.submit(deeds.add, 1, resources={"gpus": 2})
        with pytest.raises(InvalidArgumentError, match=r"asks for 3 cpus.*more workers"):
            executor.submit(deeds.add, 1, resources={"cpus": 3})


def test_a_forked_child_has_no_part_in_it() -> None:
    def try_it() -> str:
        try:
            executor.submit(deeds.add, 1)
        except InvalidArgumentError as error:
            executor.close()
            return str(error)
        return "it was taken"

    with executors.open("processes", workers=1) as executor:
        assert executor.submit(deeds.add, 1).result(60) == 2
        assert "open one here" in in_child(try_it)
        assert executor.submit(deeds.add, 2).result(60) == 3


def test_large_arguments_are_not_in_the_pickle() -> None:
    import numpy as np

    array = np.ones(1 << 20)
    call = tasks.pack_call(lambda: array, (array + 1, {"deep": [array]}), {}, "local", "processes")
    first, *others = call.parts
    assert len(first) < 10_000
    assert sorted(len(part) for part in others) == [array.nbytes] * 2  # the one that is there twice, once
    assert any(np.shares_memory(np.frombuffer(part), array) for part in others)


# --- programs --------------------------------------------------------------------------------------------------------

PROGRAM = """
import os, sys, time
import holdfast
from holdfast import executors

class Point:
    def __init__(self, x): self.x = x

def move(point):
    holdfast.put("moved", point.x)
    return Point(point.x + 1)

def sleep():
    print(os.getpid(), flush=True)
    holdfast.put(f"asleep-{os.getpid()}", True)
    time.sleep(100)

store = holdfast.open(sys.argv[2])
with store.context(namespace="prod"), executors.open("processes", workers=2) as executor:
    found = executor.submit(move, Point(1)).result()
    assert type(found) is Point and found.x == 2
    assert holdfast.get("moved") == 1
    print("moved", flush=True)
    if sys.argv[1] == "wait":
        executor.gather([executor.submit(sleep) for _ in range(2)])
    elif sys.argv[1] == "exit":
        executor.submit(sleep)
        executor.submit(sleep)
        sys.stdin.readline()
        os._exit(0)
"""


@pytest.fixture
def program(tmp_path: Path) -> Any:
    """Starts a program whose main module is not guarded, in a process group of its own, as a shell does."""
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    started: list[subprocess.Popen[str]] = []

    def start(how: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(path), how, str(tmp_path / "store")]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "moved\n"
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_functions_and_classes_of_the_main_module(program: Any) -> None:
    process = program("return")
    assert process.wait(60) == 0


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
def test_what_ends_the_program_ends_its_workers(program: Any, sign: signal.Signals) -> None:
    process = program("wait")
    workers = [int(process.stdout.readline()) for _ in range(2)]
    if sign == signal.SIGINT:
        os.killpg(process.pid, sign)  # all of them, as a terminal does
    else:
        process.send_signal(sign)
    _, told = process.communicate(timeout=60)
    assert process.returncode == -sign
    assert gone(*workers)
    if sign == signal.SIGINT:
        assert told.count("KeyboardInterrupt") == 1  # the program's own; no worker says anything
        assert told.count("Traceback") == 1


def test_a_program_that_does_not_close(program: Any) -> None:
    process = program("exit")
    workers = [int(process.stdout.readline()) for _ in range(2)]
    process.communicate("\n", timeout=60)
    assert process.returncode == 0
    assert gone(*workers)
