"""Forked processes that work beside the test until they are told to end, or until they are killed."""

from __future__ import annotations

import json
import os
import select
import traceback
from collections.abc import Callable
from typing import Any

__all__ = ["Background", "Doomed"]

Send = Callable[[Any], None]

_leashes: set[int] = set()  # a child that kept another's leash would keep it alive


class _Child:
    """A forked process that sends lines of JSON."""

    def __init__(self, work: Callable[[Send], None]) -> None:
        self._reading, writing = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            for fd in _leashes:
                os.close(fd)
            _live(work, writing)
        os.close(writing)

    def _sent(self) -> tuple[list[Any], int]:
        """All that was sent, and the status at the end."""
        with open(self._reading, "rb") as pipe:
            lines = pipe.read().split(b"\n")
        _, status = os.waitpid(self.pid, 0)
        return [json.loads(line) for line in lines[:-1]], status  # the last is empty, or was cut short


def _checked(answers: list[Any], status: int) -> tuple[list[Any], int]:
    for answer in answers:
        if "failure" in answer:
            raise AssertionError(answer["failure"])
    return [answer["result"] for answer in answers], status


def _live(work: Callable[[Send], None], writing: int) -> None:
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


class Background(_Child):
    """Calls ``work`` with a function that tells whether to go on; what it gives at last is the result."""

    def __init__(self, work: Callable[[Callable[[], bool]], Any]) -> None:
        waiting, self._leash = os.pipe()

        def go_on() -> bool:
            return not select.select([waiting], [], [], 0)[0]

        _leashes.add(self._leash)
        super().__init__(lambda send: send(work(go_on)))
        os.close(waiting)

    def tell(self) -> None:
        """Tell it to end."""
        if self._leash in _leashes:
            _leashes.discard(self._leash)
            os.close(self._leash)

    def end(self, *, tell: bool = True) -> None:
        """Tell it to end, and wait for that; it may have an end of its own too."""
        if tell:
            self.tell()
        self._end = self._sent()
        self.tell()  # nobody is there any more; lets the pipe go

    def result(self) -> Any:
        """After the end; its failure is an AssertionError."""
        answers, status = _checked(*self._end)
        assert status == 0, f"a process ended with status {status}"
        return answers[-1]


class Doomed(_Child):
    """Calls ``work`` with a function that sends what is to outlive the process, which ends by a signal."""

    def answers(self) -> list[Any]:
        """Wait for the end, and give what was sent until then."""
        answers, status = _checked(*self._sent())
        assert os.WIFSIGNALED(status), f"the process ended with status {status} before it was killed"
        return answers
