"""Errors as Direktiv words them; the status follows from the code."""

from __future__ import annotations

from collections.abc import Mapping

from ...errors import ConflictError, HoldfastError, InvalidArgumentError, NotFoundError
from .. import problems
from ..answer import Answer, json_answer
from ..problems import Refusal

__all__ = ["Problem", "answer_of", "invalid", "missing"]

_STATUS = (("not_found", 404), ("method_not_allowed", 405))
_FAMILY = (("access", 403), ("request", 400), ("resource", 400))
_REFUSED = {
    "not_found": ("request_path_not_found", "request http path is not found"),
    "method_not_allowed": ("request_method_not_allowed", "request http method is not allowed for this path"),
    "forbidden": ("access_denied", None),
    "invalid_argument": ("request_data_invalid", None),
}
"""By the service's own code: Direktiv's code and, unless the service's is kept, its message."""


class Problem(Exception):
    """An error that a client is told in Direktiv's words.

    Attributes:
        code: Direktiv's code, from which the status follows.
        message: Direktiv's text, word for word.
        validation: what is wrong, by field; None where Direktiv does not say.
    """

    def __init__(self, code: str, message: str, validation: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.validation = code, message, validation

    @property
    def status(self) -> int:
        """The status of the answer."""
        for part, status in _STATUS:
            if part in self.code:
                return status
        return next((status for family, status in _FAMILY if self.code.startswith(family)), 500)


def invalid(message: str) -> Problem:
    """The error of a request with an illegal field or parameter."""
    return Problem("request_data_invalid", message)


def missing(what: str = "") -> Problem:
    """The error of something that does not exist; ``what`` is ``(namespace)`` where that is the namespace above it."""
    return Problem("resource_not_found", f"requested resource{what} is not found")


def answer_of(error: Exception, request_id: str, *, conditional: bool = False) -> Answer:
    """The answer to a request that failed; see :func:`holdfast.service.problems.answer_of`.

    Errors for which Direktiv has no code, such as a missing token or too many requests at once, keep the service's own
    status and code.
    """
    own = problems.answer_of(error, request_id)
    told = _told(error)
    if isinstance(told, Problem):
        status, code, message = told.status, told.code, told.message
    else:
        status, (code, message) = own.status, told
    found: dict[str, object] = {"code": code, "message": message}
    if isinstance(error, Problem) and error.validation:
        found["validation"] = error.validation
    return json_answer(status, {"error": found}, own.headers[1:] if isinstance(error, Refusal) else ())


def _told(error: Exception) -> Problem | tuple[str, str]:
    if isinstance(error, Problem):
        return error
    if isinstance(error, Refusal):
        code, message = _REFUSED.get(error.code, (None, None))
        return Problem(code, message or error.message) if code else (error.code, error.message)
    if isinstance(error, NotFoundError):
        return missing()
    if isinstance(error, InvalidArgumentError):
        return invalid(error.message)
    if isinstance(error, ConflictError):
        return Problem("resource_conflict", error.message)
    if isinstance(error, HoldfastError):
        return error.code, error.message
    return Problem("internal", "internal server error")
