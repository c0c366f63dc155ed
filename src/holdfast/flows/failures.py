"""What a state of a flow raises: an error with a code, which the flow can catch."""

from __future__ import annotations

__all__ = ["Cancelled", "Codes", "Failure", "Fatal", "Stopped"]


_LONGEST_CODE, _LONGEST = 256, 10_000  # characters


class Codes:
    """The codes of errors that the engine itself raises."""

    BAD_COMMAND = "direktiv.jq.badCommand"
    NOT_STRING = "direktiv.jq.notString"
    NOT_OBJECT = "direktiv.jq.notObject"
    INVALID_KEY = "direktiv.var.invalidKey"
    INVALID_SCOPE = "direktiv.var.invalidScope"
    INVALID_MIME_TYPE = "direktiv.var.invalidMimeType"
    TOO_LARGE = "direktiv.var.tooLarge"
    QUOTA = "direktiv.var.quota"
    CONFLICT = "direktiv.var.conflict"
    SCHEMA = "direktiv.schema.failed"
    BAD_ARRAY = "direktiv.foreach.badArray"
    ALL_FAILED = "direktiv.parallel.allFailed"
    RETRIES = "direktiv.retries.exceeded"
    MULTIPLE_ERRORS = "direktiv.workflow.multipleErrors"
    NO_WORKFLOW = "direktiv.workflow.notFound"
    INVALID_WORKFLOW = "direktiv.workflow.invalid"
    TRANSITIONS = "direktiv.workflow.tooManyTransitions"
    DEPTH = "direktiv.workflow.tooDeep"
    SOFT_TIMEOUT = "direktiv.cancels.timeout.soft"
    HARD_TIMEOUT = "direktiv.cancels.timeout.hard"
    CANCELLED = "direktiv.cancels.api"


class Failure(Exception):
    """An error of a flow; ``catch`` of a state matches its code. It never leaves an instance: see ``FlowFailed``.

    Attributes:
        code: such as ``direktiv.jq.badCommand``; empty for what cannot be caught by a code.
        message: for people.
    """

    def __init__(self, code: str, message: str) -> None:
        code, message = _sound(code[:_LONGEST_CODE]), _sound(message[:_LONGEST])
        super().__init__(f"{code}: {message}" if code else message)
        self.code, self.message = code, message


def _sound(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


class Fatal(Failure):
    """An error that ends the run and cannot be caught, such as the end of its time."""


class Cancelled(Exception):
    """Somebody cancelled the instance."""


class Stopped(Exception):
    """The instance goes on no further here: its engine closes, what it is part of crashed, others have it, or it was
    removed."""
