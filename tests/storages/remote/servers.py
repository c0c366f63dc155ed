"""Real servers on loopback for the tests: moto's for S3, azurite for Azure, and a proxy that cuts connections."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import hmac
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from email.utils import formatdate
from pathlib import Path

import pytest

from holdfast.testing.ports import free_port

AZURITE = "3.37.0"
AZURE_ACCOUNT = "devstoreaccount1"
# The one key that azurite knows; it is in its documentation, and protects nothing.
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_START = 60.0


def wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return when a server listens.

    Raises:
        AssertionError: it ended, or does not after a minute.
    """
    end = time.monotonic() + _START
    while time.monotonic() < end:
        assert process.poll() is None, f"the server ended with {process.returncode}:\n{log.read_text()}"
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"the server did not start:\n{log.read_text()}")


@contextmanager
def running(command: list[str], port: int, log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server as a process of its own, killed at the end."""
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            env=os.environ | environment,
            cwd=log.parent,
        )
    try:
        wait_for(port, process, log)
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


KEEPING = """
import sys
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from waitress import serve

serve(DomainDispatcherApplication(create_backend_app), host="127.0.0.1", port=int(sys.argv[1]), threads=16)
"""
"""moto under a server that keeps connections, as S3 does; its own closes each one after an answer."""


@contextmanager
def moto(folder: Path, *, keeping: bool = False, **environment: str) -> Iterator[str]:
    """An S3 server with a bucket ``bucket``; gives its endpoint."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    if keeping:
        command = [sys.executable, "-c", KEEPING, str(port)]
    with running(command, port, folder / f"moto-{port}.log", **environment):
        make_bucket(f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}"


def make_bucket(endpoint: str, name: str = "bucket") -> None:
    """Make a bucket of moto's, which asks for no keys."""
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{name}", method="PUT")).close()


def uploads_in(endpoint: str) -> int:
    """How many uploads in parts are unfinished."""
    with urllib.request.urlopen(f"{endpoint}/bucket?uploads") as answer:
        return len(re.findall("<UploadId>", answer.read().decode()))


def azurite_program() -> Path:
    """The program of azurite, which npm installs once into a cache folder.

    Fails the test when there is no npm: what is not tested must be seen.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "holdfast-tests"
    folder = cache / f"azurite-{AZURITE}"
    program = folder / "node_modules" / ".bin" / "azurite-blob"
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "azurite.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes begin at once
        if not program.exists():
            npm = shutil.which("npm")
            if npm is None:
                pytest.fail("the Azure tests run azurite, which npm installs: install Node.js 20", pytrace=False)
            fresh = cache / f"azurite-{AZURITE}.new"
            shutil.rmtree(fresh, ignore_errors=True)
            command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(fresh)]
            done = subprocess.run([*command, f"azurite@{AZURITE}"], capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"npm could not install azurite:\n{done.stderr}"
            shutil.rmtree(folder, ignore_errors=True)
            fresh.rename(folder)
    return program


@contextmanager
def azurite(folder: Path) -> Iterator[str]:
    """An Azure blob server with a container ``container``; gives its endpoint."""
    port = free_port()
    with azurite_on(port, folder, "--inMemoryPersistence"):
        endpoint = f"http://127.0.0.1:{port}/{AZURE_ACCOUNT}"
        make_container(endpoint)
        yield endpoint


@contextmanager
def azurite_on(port: int, folder: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """The server's process, which can be killed; without the option for memory it keeps all in the folder."""
    command = [str(azurite_program()), "--disableTelemetry", "--silent", *options]
    command += ["--blobHost", "127.0.0.1", "--blobPort", str(port)]
    with running(command, port, folder / f"azurite-{port}.log") as process:
        yield process


def make_container(endpoint: str, name: str = "container") -> None:
    """Make a container, by a request signed as Azure wants it."""
    version, date = "2021-08-06", formatdate(usegmt=True)
    resource = f"/{AZURE_ACCOUNT}/{AZURE_ACCOUNT}/{name}\nrestype:container"
    text = "PUT" + "\n" * 12 + f"x-ms-date:{date}\nx-ms-version:{version}\n{resource}"
    signature = base64.b64encode(hmac.digest(base64.b64decode(AZURE_KEY), text.encode(), hashlib.sha256)).decode()
    headers = {
        "x-ms-date": date,
        "x-ms-version": version,
        "Content-Length": "0",
        "Authorization": f"SharedKey {AZURE_ACCOUNT}:{signature}",
    }
    url = f"{endpoint}/{name}?restype=container"
    urllib.request.urlopen(urllib.request.Request(url, method="PUT", headers=headers)).close()


class CuttingProxy:
    """Passes connections on to a server, and cuts them after some bytes.

    Attributes:
        port: where it listens.
        left: bytes of what clients send (or, with ``answers``, of what they are sent) until the cut; None for no cut.
        cuts: connections to cut when the bytes have passed; each is cut at its next byte.
        refuse: close new connections at once.
        connections: how many there were.
    """

    def __init__(self, port: int, *, answers: bool = False) -> None:
        self._server = port
        self._answers = answers
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]
        self.left: int | None = None
        self.cuts = 0
        self.refuse = False
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            self.connections += 1
            if self.refuse:
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self._server))
            self._open += [client, server]
            threading.Thread(target=self._pump, args=(client, server, not self._answers), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, self._answers), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        try:
            while data := source.recv(65536):
                if counted and self._is_cut(len(data)):
                    break
                target.sendall(data)
        except OSError:
            pass  # the other side is gone, and so is this one
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)  # close alone would wait for the thread that reads it
            end.close()

    def _is_cut(self, count: int) -> bool:
        with self._lock:
            if self.left is None or not self.cuts:
                return False
            self.left -= count
            if self.left > 0:
                return False
            self.cuts -= 1
            return True

    def drop(self) -> None:
        """Cut all connections."""
        ends, self._open = self._open, []
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End, with all connections."""
        for end in [self._listener, *self._open]:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


FTP = """
import sys
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import ThreadedFTPServer

port, folder = int(sys.argv[1]), sys.argv[2]
people = DummyAuthorizer()
people.add_user("writer", "its-password", folder, perm="elradfmwMT")
people.add_user("reader", "its-password", folder, perm="elr")

class Handler(FTPHandler):
    authorizer = people
    auth_failed_timeout = 0
    tcp_no_delay = True

ThreadedFTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


@contextmanager
def ftp(folder: Path) -> Iterator[int]:
    """An FTP server on a folder, for the users ``writer`` and ``reader``; gives its port."""
    port = free_port()
    home = folder / "home"
    home.mkdir()
    with running([sys.executable, "-c", FTP, str(port), str(home)], port, folder / "ftp.log"):
        yield port
