"""VIKTOR's File: behaviour V12. What a server gives comes from a real one, on this machine's own address."""

from __future__ import annotations

import gc
import io
import os
import pickle
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast import InvalidArgumentError, NotFoundError, StoreError
from holdfast.compat.viktor import File, Storage
from holdfast.compat.viktor.errors import MissingFileError

from .jobs import python

TYPE = File.SourceType
LARGE = bytes(range(256)) * 20_000


class Server(ThreadingHTTPServer):
    """Gives LARGE at /large and says what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.other = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers)))
        name = self.path.strip("/")
        getattr(self, f"give_{name}", self.give_nothing)()

    def _head(self, code: int, **headers: str) -> None:
        self.send_response(code)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()

    def give_nothing(self) -> None:
        self._head(404, Content_Length="0")

    def give_trouble(self) -> None:
        self._head(503, Content_Length="0")

    def give_large(self) -> None:
        self._head(200, Content_Length=str(len(LARGE)))
        self.wfile.write(LARGE)

    def give_empty(self) -> None:
        self._head(200, Content_Length="0")

    def give_text(self) -> None:
        self._head(200, Content_Length="6")
        self.wfile.write("é\r\nb".encode() + b"c")

    def give_chunked(self) -> None:
        self._head(200, Transfer_Encoding="chunked")
        for _ in range(2):
            self.wfile.write(b"5\r\nabcde\r\n")
        self.wfile.write(b"0\r\n\r\n")

    def give_torn(self) -> None:
        self._head(200, Content_Length=str(len(LARGE)), Connection="close")
        self.wfile.write(LARGE[:100_000])
        self.close_connection = True

    def give_tornchunked(self) -> None:
        self._head(200, Transfer_Encoding="chunked", Connection="close")
        self.wfile.write(b"5\r\nabcde\r\n")
        self.close_connection = True

    def give_moved(self) -> None:
        self._head(302, Location=f"{self.server.other}/large", Content_Length="0")

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _serve() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    yield from _serve()


@pytest.fixture
def other() -> Iterator[Server]:
    yield from _serve()


def test_v12_from_data() -> None:
    for data, content in (("é\n", "é\n".encode()), (b"\x00\xff", b"\x00\xff"), ("", b""), (bytearray(b"x"), b"x")):
        file = File.from_data(data)  # type: ignore[arg-type]
        assert file.getvalue_binary() == file.open_binary().read() == content
        assert (file.source, file.source_type, file.writable) == (None, TYPE.DATA, False)
    file = File.from_data("é\nb")
    assert file.getvalue() == file.getvalue() == "é\nb"
    assert file.getvalue("latin-1") == "Ã©\nb"
    with file.open() as text:
        assert text.readline() == "é\n"
        assert text.read() == "b"
    with pytest.raises(UnicodeDecodeError):
        File.from_data(b"\xff").getvalue()
    with file.open_binary() as binary:
        assert binary.read(2) == "é".encode()
        binary.seek(0)
        assert len(binary.read()) == 4
        with pytest.raises(io.UnsupportedOperation):
            binary.write(b"x")
    for data in (None, 3, ["a"]):  # type: ignore[assignment]
        with pytest.raises(InvalidArgumentError, match="text or bytes"):
            File.from_data(data)  # type: ignore[arg-type]
    for call in (file.open, file.getvalue):
        with pytest.raises(InvalidArgumentError, match="no-such"):
            call("no-such")


def test_v12_from_path(tmp_path: Path) -> None:
    path = tmp_path / "a b"
    path.write_bytes("é\r\nb".encode())
    for given in (path, str(path), os.fsencode(path)):
        file = File.from_path(given)
        assert (file.source, file.source_type, file.writable) == (str(path), TYPE.PATH, False)
        assert file.getvalue() == "é\nb"
        assert file.getvalue_binary() == "é\r\nb".encode()
        with file.open() as text:
            assert text.read() == "é\nb"
    with file.open_binary() as binary, pytest.raises(io.UnsupportedOperation):
        binary.write(b"x")
    with pytest.raises(MissingFileError, match="no file"):
        File.from_path(tmp_path / "none")
    for odd in (tmp_path, str(tmp_path / "none")):
        with pytest.raises(FileNotFoundError):
            File.from_path(odd)
    for bad in (None, 3, "", "a\0b"):
        with pytest.raises(InvalidArgumentError, match="must name a file"):
            File.from_path(bad)  # type: ignore[arg-type]
    path.unlink()
    for call in (file.open, file.open_binary, file.getvalue, file.getvalue_binary, file.copy):
        with pytest.raises(FileNotFoundError):
            call()


def test_v12_from_url(server: Server) -> None:
    file = File.from_url(f"{server.url}/large", headers={"X-Key": "secret"})
    assert (file.source, file.source_type, file.writable) == (f"{server.url}/large", TYPE.URL, False)
    assert server.asked == []
    assert file.getvalue_binary() == LARGE
    with file.open_binary() as binary:
        assert binary.read(100) == LARGE[:100]
        assert binary.read() == LARGE[100:]
        assert binary.read() == b""
    assert [(path, headers["X-Key"]) for path, headers in server.asked] == [("/large", "secret")] * 2
    text = File.from_url(f"{server.url}/text")
    assert text.getvalue() == "é\nbc"
    with text.open("latin-1") as opened:
        assert opened.read(1) == "Ã"
    assert File.from_url(f"{server.url}/chunked").getvalue() == "abcde" * 2
    assert File.from_url(f"{server.url}/empty").getvalue_binary() == b""


def test_v12_what_a_server_does_wrong_is_an_error(server: Server, store: holdfast.Store) -> None:
    for name in ("torn", "tornchunked"):
        file = File.from_url(f"{server.url}/{name}")
        with store.context(workspace="w"):
            for call in (
                file.getvalue_binary,
                file.copy,
                lambda file=file: Storage().set("k", file, scope="workspace"),
            ):
                with pytest.raises(StoreError, match="cannot be read"):
                    call()
            assert Storage().list(scope="workspace") == {}
    with pytest.raises(FileNotFoundError, match="404 Not Found") as caught:
        File.from_url(f"{server.url}/none").open()
    assert isinstance(caught.value, NotFoundError)
    with pytest.raises(StoreError, match="503 Service Unavailable"):
        File.from_url(f"{server.url}/trouble").getvalue()
    for url in ("http://127.0.0.1:1/none", "http://[bad", "http://"):
        with pytest.raises(StoreError, match="cannot be read"):
            File.from_url(url).open_binary()
    bad: Any
    for bad in ("ftp://host/file", "file:///etc/passwd", "/etc/passwd", "", None, 3):
        with pytest.raises(InvalidArgumentError, match="http"):
            File.from_url(bad)
    for bad in ({"a": 1}, {1: "a"}):
        with pytest.raises(InvalidArgumentError, match="headers"):
            File.from_url("http://host", headers=bad)
    with pytest.raises(StoreError, match="cannot be read"):
        File.from_url("http://127.0.0.1:1/", headers={"a": "b\r\nc: d"}).open()


def test_v12_headers_stay_with_the_server_they_are_for(server: Server, other: Server) -> None:
    server.other = other.url
    assert File.from_url(f"{server.url}/moved", headers={"Authorization": "secret"}).getvalue_binary() == LARGE
    assert server.asked[0][1]["Authorization"] == "secret"
    assert [path for path, headers in other.asked if "Authorization" not in headers] == ["/large"]


def test_v12_a_url_goes_into_the_store_in_pieces(server: Server, store: holdfast.Store) -> None:
    with store.context(workspace="w"):
        Storage().set("k", File.from_url(f"{server.url}/large"), scope="workspace")
        assert Storage().get("k", scope="workspace").getvalue_binary() == LARGE
    assert [path for path, _ in server.asked] == ["/large"]


def test_v12_writable() -> None:
    file = File()
    assert (file.source_type, file.writable) == (TYPE.WRITABLE, True)
    assert file.source is not None
    path = Path(file.source)
    assert path.read_bytes() == file.getvalue_binary() == b""
    with file.open() as text:
        text.write("é\n")
    with file.open_binary() as binary:
        binary.write(b"two")
        binary.seek(0)
        assert binary.read() == "é\ntwo".encode()
    with file.open("latin-1") as text:
        text.write("é")
        text.seek(0)
        assert text.read(2) == "Ã©"
    assert file.getvalue_binary() == path.read_bytes() == "é\ntwo".encode() + b"\xe9"
    del file, text, binary
    gc.collect()
    assert not path.exists()


def test_v12_what_writes_back_and_forth_can_write_it() -> None:
    file = File()
    with file.open_binary() as binary, zipfile.ZipFile(binary, "w") as archive:
        archive.writestr("a", "first")
        archive.writestr("b", "second")
    with zipfile.ZipFile(io.BytesIO(file.getvalue_binary())) as archive:
        assert archive.testzip() is None
        assert archive.read("b") == b"second"


def test_v12_copy(server: Server, tmp_path: Path, store: holdfast.Store) -> None:
    (tmp_path / "a").write_bytes(LARGE)
    written = File()
    with written.open_binary() as binary:
        binary.write(LARGE)
    with store.context(workspace="w"):
        Storage().set("k", written, scope="workspace")
        stored = Storage().get("k", scope="workspace")
    url = File.from_url(f"{server.url}/large")
    for file in (File.from_data(LARGE), File.from_path(tmp_path / "a"), url, written, stored):
        readable, writable = file.copy(), file.copy(writable=True)
        assert (readable.source_type, readable.writable) == (TYPE.PATH, False)
        assert (writable.source_type, writable.writable) == (TYPE.WRITABLE, True)
        assert len({file.source, readable.source, writable.source}) == 3
        with writable.open_binary() as binary:
            binary.write(b"more")
        assert writable.getvalue_binary() == LARGE + b"more"
        assert readable.getvalue_binary() == readable.getvalue_binary() == file.getvalue_binary() == LARGE
        with readable.open_binary() as binary, pytest.raises(io.UnsupportedOperation):
            binary.write(b"x")


def test_v12_a_file_of_the_store(store: holdfast.Store) -> None:
    with store.context(workspace="w", entity="Span.A1"):
        for content in ("é\r\nsmall", "é\r\nlarge" * 100_000):
            Storage().set("k", File.from_data(content), scope="entity")
            file = Storage().get("k", scope="entity")
            assert (file.source_type, file.writable) == (TYPE.URL, False)
            assert file.source == "holdfast://workspace:w/entity:Span.A1/k"
            assert file.getvalue_binary() == content.encode()
            assert file.getvalue() == content.replace("\r", "")
            assert file.getvalue("latin-1")[0] == "Ã"
            with file.open() as text:
                assert text.readline() == "é\n"
            with file.open_binary() as binary:
                binary.seek(-5, os.SEEK_END)
                assert binary.read() == content[-5:].encode()
                with pytest.raises(io.UnsupportedOperation):
                    binary.write(b"x")
            again: File = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(file))))
            assert again.getvalue_binary() == content.encode()
        Storage().set("k", File.from_data("newer"), scope="entity")
        assert file.getvalue() == "newer"


def test_v12_a_file_goes_to_another_process(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    written = File()
    for file in (File.from_data("x"), File.from_path(tmp_path / "a"), File.from_url(f"{server.url}/text"), written):
        other: File = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(file))))
        assert (other.source, other.source_type, other.writable) == (file.source, file.source_type, file.writable)
        assert other.getvalue_binary() == file.getvalue_binary()


def test_v12_a_file_has_one_source(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    assert File(data="x").getvalue() == File(path=tmp_path / "a").getvalue() == "x"
    assert File(url="http://host").source_type is TYPE.URL
    with pytest.raises(InvalidArgumentError, match="one source"):
        File(data="x", path=tmp_path / "a")


FORKS = """
import os, sys
from holdfast.compat.viktor import File
file = File()
copied = File.from_data("x").copy()
if not os.fork():
    sys.exit(0)
os.wait()
assert os.path.exists(file.source) and copied.getvalue() == "x"
print(file.source, copied.source)
"""


def test_v12_temporary_files_end_with_their_process_and_not_with_its_forks() -> None:
    paths = python("-c", FORKS).stdout.split()
    assert len(paths) == 2
    assert not any(map(os.path.exists, paths))
