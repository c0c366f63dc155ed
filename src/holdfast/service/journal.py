"""What the service tells: a line of JSON for each request, and for what goes wrong."""

from __future__ import annotations

import json
import threading
import time
import traceback
from datetime import datetime, timezone
from typing import TextIO

from ..address import format_path
from .base import Exchange

__all__ = ["Journal"]

_PAUSE = 0.2  # seconds between two times that lines are written, all of them together
_MOST = 100_000  # lines that wait; where nobody takes them, newer ones are counted and left out


class Journal:
    """Writes lines of JSON to a file, from a thread of its own, so that no request waits for who reads them.

    With ``all_requests`` each request has a line, else only those that the service failed to answer as it should.
    """

    def __init__(self, file: TextIO | None, all_requests: bool = True) -> None:
        self._file = file
        self._all = all_requests
        self._lines: list[str] = []
        self._lost = 0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        if file is not None:
            self._thread = threading.Thread(target=self._run, name="holdfast-journal", daemon=True)
            self._thread.start()

    def request(self, exchange: Exchange, seconds: float, error: BaseException | None) -> None:
        """Tell of a request that has ended; with the traceback of an error that is the service's own."""
        if self._file is None or (error is None and not self._all):
            return
        path = exchange.raw_path.decode("ascii", "replace")
        if '"' in path or "\\" in path:  # it is as it came, so percent-encoded in all else
            path = path.replace("\\", "%5C").replace('"', "%22")
        more = f',"token":"{exchange.token}"' if exchange.token else ""
        if exchange.path:
            more += f',"scope":{json.dumps(format_path(exchange.path))}'
        if error is not None:
            more += f',"error":{json.dumps("".join(traceback.format_exception(error)))}'
        level = "info" if error is None else "error"
        self._add(
            f'{{"time":{time.time():.3f},"level":"{level}","request_id":"{exchange.id}","method":"{exchange.method}",'
            f'"path":"{path}","status":{exchange.status},"ms":{seconds * 1000:.2f},"in":{exchange.received},'
            f'"out":{exchange.sent},"client":"{exchange.client}"{more}}}\n'
        )

    def tell(self, message: str, level: str = "info") -> None:
        """Tell of something else."""
        if self._file is not None and (self._all or level != "info"):
            now = datetime.now(timezone.utc).timestamp()
            self._add(json.dumps({"time": round(now, 3), "level": level, "message": message}) + "\n")

    def _add(self, line: str) -> None:
        with self._lock:
            if len(self._lines) < _MOST:
                self._lines.append(line)
            else:
                self._lost += 1

    def _run(self) -> None:
        while not self._ended.wait(_PAUSE):
            self._write()
        self._write()

    def _write(self) -> None:
        with self._lock:
            lines, self._lines = self._lines, []
            lost, self._lost = self._lost, 0
        if lost:
            lines.append(json.dumps({"level": "warning", "message": f"{lost} lines were left out"}) + "\n")
        try:
            if lines and self._file is not None:
                self._file.write("".join(lines))
                self._file.flush()
        except (OSError, ValueError):
            self._file = None  # nobody reads any more

    def close(self) -> None:
        """Write what is left."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(5.0)
