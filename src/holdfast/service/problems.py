"""From errors to answers: one status and one code for one cause, as ``docs/service.md`` lists them."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import (
    AccessError,
    BusyError,
    ClosedError,
    ConflictError,
    EncodeError,
    HoldfastError,
    InvalidArgumentError,
    LeaseLost,
    NotFoundError,
    NotRegisteredError,
    ScopeDroppedError,
    StorageFullError,
    StoreNotFoundError,
)
from .answer import Answer, Headers, json_answer

__all__ = ["Refusal", "answer_of", "problem", "public", "public_text", "status_and_code", "status_of"]

_STATUS: Sequence[tuple[type[HoldfastError], int]] = (
    (AccessError, 403),
    (NotFoundError, 404),
    (StoreNotFoundError, 404),
    (ConflictError, 409),
    (InvalidArgumentError, 400),
    (EncodeError, 422),
    (NotRegisteredError, 422),
    (StorageFullError, 507),
    (BusyError, 503),
    (ClosedError, 503),
)


class Refusal(Exception):
    """An answer of HTTP's own, for which the library has no error: raise it anywhere below a handler.

    Attributes:
        status: of the answer.
        code: stable, for programs: ``unauthorized``, ``forbidden``, ``method_not_allowed`` and so on.
        message: what is wrong, and what to do about it.
        headers: more header fields.
    """

    def __init__(self, status: int, code: str, message: str, headers: Headers | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, headers or []


def status_of(error: HoldfastError) -> int:
    """The status that tells of an error; 500 for stored damage and a store that cannot be used."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def status_and_code(error: HoldfastError | Refusal) -> tuple[int, str]:
    """Status and code that tell of an error, of either kind."""
    return (error.status if isinstance(error, Refusal) else status_of(error)), error.code


def public(error: Exception, folder: str | None) -> Exception:
    """An error as clients are told it: not where on the service's machine its store is, or was."""
    if isinstance(error, StoreNotFoundError):
        return StoreNotFoundError("the store of this service is gone: tell who runs it")
    hides = folder and isinstance(error, HoldfastError) and folder in error.message
    return type(error)(public_text(str(error), folder)) if hides else error


def public_text(text: str, folder: str | None) -> str:
    """The same of a message that was recorded."""
    return text.replace(folder, "the store") if folder else text


def problem(code: str, message: str, request_id: str) -> dict[str, object]:
    """The body of every answer that is an error."""
    return {"error": {"code": code, "message": message}, "request_id": request_id}


def answer_of(error: Exception, request_id: str, *, conditional: bool = False) -> Answer:
    """The answer that tells of an error. Of one that is not foreseen only its id is told, by which the journal has it.

    Args:
        error: what was raised.
        request_id: of the request.
        conditional: whether the request had ``If-Match`` or ``If-None-Match``: then a conflict is 412.
    """
    if isinstance(error, Refusal):
        return json_answer(error.status, problem(error.code, error.message, request_id), error.headers)
    if not isinstance(error, HoldfastError):
        told = "the service failed at this request; its journal says more under the request's id"
        return json_answer(500, problem("internal", told, request_id))
    status, code = status_and_code(error)
    headers = []
    if status == 409 and conditional and not isinstance(error, LeaseLost | ScopeDroppedError):
        status = 412
    if status == 503:
        headers.append((b"retry-after", b"1"))
    return json_answer(status, problem(code, error.message, request_id), headers)
