"""The routes of ``/v1``."""

from __future__ import annotations

from ..routing import ADDRESS, ANY, EITHER, SCOPE, Parameter, Route, Verb
from . import artifacts, batches, changes, leases, listing, scopes, values

__all__ = ["ROUTES"]

_NUMBER = {"type": "integer", "minimum": 0}
_TRUTH = {"type": "string", "enum": ["true", "false"]}


def _header(name: str, means: str) -> Parameter:
    return Parameter(name, means, place="header")


_LEASE = _header("Holdfast-Lease", "name;token of a lease that must be held still when it is written")
_MATCH = _header("If-Match", "quoted versions, or * for any: of these the record must be")
_NONE_MATCH = _header("If-None-Match", "quoted versions, or * for any: of these it must not be")
_CONTENT = Parameter("content", "the name of one content, of an object that has several")
_READ = (
    Parameter("version", "a kept version, instead of the newest", _NUMBER),
    _CONTENT, _MATCH, _NONE_MATCH,
)  # fmt: skip
_RANGE = (_header("Range", "one range of bytes"), _header("If-Range", "the version that the range is of"))
_PUT = (
    _header("Content-Type", "kept as it is; application/octet-stream by default"),
    _header("Holdfast-Tags", "tags as a JSON object of strings, percent-encoded"),
    _header("Holdfast-Tag-{name}", "one tag, its value percent-encoded"),
    _header("Holdfast-Expires", "a time of RFC 3339, or seconds from now"),
    _header("Holdfast-Durability", "process or power"),
    _LEASE, _MATCH, _NONE_MATCH,
)  # fmt: skip

_GOT = {
    200: "the bytes", 206: "the part that was asked for", 304: "the version is the one that is known already",
    404: "no such record, version or content", 406: "the value has no form as JSON",
    412: "another version than If-Match names", 416: "no byte in this range",
}  # fmt: skip
_WROTE = {
    200: "replaced", 201: "made", 409: "a lease that is not held, or a scope that was dropped meanwhile",
    412: "the condition does not hold", 422: "it cannot be stored this way",
}  # fmt: skip
_BYTES = "*/*"
_JSON = "application/json"

_VALUES = {
    "GET": Verb(
        values.get, "The bytes of a record.", "read", _GOT,
        (*_READ, *_RANGE, Parameter("as", "json: the value as JSON", {"type": "string", "enum": ["json"]})),
        gives=_BYTES,
    ),
    "HEAD": Verb(
        values.get, "What GET would say.", "read", _GOT, (*_READ, Parameter("as", "as of GET")), gives=_BYTES
    ),
    "PUT": Verb(values.put, "Store the body.", "write", _WROTE, _PUT, _BYTES),
    "PATCH": Verb(
        values.patch, "Change tags, expiry or both.", "write",
        {200: "the record", 404: "no such record", 409: _WROTE[409], 412: _WROTE[412]},
        (_LEASE, _MATCH, _NONE_MATCH), _JSON,
    ),
    "DELETE": Verb(
        values.delete, "Remove a record.", "write",
        {204: "removed", 404: "no such record", 409: _WROTE[409], 412: _WROTE[412]},
        (_LEASE, _MATCH, _NONE_MATCH),
    ),
}  # fmt: skip

_PAGE = (
    Parameter("limit", "at most so many", {**_NUMBER, "maximum": listing.MOST}),
    Parameter("cursor", "of the page before"),
)
_ARTIFACTS = {
    method: _VALUES[method]._replace(run=run, means=means)
    for method, run, means in (
        ("GET", artifacts.get, "A file of an artifact; or its manifest, page by page."),
        ("HEAD", artifacts.get, "What GET would say."),
        ("PUT", artifacts.put, "Store a file; or the metadata, which is a JSON object."),
        ("DELETE", artifacts.delete, "Remove a file; or the artifact with all its files."),
    )
}
_ARTIFACTS["GET"] = _ARTIFACTS["GET"]._replace(parameters=(*(_VALUES["GET"].parameters or ()), *_PAGE))

_SCOPES = {
    "GET": Verb(scopes.get, "What a scope is and holds.", "read", {200: "the scope", 404: "no such scope"}),
    "PUT": Verb(
        scopes.put, "Make a scope, or replace its properties.", "write", {200: "it was there", 201: "made"}, body=_JSON
    ),
    "PATCH": Verb(
        scopes.patch, "Rename a scope, or change its properties or its policy.", ANY,
        {200: "the scope", 404: "no such scope", 409: "that name is taken"}, body=_JSON,
    ),
    "DELETE": Verb(
        scopes.drop, "Remove a scope with all below it.", "admin",
        {204: "removed", 404: "no such scope", 409: "it is not empty"},
        (Parameter("only_empty", "true: only when nothing is in it", _TRUTH),),
    ),
}  # fmt: skip
_CHILDREN = {
    "GET": Verb(
        listing.children, "The scopes directly below one.", "read", {200: "a page of scopes"},
        (Parameter("kind", "only those of this kind"), *_PAGE),
    )
}  # fmt: skip
_MANY = {200: "what each came to"}

ROUTES: tuple[Route, ...] = (
    Route("/v1/values/{address*}", _VALUES, ADDRESS),
    Route("/v1/records/{address*}", {
        "GET": Verb(
            values.record, "What is known of a record.", "read", {200: "the record", 404: "no such record"},
            (Parameter("history", "true: the versions that are kept beside it", _TRUTH),),
        ),
    }, ADDRESS),
    Route("/v1/add/{address*}", {
        "POST": Verb(values.add, "Add to an integer.", "write", {200: "the sum, and the record"}, body=_JSON),
    }, ADDRESS),
    Route("/v1/scopes", {"GET": _SCOPES["GET"]}, SCOPE),
    Route("/v1/scopes/{scope*}", _SCOPES, SCOPE),
    Route("/v1/children", _CHILDREN, SCOPE),
    Route("/v1/children/{scope*}", _CHILDREN, SCOPE),
    Route("/v1/keys/{scope*}", {
        "GET": Verb(
            listing.keys, "The keys of a scope, or its records.", "read", {200: "a page of keys or records"},
            (
                Parameter("prefix", "only keys that begin with it"),
                Parameter("start", "only keys from this one on, by bytes"),
                Parameter("end", "only keys before this one"),
                Parameter("tag", "name=value: only records that have it", repeated=True),
                Parameter("order", "key, created, updated, size or version; with - in front, descending"),
                Parameter("records", "true: records instead of keys", _TRUTH),
                *_PAGE,
            ),
        ),
    }, SCOPE),
    Route("/v1/batch", {"POST": Verb(batches.batch, "Many operations, each for itself.", ANY, _MANY, body=_JSON)}),
    Route("/v1/transactions", {
        "POST": Verb(
            batches.transaction, "Many operations in one commit, or none.", ANY,
            {**_MANY, 404: "no such record", 409: "a condition does not hold", 422: _WROTE[422]}, body=_JSON,
        ),
    }),
    Route("/v1/leases/{name*}", {
        "POST": Verb(leases.acquire, "Take a lease.", ANY, {201: "it is held", 409: "by another"}, body=_JSON),
        "PATCH": Verb(leases.renew, "Hold it for longer.", ANY, {200: "it is held", 409: "it is lost"}, body=_JSON),
        "DELETE": Verb(
            leases.release, "Give it back.", ANY, {204: "it is not held any more"},
            (Parameter("token", "that it was given with", _NUMBER),),
        ),
    }),
    Route("/v1/changes/{place*}", {
        "GET": Verb(
            changes.changes, "What changed in a record or a scope.", "read",
            {200: "changes, or a stream of events", 204: "none in the time that was waited"},
            (
                Parameter("after", "0, the cursor of an earlier answer, or of a record a version; none: from now on"),
                Parameter("wait", "seconds to wait for a change, at most 300", {"type": "number", "minimum": 0}),
                _header("Accept", "text/event-stream for server-sent events"),
                _header("Last-Event-ID", "of the last event that was seen"),
            ),
        ),
    }, EITHER),
    Route("/v1/artifacts/{place*}", _ARTIFACTS, EITHER),
)  # fmt: skip
"""All that there are."""
