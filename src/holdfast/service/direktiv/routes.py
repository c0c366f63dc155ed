"""The routes of ``/api/v2``, each also with a slash at the end."""

from __future__ import annotations

from ..base import Handler
from ..routing import ANY, Parameter, Route, Verb
from . import files, instances, namespaces, variables

__all__ = ["PREFIX", "ROUTES"]

PREFIX = b"/api/v2/"
"""What all paths begin with."""

_JSON = "application/json"
_IN = {400: "the request says something that is not legal", 404: "there is no such thing, or no such namespace"}
_RAW = Parameter("raw", "true: the bytes, under their MIME type")
_LIST = (
    Parameter("workflowPath", "those of this workflow"),
    Parameter("instanceId", "those of this instance; it comes before the workflow"),
    Parameter("name", "the one of this name"),
    Parameter("limit", "at most so many"),
    Parameter("after", "the id of a variable: those made after it"),
    _RAW,
)

_PAGE = (
    Parameter("limit", "at most so many; 1,000 by default, and at most"),
    Parameter("offset", "so many are left out"),
)
_INSTANCES_LIST = (
    *_PAGE,
    Parameter("after", "the id of an instance: those behind it in the list"),
    Parameter("status", "those of this status"),
    Parameter("path", "those of this workflow"),
    *(Parameter(f"filter.{part}", "of a filter", repeated=True) for part in ("field", "type", "val")),
)
_RUN = (Parameter("path", "of the workflow"), Parameter("wait", "true: answer with its output, when it has ended"))


def _verb(run: Handler, means: str, done: str, parameters: tuple[Parameter, ...] = (), body: str | None = None) -> Verb:
    return Verb(run, means, ANY, {200: done, **_IN}, parameters, body, "*/*" if _RAW in parameters else _JSON, True)


_NAMESPACES = {
    "GET": _verb(namespaces.listing, "All namespaces, by creation.", "namespaces"),
    "POST": _verb(namespaces.create, "Make a namespace.", "the namespace", body=_JSON),
}
_NAMESPACE = {
    "GET": _verb(namespaces.get, "A namespace.", "the namespace"),
    "DELETE": _verb(namespaces.delete, "Remove a namespace with all in it.", "removed"),
}
_VARIABLES = {
    "GET": _verb(variables.listing, "Variables, by creation.", "variables, or the bytes of the only one", _LIST),
    "POST": _verb(variables.create, "Make a variable.", "the variable", body=_JSON),
    "DELETE": _verb(
        variables.delete_several, "Remove variables, all or none.", "removed", (Parameter("ids", "ids with commas"),)
    ),
}
_VARIABLE = {
    "GET": _verb(variables.get, "A variable with its data.", "the variable, or its bytes", (_RAW,)),
    "PATCH": _verb(variables.update, "Change name, MIME type or data.", "the variable", body=_JSON),
    "DELETE": _verb(variables.delete, "Remove a variable.", "removed"),
}
_FILES = {
    "GET": _verb(files.get, "A file with its data, or a directory with its children.", "the file"),
    "POST": _verb(files.create, "Make a file or a directory in this directory.", "the file", body=_JSON),
    "PATCH": _verb(files.update, "Change data or path; variables of workflows go along.", "the file", body=_JSON),
    "DELETE": _verb(files.delete, "Remove a file, or a directory with all below it.", "removed"),
}
_INSTANCES = {
    "GET": _verb(instances.listing, "Instances of flows, the newest first.", "instances", _INSTANCES_LIST),
    "POST": _verb(
        instances.create,
        "Run a workflow; the body is its input.",
        "the instance, or with wait=true its output",
        _RUN,
        "*/*",
    ),
}
_INSTANCE = {
    "GET": _verb(instances.get, "An instance.", "the instance"),
    "PATCH": _verb(
        instances.update, "Cancel an instance, or go on with one that crashed, by its status.", "done", body=_JSON
    ),
    "DELETE": _verb(instances.delete, "Remove what is recorded of an instance that has ended.", "removed"),
}
_OUTPUT = {
    "GET": _verb(instances.output, "An instance with its output.", "the instance, or the bytes of its output", (_RAW,))
}
_METADATA = {
    "GET": _verb(instances.metadata, "An instance with its metadata.", "the instance, or the bytes of these", (_RAW,))
}
_LOGS = {
    "GET": _verb(
        instances.logs, "Lines of the log of an instance.", "lines",
        (Parameter("instance", "its id"), _PAGE[0], Parameter("after", "the id of a line: those behind it")),
    ),
}  # fmt: skip

_ALL = "/api/v2/namespaces"
_ONE = f"{_ALL}/{{namespace}}"
ROUTES: tuple[Route, ...] = (
    *(Route(_ALL + end, _NAMESPACES) for end in ("", "/")),
    *(Route(_ONE + end, _NAMESPACE) for end in ("", "/")),
    *(Route(f"{_ONE}/variables{end}", _VARIABLES) for end in ("", "/")),
    *(Route(f"{_ONE}/variables/{{id}}{end}", _VARIABLE) for end in ("", "/")),
    *(Route(f"{_ONE}/instances{end}", _INSTANCES) for end in ("", "/")),
    *(Route(f"{_ONE}/instances/{{id}}{end}", _INSTANCE) for end in ("", "/")),
    *(Route(f"{_ONE}/instances/{{id}}/output{end}", _OUTPUT) for end in ("", "/")),
    *(Route(f"{_ONE}/instances/{{id}}/metadata{end}", _METADATA) for end in ("", "/")),
    *(Route(f"{_ONE}/logs{end}", _LOGS) for end in ("", "/")),
    *(Route(f"{_ONE}/files{end}", _FILES) for end in ("", "/{path*}")),
)
"""All of them, for :data:`holdfast.service.routes.ROUTES`."""
