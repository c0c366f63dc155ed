"""Whether somebody listens at an address is told at once."""

from __future__ import annotations

import socket

import pytest

from holdfast.storages.dialing import dial
from holdfast.testing.ports import free_port


@pytest.mark.parametrize("address", ["127.0.0.1:{}", "tcp://127.0.0.1:{}", "localhost:{}"])
def test_somebody_listens(address: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with dial(address.format(port), 5) as connection:
            assert connection.getpeername() == ("127.0.0.1", port)


@pytest.mark.parametrize("address", ["127.0.0.1", "tcp://127.0.0.1"])
def test_an_address_without_a_port(address: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        dial(address, 5, server.getsockname()[1]).close()


def test_a_host_in_brackets() -> None:
    try:
        server = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:  # a machine without IPv6: the brackets go all the same
        with pytest.raises(OSError, match=r"^(?!it is no address)"):
            dial("[::1]:9", 5)
        return
    with server:
        port = server.getsockname()[1]
        dial(f"tcp://[::1]:{port}", 5).close()
        dial("[::1]", 5, port).close()


def test_nobody_listens() -> None:
    with pytest.raises(ConnectionRefusedError):
        dial(f"127.0.0.1:{free_port()}", 5)


@pytest.mark.parametrize(
    "address", ["", "nowhere", "host:", ":80", "host:port", "host:-1", "127.0.0.1:70000", "a" * 70 + ".b:1"]
)
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(OSError) as caught:
        dial(address, 5)
    assert not isinstance(caught.value, ConnectionRefusedError)
