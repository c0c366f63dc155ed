"""Connections that break: reads go on, writes say what is not known, and nothing is made twice."""

from __future__ import annotations

import gc
import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

import holdfast
from holdfast.catalog.channel import Channel
from holdfast.errors import AccessError, BusyError, InvalidArgumentError, StoreError
from holdfast.payload import Payload
from holdfast.service.base import Limits
from holdfast.storages.base import Storage
from holdfast.storages.http import HTTPStorage
from holdfast.testing.processes import in_child
from holdfast.tokens import Tokens

from .serving import Behind, storage_at

LARGE = bytes(range(256)) * 40_000


class Cutter:
    """Stands between client and service, and cuts connections as it is told.

    Attributes:
        answers: for each connection to come, after how many bytes of answers it is cut; none: it is left alone.
        requests: likewise after how many bytes of requests.
        instead: what comes in place of the next answers, which the service gave, each then cut.
        made: how many connections were made.
    """

    def __init__(self, url: str, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        self._tls = tls
        parts = urlsplit(url)
        self._there = parts.hostname or "", parts.port or 0
        self._listener = socket.create_server(("127.0.0.1", port))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}{parts.path}"
        self.answers: list[int] = []
        self.requests: list[int] = []
        self.instead: list[bytes] = []
        self.made = 0
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._run)]
        self._threads[0].start()

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if self._tls is not None:
                    try:
                        near = self._tls.wrap_socket(near, server_side=True)
                    except OSError:
                        near.close()
                        continue
                far = socket.create_connection(self._there)
                self.made += 1
                self._open += [near, far]
                limits = [of.pop(0) if of else 1 << 60 for of in (self.requests, self.answers)]
                for source, target, limit, instead in (
                    (near, far, limits[0], []),
                    (far, near, limits[1], self.instead),
                ):
                    thread = threading.Thread(target=self._pump, args=(source, target, limit, instead))
                    self._threads.append(thread)
                    thread.start()

    def _pump(self, source: socket.socket, target: socket.socket, left: int, instead: list[bytes]) -> None:
        with suppress(OSError):
            while left > 0 and (data := source.recv(min(left, 1 << 16))):
                if instead:
                    target.sendall(instead.pop(0))
                    break
                target.sendall(data)
                left -= len(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def cut_all(self) -> None:
        """Cut what is open."""
        for end in self._open:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut_all()
        for thread in self._threads:
            thread.join(10)
        for end in self._open:
            end.close()


@pytest.fixture
def cutter(url: str) -> Iterator[Cutter]:
    found = Cutter(url)
    yield found
    found.close()


@pytest.fixture
def far(cutter: Cutter) -> Iterator[holdfast.Store]:
    """The store by way of the cutter."""
    with holdfast.open(cutter.url, timeout=1.5, cache="off") as store:
        yield store


def cut_next(cutter: Cutter, *, answers: int = 1 << 60, requests: int = 1 << 60) -> None:
    """Have the next request made over a new connection, which is cut after so many bytes."""
    cutter.answers.append(answers)
    cutter.requests.append(requests)
    cutter.cut_all()
    time.sleep(0.02)  # until the client can see it


def test_a_read_is_made_again(far: holdfast.Store, cutter: Cutter) -> None:
    far.namespace("a").put("key", {"b": 1})
    for count in (0, 1, 50, 200):
        cut_next(cutter, answers=count)
        made = cutter.made
        assert far.namespace("a").get("key") == {"b": 1}
        assert cutter.made == made + 2
    cut_next(cutter, requests=20)
    assert list(far.namespace("a").keys()) == ["key"]


@pytest.mark.parametrize("count", [1, 10, 150])
def test_a_write_whose_answer_is_lost_says_so(
    far: holdfast.Store, cutter: Cutter, own: holdfast.Store, count: int
) -> None:
    scope = far.namespace("a")
    scope.add("n", 1)
    for verb in (lambda: scope.put("key", 1), lambda: scope.add("n", 1), lambda: scope.delete("n")):
        cut_next(cutter, answers=count)
        with pytest.raises(StoreError, match="may or may not have been made"):
            verb()
    time.sleep(0.05)
    assert own.namespace("a").get("key") == 1
    assert "n" not in own.namespace("a")
    assert scope.add("n", 1).value == 1, "the connection is good again"


def test_a_write_that_was_cut_on_its_way_is_not_made(far: holdfast.Store, cutter: Cutter, own: holdfast.Store) -> None:
    cut_next(cutter, requests=300)
    with pytest.raises(StoreError, match="may or may not"):
        far.namespace("a").put("key", b"x" * 20_000)
    assert "key" not in own.namespace("a")


def test_connections_that_ended_unused_lose_nothing(far: holdfast.Store, cutter: Cutter) -> None:
    for number in range(5):
        far.namespace("a").put(f"k{number}", number)
        cutter.cut_all()
        time.sleep(0.02)
    assert list(far.namespace("a").keys()) == [f"k{number}" for number in range(5)]


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_a_proxy_answers_itself_is_not_taken_for_the_service(
    far: holdfast.Store, cutter: Cutter, own: holdfast.Store, status: int
) -> None:
    """It may have asked the service all the same, as one that lost its connection to it has."""
    scope, head = far.namespace("a"), b"HTTP/1.1 %d Odd\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    for told in (b"", b'{"error": {"code": "timeout", "message": "not done in 1 second"}}'):
        cutter.instead.append(head % (status, len(told)) + told)
        before = own.namespace("a").get("n", default=0)
        with pytest.raises(StoreError, match="may or may not have been made"):
            scope.add("n", 1)
        assert own.namespace("a").get("n") == before + 1
        cutter.instead.append(head % (status, 0))
        assert scope.get("n") == before + 1, "a read is made again"


def test_what_was_not_sent_is_sent_when_the_service_is_back(url: str, own: holdfast.Store) -> None:
    """Also what takes several buffers, and what comes as a stream."""
    many = np.arange(100_000), np.arange(100_001)
    with holdfast.open(url, timeout=10, cache="off") as store:  # whose shared rows are known by then
        store.namespace("a").put_many({"array": many, "value": LARGE})
    with _gone(url) as store:
        store.namespace("a").add("n", 1)
    with _gone(url) as store:
        store.namespace("a").put("many", many)
    for pieces in ([b"small"], [LARGE, LARGE]):
        with _gone(url) as store:
            config = _stream(store._kernel.storage, pieces)
            assert store._kernel.storage.read(config) == b"".join(pieces)
    there = own.namespace("a")
    assert there.get("n") == 1
    assert [len(array) for array in there.get("many")] == [100_000, 100_001]


def _stream(storage: Storage, pieces: list[bytes]) -> Any:
    with storage.writer({}) as writer:
        for piece in pieces:
            writer.write(piece)
        return writer.commit(lambda: (0, b""))


@contextmanager
def _gone(url: str) -> Iterator[holdfast.Store]:
    """A store whose service is away for the next tenth of a second."""
    cutter = Cutter(url)
    store = holdfast.open(cutter.url, timeout=10, cache="off")
    cutter.close()
    back: list[Cutter] = []
    timer = threading.Timer(0.1, lambda: back.append(Cutter(url, port=urlsplit(cutter.url).port or 0)))
    timer.start()
    try:
        with store:
            yield store
    finally:
        timer.join()
        back[0].close()


def test_what_the_service_says_within_a_stream_is_told(host: Behind, own: holdfast.Store) -> None:
    own.namespace("a").put("key", 1)
    token, _ = Tokens(own).create(scopes=["namespace:a"], allow=["read"])
    with (
        host.serving(own, loopback=False) as url,
        holdfast.open(url, token=token, cache="off") as store,
        pytest.raises(AccessError, match=r"opens .* to read: not .*write"),
    ):
        store.namespace("a").put_chunks("stream", (LARGE for _ in range(10)))


def test_a_connection_is_not_used_after_nonsense(far: holdfast.Store, cutter: Cutter) -> None:
    storage = far._kernel.storage
    for _ in range(2):
        cutter.instead.append(b"HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\n{{{{")
        with pytest.raises(StoreError, match="gave no place"):
            storage.write(Payload([b"bytes"], "text/plain"), lambda: (0, b""), {})
    config = storage.write(Payload([b"bytes"], "text/plain"), lambda: (0, b""), {})
    assert storage.read(config) == b"bytes"


def test_a_download_goes_on_where_it_was(far: holdfast.Store, cutter: Cutter, host: Behind) -> None:
    far.namespace("a").put("large", LARGE)
    for counts in ([3_000_000], [1, 100_000, 5_000_000]):
        cutter.answers += [1 << 60, *counts]
        cutter.cut_all()
        time.sleep(0.02)
        far.namespace("a").record("large")  # by a connection that is kept for the next request but one
        host.calls.clear()
        storage = far._kernel.storage
        config = far._kernel.catalog.find((("namespace", "a"),), "large")[0][12]
        far._kernel.catalog._channel.rest()  # type: ignore[attr-defined]
        storage.close()
        assert b"".join(storage.read_stream(json.loads(str(config)))) == LARGE
        assert host.calls.count("v1/bytes/1/read") == len(counts) + 1


def test_a_download_that_never_comes_ends(far: holdfast.Store, cutter: Cutter) -> None:
    far.namespace("a").put("large", LARGE)
    cutter.answers += [1 << 60] + [100] * 1000
    cutter.cut_all()
    time.sleep(0.02)
    with pytest.raises(StoreError):
        far.namespace("a").get("large")


def test_an_upload_that_breaks_stores_nothing(far: holdfast.Store, cutter: Cutter, own: holdfast.Store) -> None:
    folder = own._kernel.storage.root  # type: ignore[attr-defined]

    def pieces() -> Iterator[bytes]:
        for number in range(40):
            yield LARGE[:1_000_000]
            if number == 20:
                cutter.cut_all()

    with pytest.raises(StoreError, match="nothing of this stream was stored"):
        far.namespace("a").put_chunks("stream", pieces())
    assert "stream" not in own.namespace("a")
    deadline = time.monotonic() + 5
    while (left := [name for _, _, names in os.walk(folder) for name in names if name != "lock"]) and (
        time.monotonic() < deadline
    ):
        time.sleep(0.02)
    assert left == [], "what was sent stays"
    far.namespace("a").put("works", LARGE)


def test_a_value_whose_upload_breaks_is_sent_again(far: holdfast.Store, cutter: Cutter, own: holdfast.Store) -> None:
    far.namespace("a").put("first", LARGE)
    cutter.requests += [1 << 60, 1_000_000]  # the one that asks for the scope, and that of the bytes
    cutter.cut_all()
    time.sleep(0.02)
    far.namespace("a").put("large", LARGE[1:])
    assert own.namespace("a").get("large", verify=True) == LARGE[1:]


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for 127.0.0.1 that nobody knows, in one file."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test")])
    now, here = datetime.now(timezone.utc), x509.IPAddress(ip_address("127.0.0.1"))
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    made = made.add_extension(x509.SubjectAlternativeName([here]), critical=False)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    both = tmp_path_factory.mktemp("tls") / "both.pem"
    pem = serialization.Encoding.PEM
    plain = (serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    both.write_bytes(key.private_bytes(pem, *plain) + made.sign(key, hashes.SHA256()).public_bytes(pem))
    return both


def test_encrypted_connections(url: str, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    cutter = Cutter(url, context)
    secure = cutter.url.replace("http://", "https://")
    try:
        began = time.monotonic()
        with pytest.raises(StoreError, match=r"certificate.*SSL_CERT_FILE"):
            holdfast.open(secure, timeout=20)
        assert time.monotonic() - began < 5, "it was tried again, which cannot help"
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        with holdfast.open(secure, cache="off", timeout=3) as store:
            scope = store.namespace("a")
            made = cutter.made
            for number in range(10):
                scope.put(f"k{number}", number)
                assert scope.get(f"k{number}") == number
            scope.put("large", LARGE)
            assert scope.get("large") == LARGE
            assert cutter.made <= made + 1, "connections are not used again"
            assert in_child(lambda: scope.get("k1")) == 1
            assert scope.get("k2") == 2
            assert cutter.made <= made + 2
            with pytest.raises(StoreError, match=f"if it speaks TLS, try {secure}"):
                holdfast.open(cutter.url, timeout=0.2)  # without encryption
        began = time.monotonic()
        with pytest.raises(StoreError, match=f"; try {url}"):
            holdfast.open(url.replace("http://", "https://"))
        assert time.monotonic() - began < 2
    finally:
        cutter.close()


def test_a_crowded_service_is_waited_for(host: Behind, own: holdfast.Store) -> None:
    with host.serving(own, Limits(requests=0)) as url:
        began = time.monotonic()
        with pytest.raises(BusyError, match="requests at once"):
            holdfast.open(url, timeout=0.3)
        storage = HTTPStorage(f"{url}#{own._kernel.storage_id}", timeout=0.3)
        for pieces in ([b"small"], [LARGE, LARGE]):
            with pytest.raises(BusyError, match="requests at once"):
                _stream(storage, pieces)
        assert time.monotonic() - began < 5


def test_what_is_too_large_for_the_service(host: Behind, own: holdfast.Store) -> None:
    with host.serving(own, Limits(body=100_000)) as url, holdfast.open(url, cache="off") as store:
        scope = store.namespace("a")
        scope.put("key", b"x" * 50_000)
        for verb in (
            lambda: scope.put("key", LARGE),
            lambda: scope.put_chunks("key", [LARGE, LARGE]),
            lambda: scope.put_many({f"k{number}": b"x" * 20_000 for number in range(10)}),
        ):
            with pytest.raises((InvalidArgumentError, StoreError), match="more than the 100000 bytes"):
                verb()
        with pytest.raises(InvalidArgumentError, match="more than the 100000 bytes"):  # said long before it is sent
            Channel(url).ask("POST", "/catalog/put", bytes(100 << 20), timeout=5, again=False)
        assert list(scope.keys()) == ["key"]
        assert len(scope.get("key")) == 50_000


def test_many_threads_share_few_connections(url: str, cutter: Cutter) -> None:
    with holdfast.open(cutter.url, cache="off") as store:

        def work(number: int) -> None:
            for turn in range(10):
                store.namespace("a").put(f"{number}/{turn}", turn)
                assert store.namespace("a").get(f"{number}/{turn}") == turn

        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(list(store.namespace("a").keys())) == 60
    assert cutter.made <= 20


def _connections_to(cutter: Cutter) -> int:
    """How many this process has as its client."""
    gc.collect()
    port = f":{urlsplit(cutter.url).port:04X}"
    rows = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    there = {f"socket:[{row[9]}]" for row in rows if row[2].endswith(port)}
    found = 0
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            found += os.readlink(f"/proc/self/fd/{number}") in there
    return found


def test_nothing_stays_open(cutter: Cutter, own: holdfast.Store) -> None:
    for _ in range(2):
        with holdfast.open(cutter.url, cache="off") as store:
            store.namespace("a").put("large", LARGE)
            next(iter(store.namespace("a").get_chunks("large")))
            store._kernel.storage.writer({}).abort()
            writer = store._kernel.storage.writer({})
            writer.write(b"x" * 1_000_000)
            assert _connections_to(cutter) >= 2
            writer.abort()
            storage = storage_at(cutter.url, own)
            next(storage.read_stream(_config(store)))
            storage.close()
    assert _connections_to(cutter) == 0


def _config(store: holdfast.Store) -> Any:
    return json.loads(store._kernel.catalog.find((("namespace", "a"),), "large")[0][12])
