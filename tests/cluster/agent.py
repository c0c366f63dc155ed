"""The process of a host: becomes another machine, then does what it is told. See :class:`tests.cluster.hosts.Host`."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from holdfast.errors import HoldfastError
from holdfast.storages import places

from . import deeds
from .hosts import picklable

BOOT = "/proc/sys/kernel/random/boot_id"
MACHINE = ("/etc/machine-id", "/var/lib/dbus/machine-id")


def become(name: str, own: Path, seen: Path) -> None:
    """Be the host of a name."""
    machine, boot = (own / "machine").read_text().strip(), (own / "boot").read_text().strip()
    if own == seen:  # no namespaces
        places._MACHINE, places._BOOT = (str(own / "machine"),) * 2, str(own / "boot")
    else:
        socket.sethostname(name)
        pairs = [(own / "machine", path) for path in MACHINE if os.path.exists(path)]
        for source, target in [*pairs, (own / "boot", BOOT), (own, seen)]:
            subprocess.run(["mount", "--bind", str(source), str(target)], check=True)
        assert os.uname().nodename == name
    if own == seen or pairs:
        assert places.machine_id() == machine
    assert places.boot_id() == boot
    os.chdir(seen / f"{name}-work")
    siblings = os.listdir(seen)
    assert own == seen or all(other.startswith((f"{name}-", "machine", "boot", "clock")) for other in siblings)


def serve(connection: Connection) -> None:
    """Do each deed in a thread of its own, until told to end."""
    lock = threading.Lock()

    def do(number: int, deed: Any, args: Any, kwargs: Any) -> None:
        try:
            answer = (number, False, deed(*args, **kwargs))
        except BaseException as error:
            if not isinstance(error, HoldfastError):
                error.add_note("there:\n" + traceback.format_exc())
            answer = (number, True, picklable(error))
        with lock:
            connection.send(answer)

    while True:
        try:
            told = connection.recv()
        except EOFError:
            os._exit(1)  # the test is gone
        if told is None:
            deeds.close()
            return
        threading.Thread(target=do, args=told, daemon=True).start()


if __name__ == "__main__":
    become(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
    serve(Connection(int(sys.argv[1])))
