"""Pieces to workers, from workers, and away from them; all of it runs on a client's loop.

Each piece is a key of the scheduler's, wanted by a client called ``holdfast`` that never was connected: so it stays
when whoever put it has ended, as Dask's own published datasets do, and goes when that client does not want it any
more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from ...errors import StoreError, ValueLost
from ...payload import Buffer
from .configs import Config
from .connection import TIMEOUT, Link
from .probe import listens

__all__ = ["hold", "let_go", "place", "release", "standing", "take"]

_HOLDER = "holdfast"
_TRIES = 3
_RELEASED = 5.0
"""Seconds that a scheduler may take to forget a key; what is released is released."""


async def place(link: Link, key: str, buffers: Sequence[Buffer], size: int) -> str:
    """Give buffers to a worker, and its address. They may be changed when this returns.

    Raises:
        StorageFullError: no worker has room.
    """
    from .piece import Piece

    own = _address(link.worker)
    choices = await link.room.choose(link.client, size, own, TIMEOUT)
    for number, address in enumerate(choices[:_TRIES], 1):
        inside = address == own or link.inside
        piece = Piece.of(buffers, copied=inside)
        try:
            await _send(link, address, address == own, key, piece, size)
        except (OSError, KeyError) as error:  # the worker has gone, and the scheduler may know it already
            link.room.forget()
            if number >= min(_TRIES, len(choices)):
                raise StoreError(
                    f"the worker {address} went away while it was given {size} bytes, which may be more than it can "
                    f"hold ({type(error).__name__}: {error})"
                ) from error
        else:
            return address
    raise AssertionError("a list of choices is never empty")


async def _send(link: Link, address: str, own: bool, key: str, piece: Any, size: int) -> None:
    from .piece import packed

    client = link.client
    if not own and not (link.direct and await _reaches(link, address)):
        await client.scheduler.scatter(
            data={key: packed(piece)}, workers=[address], client=_HOLDER, timeout=TIMEOUT / 2
        )
        return
    try:
        if own:
            link.worker.update_data(data={key: piece})
        else:
            await client.rpc(address).update_data(data={key: packed(piece)})
        await client.scheduler.update_data(who_has={key: [address]}, nbytes={key: size}, client=_HOLDER)
    except BaseException:
        with suppress(Exception):  # the scheduler does not know of it, so nobody else would free it
            await asyncio.wait_for(client.rpc(address).free_keys(keys=[key], stimulus_id="holdfast-given-up"), 2)
        raise


def _address(worker: Any) -> str | None:
    return None if worker is None else worker.contact_address or worker.address


async def _reaches(link: Link, address: str) -> bool:
    """Whether a worker can be talked to.

    Raises:
        ConnectionRefusedError: nothing listens there any more.
    """
    if link.inside or link.client.rpc.available.get(address) or link.client.rpc.occupied.get(address):
        return True
    answer = await asyncio.to_thread(listens, address)  # Dask itself would try for half a minute
    if answer is False:
        raise ConnectionRefusedError(f"nothing listens at {address}")
    if answer is None and link.client.direct_to_workers is None:
        link.go_round()
        return False
    return True


async def take(link: Link, config: Config, key: str) -> tuple[Any, bool]:
    """A piece, and whether it is the caller's own: if not, others have the same memory.

    Raises:
        ValueLost: no worker has it.
    """
    worker = link.worker
    if worker is not None and key in worker.data:
        return worker.data[key], False
    deadline = time.monotonic() + TIMEOUT
    while True:
        holders = (await link.client.scheduler.who_has(keys=[key]))[key]
        if not holders:
            raise await _lost(link, config)
        found = await _ask(link, key, holders)
        if found is not None:
            return found, not link.inside
        if time.monotonic() > deadline:
            raise StoreError(f"{', '.join(holders)}, which should have the bytes of {config}, does not give them")
        await asyncio.sleep(0.1)


async def _ask(link: Link, key: str, holders: Sequence[str]) -> Any:
    """The piece of a key; None if none of these workers gives it now."""
    from distributed.utils_comm import gather_from_workers

    reachable = []
    for address in holders if link.direct else ():
        with suppress(ConnectionRefusedError):
            if await _reaches(link, address):
                reachable.append(address)
    if reachable:
        found, *_ = await gather_from_workers({key: reachable}, rpc=link.client.rpc, who=link.client.id)
        return found.get(key)
    if link.direct:
        return None
    reply = await link.client.scheduler.gather(keys=[key])
    return reply["data"][key] if reply["status"] == "OK" else None


async def _lost(link: Link, config: Config) -> ValueLost:
    """The error that says, as far as can be known, why nobody has the bytes of a config."""
    workers = (await link.client.scheduler.identity())["workers"]
    if config.worker and config.worker not in workers:
        return ValueLost(
            f"the bytes of {config} are gone: the worker {config.worker}, which had the only copy, has ended (killed, "
            "out of memory, or restarted), or they were removed before"
        )
    return ValueLost(f"the bytes of {config} are gone: they were removed, or a worker that had the only copy has ended")


async def standing(link: Link, keys: Sequence[str]) -> set[str]:
    """Those of the keys that a worker has."""
    found = await link.client.scheduler.who_has(keys=list(keys))
    return {key for key, workers in found.items() if workers}


async def release(link: Link, keys: Sequence[str]) -> None:
    """Want keys no more, and wait until the scheduler has forgotten them, or knows that somebody reads them."""
    _tell(link, "client-desires-keys", [], _HOLDER)  # a client that it does not know it could not have release any
    for start in range(0, len(keys), 10_000):
        some = list(keys[start : start + 10_000])
        _tell(link, "client-releases-keys", some, _HOLDER)
        deadline = time.monotonic() + _RELEASED
        pause = 0.001
        while (set(some) & await standing(link, some)) - set(link.held) and time.monotonic() < deadline:
            await asyncio.sleep(pause)
            pause = min(2 * pause, 0.1)


async def hold(link: Link, keys: Sequence[str]) -> None:
    """Keep keys for a reader, whoever deletes them; they go with its process at the latest."""
    link.held.update(keys)
    _tell(link, "client-desires-keys", list(keys), link.client.id)


def let_go(link: Link, keys: Sequence[str]) -> None:
    """The end of :func:`hold`."""
    link.held.subtract(keys)
    free = [key for key in keys if link.held[key] <= 0]
    for key in free:
        del link.held[key]
    with suppress(OSError):  # who lost the connection holds nothing more
        _tell(link, "client-releases-keys", free, link.client.id)


def _tell(link: Link, operation: str, keys: list[str], client: str) -> None:
    """Send a message on the client's stream, whose name of a client goes before its own."""
    comm = link.client.scheduler_comm
    if comm is None:
        raise ConnectionError("the connection to the scheduler is lost")
    comm.send({"op": operation, "keys": keys, "client": client})
