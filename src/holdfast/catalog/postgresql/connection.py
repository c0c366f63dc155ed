"""One connection, below psycopg's cursors: these would take as long as the server does.

Each statement is prepared when it is first run, sent with its values as text or bytes, and its rows come back binary.
"""

from __future__ import annotations

import itertools
import os
import select
import sys
import time
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus, Format, TransactionStatus
from psycopg.types.numeric import Int8Dumper

from .patience import ASK, Patience

__all__ = ["Link", "Statement"]

Statement = tuple[str, tuple[Any, ...]]
"""A text with values ``$1``, ``$2`` and so on, and the values."""

_ROWS, _DONE, _SYNC = ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK, ExecStatus.PIPELINE_SYNC
_FAILURES = (ExecStatus.FATAL_ERROR, ExecStatus.BAD_RESPONSE, ExecStatus.NONFATAL_ERROR)
_CANCEL = 2.0  # seconds
_AGAIN = 1.0  # seconds: a cancel that came before its statement has no effect, and is not told of
_WARNING = "01000"  # of a cancelled write: it was committed, but did not come to the standby servers
_AUTO = [[PyFormat.AUTO] * count for count in range(30)]


class Link:
    """A connection to the server, used by one thread at a time.

    Attributes:
        cancelled: a statement on it was cancelled, which may reach the server late: it is not used again.
        pid: the process that opened it; only that one may close it.
        used: when it was last given back, by the monotonic clock.
    """

    __slots__ = (
        "__weakref__", "_ask", "_connection", "_heard", "_loader", "_names", "_numbers", "_patience", "_pg", "_poll",
        "cancelled", "pid", "used",
    )  # fmt: skip

    def __init__(self, parameters: dict[str, str], settings: str, patience: Patience) -> None:
        connection = psycopg.connect(**parameters, autocommit=True)  # type: ignore[arg-type]
        self._connection = connection
        self.used = time.monotonic()
        self._pg = connection.pgconn
        # As text, a number has the type that the statement gives its place, whatever its size.
        connection.adapters.register_dumper(int, Int8Dumper)
        self._loader = Transformer(connection)
        self._names: dict[str, bytes] = {}
        self._numbers = itertools.count()
        self._poll = select.poll()
        self._poll.register(self._pg.socket, select.POLLIN)
        self._patience = patience
        self.cancelled = False
        self._ask = 0.0  # when a cancel may be sent
        self._heard = _warnings(connection)
        self.pid = os.getpid()  # from here on it is closed when it is collected
        self.script(settings)

    @property
    def version(self) -> int:
        """The server's version, as 160004 for 16.4."""
        return self._connection.info.server_version

    @property
    def encoding(self) -> str:
        """The database's encoding."""
        return self._connection.info.parameter_status("server_encoding") or ""

    # --- statements ---------------------------------------------------------------------------------------------------

    def rows(self, sql: str, values: tuple[Any, ...] = (), *, once: bool = False) -> list[Any]:
        """Run a statement and give its rows; with ``once`` it is planned for these values and not prepared."""
        parameters = self._loader.dump_sequence(values, _AUTO[len(values)])
        formats = self._loader.formats
        if once:
            self._pg.send_query_params(sql.encode(), parameters, None, formats, Format.BINARY)
        else:
            name = self._names.get(sql) or self._prepare(sql)
            self._pg.send_query_prepared(name, parameters, formats, Format.BINARY)
        self._send()
        return self._loaded(self._answer())

    def batch(self, statements: Sequence[Statement]) -> list[list[Any]]:
        """Run several statements in one round trip and give the rows of each; those after a failure are not run."""
        ready = []
        for sql, values in statements:
            parameters = self._loader.dump_sequence(values, _AUTO[len(values)])
            ready.append((self._names.get(sql) or self._prepare(sql), parameters, self._loader.formats))
        pg = self._pg
        pg.enter_pipeline_mode()
        for name, parameters, formats in ready:
            pg.send_query_prepared(name, parameters, formats, Format.BINARY)
        pg.pipeline_sync()
        self._send()
        results = []
        while (result := self._next()) is None or result.status != _SYNC:
            if result is not None:
                results.append(result)
        pg.exit_pipeline_mode()
        return [self._loaded(result) for result in results]

    def script(self, sql: str) -> None:
        """Run several statements without values, given as one text."""
        self._connection.execute(sql.encode())

    def _prepare(self, sql: str) -> bytes:
        name = b"s%d" % next(self._numbers)  # not used before, even if an interrupt comes before we note it
        self._pg.send_prepare(name, sql.encode())
        self._send()
        self._loaded(self._answer())
        self._names[sql] = name
        return name

    def _send(self) -> None:
        while self._pg.flush():
            writing = select.poll()  # and reading: a server that cannot get rid of its answers takes no more
            writing.register(self._pg.socket, select.POLLIN | select.POLLOUT)
            haste = self._patience.haste
            while not writing.poll(haste and ASK * 1000):
                if haste is not None and haste():  # what has not been sent to its end is not done
                    raise psycopg.errors.QueryCanceled("given up while it was sent")
            self._pg.consume_input()

    def _answer(self) -> Any:
        result = self._next()
        while (later := self._next()) is not None:
            if later.status in _FAILURES:
                result = later  # the commit after the statement failed
        return result

    def _next(self) -> Any:
        pg = self._pg
        while pg.is_busy():
            haste = self._patience.haste
            while not self._poll.poll(haste and ASK * 1000):
                if haste is not None and time.monotonic() >= self._ask and haste():
                    self._cancel()
            pg.consume_input()
        result = pg.get_result()
        if result is None and self.lost:
            raise psycopg.OperationalError("the connection is lost")
        return result

    def _cancel(self) -> None:
        """Tell the server to give up the statement; the answer to that says whether it did."""
        self.cancelled = True
        self._ask = time.monotonic() + _AGAIN
        try:
            self._connection.cancel_safe(timeout=_CANCEL)
        except psycopg.Error:
            pass  # the server is not there to be told

    def _loaded(self, result: Any) -> list[Any]:
        if result.status == _ROWS:
            self._loader.set_pgresult(result)
            return self._loader.load_rows(0, result.ntuples, tuple)
        if result.status != _DONE:
            raise error_from_result(result)
        return []

    # --- state --------------------------------------------------------------------------------------------------------

    @property
    def lost(self) -> bool:
        """Whether the connection broke; or a cancelled write on it is on this server alone, which was told to wait for
        its standby servers: both leave it open what has been kept."""
        return self._pg.status != ConnStatus.OK or (self.cancelled and _WARNING in self._heard)

    def is_alive(self) -> bool:
        """Whether the server has not ended this idle connection, as far as is known here; asks nobody."""
        try:
            while self._poll.poll(0):
                self._pg.consume_input()
        except psycopg.Error:
            return False
        return not self.lost

    def settle(self) -> bool:
        """After an error: roll back what is open. False when the connection cannot be used any more."""
        if self.lost or self.cancelled or self._pg.pipeline_status:
            return False
        if self._pg.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
            try:
                self.rows("ROLLBACK")
            except psycopg.Error:
                return False
        return self._pg.transaction_status == TransactionStatus.IDLE

    def close(self) -> None:
        """Close; a statement that is still running on the server is cancelled."""
        if self.pid != os.getpid() or self._connection.closed:
            return
        try:
            if self._pg.transaction_status == TransactionStatus.ACTIVE and not sys.is_finalizing():
                self._cancel()
        finally:
            self._connection.close()

    def __del__(self) -> None:
        if getattr(self, "pid", None) is not None:
            self.close()

    def abandon(self) -> None:
        """In a forked child: let go of the socket without a word to the server, which the parent goes on talking to."""
        _ABANDONED.append(self)
        if not self.lost:
            null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            os.dup2(null, self._pg.socket, inheritable=False)  # the number stays taken
            os.close(null)


def _warnings(connection: psycopg.Connection) -> set[str | None]:
    """The states of warnings that the server gives; the connection knows nothing of its link, which goes when it is
    let go."""
    heard: set[str | None] = set()
    connection.add_notice_handler(lambda notice: heard.add(notice.sqlstate))
    return heard


_ABANDONED: list[Link] = []
"""Kept, as what is collected is closed."""
