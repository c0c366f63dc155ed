"""Functions that are commands (D17, D22)."""

from __future__ import annotations

import base64
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from holdfast.flows.functions import commands

from .acting import World, alive, failing, file, until

ANSWER = "holdfast.function.answer"
IDENTIFY = "echo $$ > {0}.new; mv {0}.new {0}"


def test_d17_input_result_and_environment(world: World) -> None:
    found = world.shell('printf \'{"input": %s, "iterator": %s}\' "$(cat)" "$DIREKTIV_ITERATOR"', input={"a": [1, "ü"]})
    assert found == {"input": {"a": [1, "ü"]}, "iterator": 0}
    found = base64.b64decode(
        world.shell('echo "$DIREKTIV_ACTIONID"; echo "$DIREKTIV_TEMPDIR"; echo "$DIREKTIV_VAR_URL"')
    )
    id, folder, url = found.decode().split()
    assert len(id) == 64
    assert not Path(folder).exists()
    assert url.startswith("http://127.0.0.1:")


def test_d17_the_environment_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_KEY", "secret")
    monkeypatch.setenv("PASSED", "on")
    settings = {"command": ["env"], "environment": ["PASSED", "NOT_THERE", "SAID=a=b", "LANG=de_DE"]}
    functions = world.functions({"f": settings})
    found = dict(line.split("=", 1) for line in base64.b64decode(functions.call(world.action())).decode().splitlines())
    direktiv = {name for name in found if name.startswith("DIREKTIV_")}
    assert direktiv == {
        f"DIREKTIV_{name}" for name in ("ACTIONID", "TEMPDIR", "ITERATOR", "VAR_URL", "LOG_URL", "ERROR_FILE")
    }
    assert set(found) - direktiv == {"PATH", "HOME", "LANG", "TMPDIR", "PASSED", "SAID"}
    assert (found["PASSED"], found["SAID"], found["LANG"]) == ("on", "a=b", "de_DE")
    assert found["TMPDIR"].startswith(str(world.folder))


def test_what_is_configured_goes_before_what_is_usual(world: World) -> None:
    settings = {"command": ["printenv", "TMPDIR", "PATH"], "environment": ["TMPDIR=/var/large", "PATH=/usr/bin:/bin"]}
    found = base64.b64decode(world.functions({"f": settings}).call(world.action()))
    assert found == b"/var/large\n/usr/bin:/bin\n"


def test_d17_no_shell_unless_asked(world: World) -> None:
    functions = world.functions({"f": {"command": ["printf", "%s", "$(echo 1); *"]}})
    assert base64.b64decode(functions.call(world.action())) == b"$(echo 1); *"


def test_commands_are_started_in_the_folder_of_their_configuration(world: World) -> None:
    (world.path / "script.sh").write_text("#!/bin/sh\npwd; cat data.txt")
    (world.path / "script.sh").chmod(0o755)
    (world.path / "data.txt").write_text("5")
    for command in (["./script.sh"], ["sh", "script.sh"]):
        found = base64.b64decode(world.functions({"f": {"command": command}}).call(world.action()))
        assert found.decode() == f"{world.path}\n5"


def test_standard_error_is_the_log(world: World) -> None:
    assert world.shell("echo one >&2; printf 'two\\n\\nthr\\377ee' >&2; echo 1") == 1
    assert world.lines == ["one", "two", "thr\ufffdee"]


def test_an_endless_log_is_bounded(world: World) -> None:
    assert world.shell("yes words | head -c 3000000 >&2; echo 1", log=10_000) == 1
    assert sum(map(len, world.lines)) < 10_000
    assert "raise log" in world.lines[-1]
    world.lines.clear()
    assert world.shell("head -c 3000000 /dev/zero | tr '\\0' x >&2; echo 1", log=100_000) == 1
    assert max(map(len, world.lines)) < 9_000


def test_d22_a_status_above_0_is_container_failed(world: World) -> None:
    with failing("container failed", "status 3", "what happened"):
        world.shell("echo what happened >&2; echo result; exit 3")
    with failing("container failed", "status 1"):
        world.shell("exit 1")


@pytest.mark.parametrize("status", [0, 1, 77])
def test_d22_an_error_has_code_and_message(world: World, status: int) -> None:
    with failing("my.code", "why\nand more"):
        world.shell(f'printf "my.code\\nwhy\\nand more\\n" > "$DIREKTIV_ERROR_FILE"; exit {status}')
    with failing("my.code"):
        world.shell(f'echo my.code > "$DIREKTIV_ERROR_FILE"; exit {status}')


def test_d22_an_empty_error_is_none(world: World) -> None:
    assert world.shell('echo > "$DIREKTIV_ERROR_FILE"; echo 1') == 1
    assert world.shell('mkdir "$DIREKTIV_ERROR_FILE"; echo 1') == 1
    assert world.shell('mkfifo "$DIREKTIV_ERROR_FILE"; echo 1') == 1
    assert world.shell('ln -s /etc/hostname "$DIREKTIV_ERROR_FILE"; echo 1') == 1


def test_an_endless_error_is_bounded(world: World) -> None:
    with failing("y"):
        world.shell('yes | head -c 5000000 > "$DIREKTIV_ERROR_FILE"')


@pytest.mark.parametrize("command", [["/none/there"], ["none-there-at-all"], ["./data.txt"], ["/"]])
def test_a_command_that_cannot_be_started(world: World, command: list[str]) -> None:
    (world.path / "data.txt").write_text("5")
    functions = world.functions({"f": {"command": command}})
    with failing("holdfast.function.unreachable", command[0]):
        functions.call(world.action())
    assert command[0] in (functions.check("f") or "")


def test_a_command_that_crashes_stores_nothing(world: World) -> None:
    with failing(ANSWER, "signal 11"):
        world.shell('printf torn > "$DIREKTIV_TEMPDIR/out/workflow/x"; kill -SEGV $$')
    assert world.get("workflow", "x") is None


def test_an_endless_result_is_bounded(world: World) -> None:
    with failing(ANSWER, "more than 1000000 bytes", "raise answer"):
        world.shell("yes", answer=1_000_000)


def test_a_command_may_leave_its_input(world: World) -> None:
    assert world.shell("echo 1", input="x" * 3_000_000) == 1
    assert world.shell("exec <&-; sleep 0.1; echo 1", input="x" * 3_000_000) == 1
    assert world.shell("wc -c", input="x" * 3_000_000) == 3_000_002


def test_a_command_may_close_its_output(world: World) -> None:
    assert world.shell("echo 1; exec >&- 2>&-; sleep 0.2") == 1


HANGING = {
    "sleeping": "sleep 60",
    "in a child": "sh -c 'sleep 60' & wait",
    "not listening": "trap '' TERM; while :; do sleep 0.1; done",
    "writing": "while :; do echo x; done >&2",
    "with closed streams": "exec <&- >&- 2>&-; sleep 60",
}


@pytest.mark.parametrize("name", HANGING)
def test_a_command_that_hangs_has_a_time_out(world: World, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "_GRACE", 0.2)
    pids = world.path / "pids"
    began = time.monotonic()
    with failing("holdfast.function.timeout", "0.3 seconds"):
        world.shell(f"echo $$ > {pids}; {HANGING[name]}", timeout=0.3)
    assert time.monotonic() - began < 5
    assert not alive(int(pids.read_text()))
    assert world.left() == []


@pytest.mark.parametrize("how", ["cancel", "close", "time-out", "end"])
def test_d17_its_whole_group_ends_with_a_command(world: World, how: str) -> None:
    pids = world.path / "pids"
    child = f"sh -c 'trap \"\" TERM; echo $$ >> {pids}; while :; do sleep 0.05; done' > /dev/null 2>&1 &"
    script = f'{child} {child} while [ "$(wc -l < {pids})" != 2 ]; do sleep 0.01; done; touch {pids}.there; '
    functions = world.functions({"f": {"command": script + ("echo 1" if how == "end" else "sleep 60"), "shell": True}})
    pids.touch()
    if how == "end":
        assert functions.call(world.action()) == 1
    else:
        codes: list[Any] = []

        def call() -> None:
            with failing(f"holdfast.function.{'timeout' if how == 'time-out' else 'cancelled'}"):
                functions.call(world.action(timeout=1 if how == "time-out" else 20))
            codes.append(1)

        thread = threading.Thread(target=call)
        thread.start()
        until((Path(f"{pids}.there")).exists)
        if how == "cancel":
            world.cancelled.set()
        elif how == "close":
            functions.close()
        thread.join()
        assert codes == [1]
    found = [int(pid) for pid in pids.read_text().split()]
    assert len(found) == 2
    until(lambda: not any(map(alive, found)), 2)


def test_storing_takes_no_time_of_the_function(world: World) -> None:
    script = 'cd "$DIREKTIV_TEMPDIR/out" && ln -s x instance/x; printf 1 > workflow/x; echo 1'
    functions = world.functions({"f": {"command": script, "shell": True}})
    action = world.action(timeout=0.4)._replace(log=lambda line: time.sleep(0.5))
    assert functions.call(action) == 1


def test_cancelled_while_it_is_stored_nothing_is(world: World) -> None:
    script = 'cd "$DIREKTIV_TEMPDIR/out" && printf 1 > instance/x; ln -s x workflow/x; printf 1 > namespace/x'
    functions = world.functions({"f": {"command": script, "shell": True}})
    with failing("holdfast.function.cancelled"):
        functions.call(world.action()._replace(log=lambda line: world.cancelled.set()))
    assert world.stored() == {"namespace": [], "workflow": [], "instance": []}


def test_a_command_is_told_before_it_is_made_to_end(world: World) -> None:
    marker = world.path / "told"
    with failing("holdfast.function.timeout"):
        world.shell(f"trap 'echo 1 > {marker}; exit 0' TERM; while :; do sleep 0.02; done", timeout=0.3)
    assert marker.read_text() == "1\n"


@pytest.mark.filterwarnings("ignore:subprocess [0-9]+ is still running:ResourceWarning")
def test_an_interrupt_while_it_is_started_does_not_leave_the_command(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes when the process is there, and nobody has it yet: while its beginning is waited for."""
    pids = world.path / "pids"

    def read(*arguments: Any) -> bytes:
        monkeypatch.undo()
        until(pids.exists)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "read", read)
    with pytest.raises(KeyboardInterrupt):
        world.shell(f"{IDENTIFY.format(pids)}; exec sleep 60")
    assert not alive(int(pids.read_text()))


def test_a_second_interrupt_does_not_leave_the_command(world: World) -> None:
    """The first is told to the command, which does not listen; the second comes while that is waited for."""
    pids = world.path / "pids"
    script = f"cat > /dev/null; trap 'touch {pids}.told' TERM; {IDENTIFY.format(pids)}; while :; do sleep 0.02; done"

    def interrupt() -> None:
        for marker in (pids, Path(f"{pids}.told")):
            until(marker.exists)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        world.shell(script)
    thread.join()
    assert not alive(int(pids.read_text()))


def test_who_left_the_group_and_keeps_the_output_is_not_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "_LEFT", 0.2)
    program = "import os, sys, time\nif os.fork() == 0:\n os.setsid()\n time.sleep(4)\nelse:\n print(1)\n"
    functions = world.functions({"f": {"command": [sys.executable, "-c", program]}})
    began = time.monotonic()
    assert functions.call(world.action()) == 1
    assert time.monotonic() - began < 3.5


def test_signals_are_as_they_are_by_themselves(world: World) -> None:
    """A shell whose pipe is closed ends by a signal, which this interpreter ignores for itself."""
    assert world.shell("yes | head -1 > /dev/null; echo 1") == 1
    before = signal.getsignal(signal.SIGPIPE)
    assert before == signal.SIG_IGN


def test_many_commands_at_a_time(world: World) -> None:
    world.put("instance", "x", b"1")
    script = 'n=$(cat); cp "$DIREKTIV_TEMPDIR/x" "$DIREKTIV_TEMPDIR/out/instance/v$n"; echo $n'
    functions = world.functions({"f": {"command": script, "shell": True}})
    found = []
    threads = [
        threading.Thread(target=lambda n=n: found.append(functions.call(world.action("f", file("x"), input=n))))
        for n in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(16))
    assert len(world.stored()["instance"]) == 17


def test_calls_leave_no_open_files(world: World) -> None:
    functions = world.functions({"f": {"command": 'mkdir -p "$DIREKTIV_ERROR_FILE/x"; echo 1', "shell": True}})
    functions.call(world.action())
    assert world.left() == []
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        functions.call(world.action())
        with failing("holdfast.function.unknown"):
            functions.call(world.action("g"))
    until(lambda: len(os.listdir("/proc/self/fd")) <= before)
