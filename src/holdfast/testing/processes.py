"""Real processes for tests: a forked child that answers, and one that is killed."""

from __future__ import annotations

import json
import os
import signal
import traceback
from collections.abc import Callable
from typing import Any

__all__ = ["in_child", "killed_child"]


def in_child(work: Callable[[], Any]) -> Any:
    """What ``work`` gives (JSON) in a forked process, whose failure is raised here as AssertionError."""
    answer, status = _fork(lambda report: report(work()), kill=False)
    if status or "failure" in answer:
        raise AssertionError(answer.get("failure", f"the child ended with status {status}"))
    return answer["result"]


def killed_child(work: Callable[[Callable[[Any], None]], None]) -> Any:
    """What ``work`` reports (JSON) from a forked process, which is then killed with SIGKILL in the middle of it."""
    answer, status = _fork(work, kill=True)
    if "failure" in answer:
        raise AssertionError(answer["failure"])
    assert os.WIFSIGNALED(status), "the child ended before it was killed"
    return answer["result"]


def _fork(work: Callable[[Callable[[Any], None]], None], *, kill: bool) -> tuple[dict[str, Any], int]:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        _run(work, writing)
    os.close(writing)
    try:
        with open(reading, "rb") as pipe:
            line = pipe.readline()
    finally:
        if kill:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    return json.loads(line or b"{}"), status


def _run(work: Callable[[Callable[[Any], None]], None], writing: int) -> None:
    """The child's whole life; it ends without the parent's clean-up."""

    def send(answer: dict[str, Any]) -> None:
        text = json.dumps(answer).encode() + b"\n"
        while text:
            text = text[os.write(writing, text) :]

    status = 0
    try:
        work(lambda result: send({"result": result}))
    except BaseException:
        send({"failure": traceback.format_exc()})
        status = 1
    finally:
        os._exit(status)
