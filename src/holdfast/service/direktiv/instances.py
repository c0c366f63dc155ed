"""Instances of flows: started, waited for, looked at, cancelled and gone on with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import chain, islice
from time import monotonic
from typing import Any, TypeVar

from ...api import Scope
from ...flows.failures import Codes
from ...flows.instances import InstanceInfo, Instances, LogLine
from ...flows.json_text import encode
from ...flows.record import CANCELLED, COMPLETE, CRASHED, FAILED, PENDING, text_in
from ..answer import JSON, Answer, json_answer
from ..base import ClientDisconnected, Exchange, Service
from ..flows import UNREADABLE, recorded
from ..problems import Refusal, public_text
from .answers import DONE, answer_with, base64, data_answer, page_answer, stamp, too_large
from .bodies import InstanceChange, number, parse_uuid, query, read
from .namespaces import namespace_of
from .problems import Problem, invalid
from .selection import limit_of, selection_of

__all__ = ["create", "delete", "get", "listing", "logs", "metadata", "output", "update"]

T = TypeVar("T")

_BAD_ID = "instance id is invalid uuid string"
_MARGIN = 0.9  # of the time that a request may take: after it, who waits is told that the instance goes on
_HEADER = 1000  # characters of a message in a header field
_LEVELS = {"info": "INFO", "warning": "WARN", "error": "ERROR"}
_STATUS = {COMPLETE: "completed", FAILED: "error", CRASHED: "error", CANCELLED: "error", PENDING: "running"}


# --- running ----------------------------------------------------------------------------------------------------------


async def create(exchange: Exchange) -> Answer:
    """Start an instance of a workflow with the body as its input; with ``wait=true`` its output is the answer."""
    namespace = await namespace_of(exchange, "write")
    exchange.need("read", namespace.path)
    path, given = query(exchange, "path"), await exchange.body()
    if not path.strip("/"):
        raise invalid("query param path invalid file path")
    service, loop = exchange.service, asyncio.get_running_loop()
    ended: asyncio.Future[str] = loop.create_future()

    def end(status: str) -> None:
        if not ended.done():
            ended.set_result(status)

    def tell(status: str) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(end, status)

    id = await service.driver.away(partial(service.flows.start, namespace, path, given, tell))
    given = b""
    exchange.release()
    mark = (b"direktiv-instance-id", id.encode())
    if query(exchange, "wait") != "true":
        answer = await answer_with(exchange, partial(_one, service, namespace, id))
        return answer._replace(headers=[*answer.headers, mark])
    await _wait(exchange, id, ended, mark)
    exchange.access = await service.sign_in(exchange)
    exchange.need("read", namespace.path)
    answer = await service.driver.away(partial(_result, service, namespace, id, mark))
    assert isinstance(answer.body, bytes)
    try:
        exchange.hold(len(answer.body))
    except Refusal:  # which says that nothing was done
        raise _later(id, "has ended, and there is no room for its output now", mark) from None
    return answer


async def _wait(exchange: Exchange, id: str, ended: asyncio.Future[str], mark: tuple[bytes, bytes]) -> None:
    """Wait for the end of an instance, but not longer than a request may take, and not for a client that has gone."""
    seconds = _MARGIN * exchange.service.limits.request_time - (monotonic() - exchange.began)
    waiting: list[asyncio.Future[Any]] = [ended, exchange.leaving]
    await asyncio.wait(waiting, timeout=max(0.0, seconds), return_when=asyncio.FIRST_COMPLETED)
    if ended.done():
        return
    if exchange.leaving.done():
        raise ClientDisconnected
    raise _later(id, "goes on", mark)


def _later(id: str, how: str, mark: tuple[bytes, bytes]) -> Refusal:
    return Refusal(504, "timeout", f"the instance {id} {how}: ask for it, and for its output, by this id", [mark])


def _result(service: Service, namespace: Scope, id: str, mark: tuple[bytes, bytes]) -> Answer:
    """The output of an instance as it is, or the error that it ended with."""
    known = service.flows.instances(namespace)
    info = recorded(known, id)
    if info.status == COMPLETE:
        return Answer(200, [JSON, mark], _output(known, info))
    if info.status in (PENDING, CRASHED) and service.stopping:
        raise Refusal(503, "closed", f"the service is ending: the instance {id} can be gone on with", [mark])
    if info.status == PENDING:  # somebody else runs it now
        raise _later(id, "goes on", mark)
    code, message = _error_of(namespace, info)
    found = Problem(code or "crashed", message or f"the instance {id} is {info.status}")
    fields = [
        mark,
        (b"direktiv-instance-error-code", _field(found.code)),
        (b"direktiv-instance-error-message", _field(found.message)),
    ]
    return json_answer(found.status, {"error": {"code": found.code, "message": found.message}}, fields)


def _field(text: str) -> bytes:
    """Text as the value of a header field: in one line, and not too long."""
    return "".join(char if char.isprintable() else " " for char in text[:_HEADER]).strip().encode("utf-8", "replace")


async def update(exchange: Exchange) -> Answer:
    """Cancel an instance, or go on with one that crashed: by the status that it is to have."""
    namespace = await namespace_of(exchange, "write")
    id, given = _id(exchange), await read(exchange, InstanceChange)
    flows = exchange.service.flows
    if given.status == CANCELLED:
        await _do(exchange, namespace, id, flows.engine.cancel)
    elif given.status == PENDING:
        exchange.need("read", namespace.path)
        await _do(exchange, namespace, id, flows.resume)
    else:
        raise invalid("unsupported patch payload")
    return DONE


async def delete(exchange: Exchange) -> Answer:
    """Remove what is recorded of an instance that has ended or crashed."""
    namespace = await namespace_of(exchange, "write")
    await _do(exchange, namespace, _id(exchange), exchange.service.flows.engine.remove)
    return DONE


async def _do(exchange: Exchange, namespace: Scope, id: str, what: Callable[[Scope, str], object]) -> None:
    service = exchange.service

    def work() -> None:
        recorded(service.flows.instances(namespace), id)  # what is none is not touched
        what(namespace, id)

    await service.driver.away(work)


# --- looking ----------------------------------------------------------------------------------------------------------


def _id(exchange: Exchange) -> str:
    return parse_uuid(exchange.parameters["id"], _BAD_ID)


def _output(known: Instances, info: InstanceInfo) -> bytes:
    """Its data at its end, as JSON; nothing if it is not complete."""
    if info.status != COMPLETE:
        return b""
    return (text_in(known.scope(info.id), known.facts(info.id).value, "output") or "").encode()


def _metadata(known: Instances, info: InstanceInfo) -> bytes:
    """What its last state with metadata said, as JSON; nothing if there was none."""
    return b"" if info.metadata is None else encode(info.metadata)


def _error_of(namespace: Scope, info: InstanceInfo) -> tuple[str | None, str | None]:
    if info.status == CANCELLED:
        return Codes.CANCELLED, "the instance was cancelled"
    message = None if info.error_message is None else public_text(info.error_message, namespace._kernel.folder)
    return None if info.status == CRASHED else info.error_code, message


def _shown(known: Instances, namespace: Scope, info: InstanceInfo) -> dict[str, Any]:
    code, message = _error_of(namespace, info)
    return {
        "id": info.id,
        "createdAt": stamp(info.begun.timestamp()),
        "endedAt": None if info.ended is None else stamp(info.ended.timestamp()),
        "status": info.status,
        "path": info.path,
        "errorCode": code,
        "errorMessage": None if message is None else base64(message.encode()),
        "invoker": info.invoker,
        "definition": base64(known.definition(info.id).encode()),
        "flow": list(info.flow),
        "lineage": [_above(each) for each in info.lineage],
        "traceId": "",
        "namespace": namespace.name,
    }


def _above(above: dict[str, Any]) -> dict[str, Any]:
    """An instance above another one: how many states it had begun, and which of several calls of that state it was."""
    step, branch, _ = above["branch"].split("/")
    return {"id": above["id"], "state": above["state"], "step": int(step), "branch": int(branch)}


def _one(service: Service, namespace: Scope, id: str) -> dict[str, Any]:
    known = service.flows.instances(namespace)
    info = recorded(known, id)
    more = {"outputLength": len(_output(known, info)), "metadataLength": len(_metadata(known, info))}
    return {**_shown(known, namespace, info), **more}


async def get(exchange: Exchange) -> Answer:
    """An instance."""
    namespace = await namespace_of(exchange, "read")
    return await answer_with(exchange, partial(_one, exchange.service, namespace, _id(exchange)))


async def output(exchange: Exchange) -> Answer:
    """An instance with its output; it has one when it is complete."""
    return await _with_text(exchange, "output", _output)


async def metadata(exchange: Exchange) -> Answer:
    """An instance with what its last state with metadata said."""
    return await _with_text(exchange, "metadata", _metadata)


async def _with_text(exchange: Exchange, name: str, text: Callable[[Instances, InstanceInfo], bytes]) -> Answer:
    service, namespace, id = exchange.service, await namespace_of(exchange, "read"), _id(exchange)
    raw = query(exchange, "raw") == "true"

    def work() -> Answer:
        known = service.flows.instances(namespace)
        info = recorded(known, id)
        data = text(known, info)
        if raw:
            return Answer(200, [JSON], data) if data else Answer(404, [])
        if len(data) > service.limits.json:
            raise too_large(service)
        found = {**_shown(known, namespace, info), f"{name}Length": len(data)}
        return data_answer({**found, name: base64(data)} if data else found)

    return await service.driver.away(work)


async def listing(exchange: Exchange) -> Answer:
    """Instances, the newest first, and how many there are."""
    namespace = await namespace_of(exchange, "read")
    chosen, limit, offset = selection_of(exchange), limit_of(exchange), number(exchange, "offset") or 0
    after = query(exchange, "after")
    if after:
        after = parse_uuid(after, "query param after invalid uuid string")

    def begin() -> tuple[dict[str, Any], Iterator[Any]]:
        known = exchange.service.flows.instances(namespace)
        ids = known.ids()
        if chosen is not None:
            ids = list(_each(ids, lambda id: id if chosen(recorded(known, id)) else None))
        total = len(ids)
        if after:
            ids = [id for id in ids if id < after]
        shown = _each(ids[offset:], lambda id: _shown(known, namespace, recorded(known, id)))
        return {"total": total}, islice(shown, limit)

    return await page_answer(exchange, begin)


def _each(ids: Iterable[str], make: Callable[[str], T | None]) -> Iterator[T]:
    """What is made of each of them; those left out that were removed just now, or of which nothing is made."""
    for id in ids:
        found = None
        with suppress(*UNREADABLE):
            found = make(id)
        if found is not None:
            yield found


async def logs(exchange: Exchange) -> Answer:
    """Lines of the log of the instance that ``instance`` names, from its beginning; ``after`` is the id of a line."""
    namespace = await namespace_of(exchange, "read")
    id = parse_uuid(query(exchange, "instance"), "query param instance invalid uuid string")
    limit, after = limit_of(exchange), number(exchange, "after") or 0

    def begin() -> tuple[dict[str, Any], Iterator[Any]]:
        known = exchange.service.flows.instances(namespace)
        info = recorded(known, id)
        numbered = islice(enumerate(known.log(id), 1), after, after + limit)
        lines = (_line(namespace, info, n, line) for n, line in numbered)
        first = list(islice(lines, 1))
        meta = {"previousPage": None, "startingFrom": first[0]["time"] if first else None}
        return meta, chain(first, lines)

    return await page_answer(exchange, begin)


def _line(namespace: Scope, info: InstanceInfo, number: int, line: LogLine) -> dict[str, Any]:
    flow = {"instance": info.id, "workflow": info.path, "state": line.state, "status": _STATUS[info.status]}
    told = {"id": number, "time": stamp(line.time.timestamp()), "msg": line.text, "level": _LEVELS[line.level]}
    return {**told, "namespace": namespace.name, "workflow": flow, "error": None}
