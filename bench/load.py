"""Load for a server of HTTP/1.1: many raw sockets and one ``epoll``, some 10 µs of CPU a request, so that it is the
server that is measured."""

from __future__ import annotations

import select
import socket
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["Load", "load", "receive", "send"]

_PIECE = 1 << 20
_PATIENCE = 30.0  # seconds without any answer


class Load(NamedTuple):
    """What came of it.

    Attributes:
        rate: answers a second.
        p50, p99: milliseconds until an answer was there.
        errors: answers with another status than 2xx, and connections that broke.
    """

    rate: float
    p50: float
    p99: float
    errors: int


class _Link:
    def __init__(self, address: tuple[str, int], number: int) -> None:
        self.number, self.count = number, 0
        self.began = 0.0
        self.data = b""
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def complete(self) -> bool:
        """Whether the whole answer is there."""
        end = self.data.find(b"\r\n\r\n")
        if end < 0:
            return False
        at = self.data.find(b"content-length: ", 0, end)
        size = 0 if at < 0 else int(self.data[at + 16 : self.data.find(b"\r", at)])
        return len(self.data) >= end + 4 + size


def load(address: tuple[str, int], request: Callable[[int, int], bytes], clients: int, seconds: float) -> Load:
    """Have so many clients ask again as soon as they are answered.

    Args:
        address: host and port.
        request: the bytes that a client sends, by its number and how often it has asked before.
        clients: connections.
        seconds: how long.
    """
    waiter = select.epoll()
    links: dict[int, _Link] = {}
    times: list[float] = []
    errors = 0
    clock = time.perf_counter
    for number in range(clients):
        link = _Link(address, number)
        links[link.socket.fileno()] = link
        waiter.register(link.socket, select.EPOLLIN)
    begin = clock()
    for link in links.values():
        link.began = clock()
        link.socket.sendall(request(link.number, 0))
    end = begin + seconds
    open_links = len(links)
    while open_links:
        found = waiter.poll(_PATIENCE)
        if not found:
            errors += open_links
            break
        for descriptor, _ in found:
            link = links[descriptor]
            piece = link.socket.recv(_PIECE)
            link.data = link.data + piece if link.data else piece
            if piece and not link.complete():
                continue
            now = clock()
            if piece and link.data[9:10] == b"2":
                times.append(now - link.began)
            else:
                errors += 1
            if not piece or now > end:
                waiter.unregister(descriptor)
                link.socket.close()
                open_links -= 1
                continue
            link.count += 1
            link.data, link.began = b"", clock()
            link.socket.sendall(request(link.number, link.count))
    took = clock() - begin
    waiter.close()
    milliseconds = sorted(took * 1e3 for took in times) or [0.0]
    p99 = milliseconds[min(len(milliseconds) - 1, len(milliseconds) * 99 // 100)]
    return Load(len(times) / took, statistics.median(milliseconds), p99, errors)


def receive(address: tuple[str, int], head: bytes) -> tuple[int, float]:
    """Send the head of a request and take its answer: how many bytes of body came, and the seconds that it took."""
    buffer = bytearray(_PIECE)
    with socket.create_connection(address, timeout=_PATIENCE) as link:
        begin = time.perf_counter()
        link.sendall(head)
        data = b""
        while b"\r\n\r\n" not in data:
            data += link.recv(_PIECE)
        answer, _, rest = data.partition(b"\r\n\r\n")
        size = int(answer.lower().split(b"content-length: ")[1].split(b"\r")[0])
        got = len(rest)
        while got < size and (count := link.recv_into(buffer)):
            got += count
        return got, time.perf_counter() - begin


def send(address: tuple[str, int], head: bytes, piece: bytes, times: int) -> tuple[bytes, float]:
    """Send the head of a request and its body, a piece several times: the status of the answer, and the seconds."""
    with socket.create_connection(address, timeout=120) as link:
        begin = time.perf_counter()
        link.sendall(head)
        for _ in range(times):
            link.sendall(piece)
        answer = link.recv(_PIECE)
        return answer[9:12], time.perf_counter() - begin
