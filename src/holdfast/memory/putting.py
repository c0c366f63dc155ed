"""Putting a value into a memory.

Small ones lie in the catalog all the same; what makes them end is the session that their record names.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from hashlib import sha256
from typing import Any

from ..address import Path
from ..catalog.base import Ledger, NewBlob, Put
from ..errors import BusyError, InvalidArgumentError, StorageFullError, StoreError
from ..hashing import NONE
from ..kernel import Kernel
from ..model import EPHEMERAL, KEPT, Codec, Record
from ..options import Plan
from ..payload import Payload
from ..steps import Steps, Transfer
from ..storages.ephemeral import EphemeralStorage
from ..writing import Encoded, commit_put, place_text, prepare, put_inline
from . import in_force
from .sessions import session_of

__all__ = ["begin_in_memory", "hold_memory", "memory_of", "put_in_memory", "tidy"]

_INLINE = 32768  # bytes up to which a row is cheaper than a piece of memory, also where all values lie in the catalog
_MANY = 100  # pieces deleted at a time
_PAUSE = 0.5  # seconds between two looks for what else may be deleted
_KEPT_TYPE = "application/vnd.holdfast.kept"


def memory_of(kernel: Kernel, nearby: str | None = None) -> tuple[int, EphemeralStorage]:
    """The memory of that name, by default the one that is in force, with its number."""
    return kernel.memory(f"holdfast.{nearby or in_force.get() or kernel.config.memory}@v1")


def begin_in_memory(kernel: Kernel, ledger: Ledger) -> tuple[int, str]:
    """The number of the memory in force, and the session that records in it are to name.

    Raises:
        InvalidArgumentError: in a transaction.
        StoreError, MissingExtraError: there is no such memory here.
    """
    if ledger is not kernel.catalog:
        raise InvalidArgumentError("what a transaction writes is durable: put into a memory outside of it")
    number, memory = memory_of(kernel)
    session = session_of(memory)
    kernel.sessions.used = True
    return number, session


def hold_memory(kernel: Kernel, nearby: str) -> None:
    """Be part of a memory's session from now on: what others put there lasts although they end.

    Raises:
        StoreError, MissingExtraError: there is no such memory here.
    """
    memory_of(kernel, nearby)[1].session()


def put_in_memory(
    kernel: Kernel, ledger: Ledger, path: Path, key: str, value: Any, plan: Plan
) -> Steps[Record | Encoded]:
    """Store a value in the memory in force, and give its record; where there is no room for it, and the plan allows it
    to go elsewhere, its bytes.

    Raises:
        InvalidArgumentError, StoreError, MissingExtraError: see :func:`begin_in_memory`.
        StorageFullError: there is no room.
        EncodeError: the value cannot be stored.
    """
    number, session = begin_in_memory(kernel, ledger)
    memory = memory_of(kernel)[1]
    kept = yield Transfer(memory, "keep", (value,), {})
    if kept is not None:
        codec = kernel.codec_ids[Codec(KEPT, plan.content_type or _KEPT_TYPE)]
        encoded = Encoded(codec, (), 0, None, None)
    else:
        encoded, integer = prepare(kernel, value, plan)
        if integer is not None or encoded.size <= min(kernel.inline, _INLINE):
            return put_inline(kernel, ledger, path, key, encoded, integer, plan._replace(power=False), session=session)
        try:
            kept = yield from _write(kernel, number, encoded, plan)
        except StorageFullError:
            if plan.tier == "auto":
                return encoded
            raise
    place = place_text(kept)
    signature = encoded.sign(kernel, NONE, sha256(place.encode()).digest())
    session = session_of(memory)  # as of now: where its folder was removed meanwhile it is another one
    change = Put(
        path, key, encoded.codec, NONE, None, encoded.size, None, NewBlob(number, place, True), encoded.config,
        signature, plan.tags, plan.expires, EPHEMERAL, session, plan.if_version,
    )  # fmt: skip
    record = commit_put(kernel, ledger, change, plan, None)
    tidy(kernel, number)
    return record


def _write(kernel: Kernel, number: int, encoded: Encoded, plan: Plan) -> Steps[Any]:
    """Write bytes to a memory, where what nobody needs any more makes room if need be, and give their config."""
    payload = Payload(encoded.buffers, *kernel.catalog.codec(encoded.codec)[1:])
    given = (payload, _not_hashed, json.loads(plan.tags or "{}"))
    write = Transfer(kernel.storage_of(number), "write", given, {"lasting": plan.tier == "auto"})
    try:
        return (yield write)
    except StorageFullError:
        tidy(kernel, number, thorough=True)
    return (yield write)


def _not_hashed() -> tuple[int, bytes]:
    return NONE, b""


def tidy(kernel: Kernel, number: int, *, thorough: bool = False) -> None:
    """Delete what no record needs any more from a memory: its room is short, and it has no disk to wait for. With
    ``thorough``, and else now and then, also what expired, was dropped, or belonged to an object. A put that is
    committed does not fail by it."""
    memory, now = kernel.storage_of(number), time.monotonic()
    with suppress(BusyError, StoreError):  # then it is garbage as before, for the next put, or the collector
        if thorough or now > kernel.swept + _PAUSE:
            kernel.swept = now
            kernel.catalog.sweep()
        while gone := kernel.catalog.garbage(_MANY, number):
            memory.delete_many([json.loads(blob.config) for blob in gone])
            kernel.catalog.forget([blob.id for blob in gone])
