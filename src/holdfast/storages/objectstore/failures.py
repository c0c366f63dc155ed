"""What an error of obstore means to a caller: one error of our tree for one cause, whichever provider it is."""

from __future__ import annotations

import re

from ...errors import (
    HoldfastError,
    InvalidArgumentError,
    ReadOnlyError,
    StorageFullError,
    StoreError,
    StoreNotFoundError,
    ValueLost,
)

__all__ = ["CREDENTIALS", "explain", "is_beyond_the_end", "is_cut", "is_not_known"]

CREDENTIALS = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, and the right AWS_REGION",
    "az": "set AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN, or "
    "AZURE_STORAGE_CONNECTION_STRING",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS or GOOGLE_SERVICE_ACCOUNT to a key file",
}
"""By scheme, what to do about credentials."""

_ENDPOINT = {
    "s3": "AWS_ENDPOINT_URL",
    "az": "AZURE_STORAGE_ENDPOINT",
    "gs": "GOOGLE_BASE_URL",
}
_CODE = re.compile(r"<Code>\s*(\w+)\s*</Code>")
_STATUS = re.compile(r"status code: (\d{3})|\(code: (\d{3})\)")
_QUERY = re.compile(r"(https?://[^\s?]*)\?\S*")
_NO_BUCKET = {"NoSuchBucket", "ContainerNotFound"}
_NO_BUCKET_SAID = re.compile(r"specified (?:container|bucket) does not exist", re.IGNORECASE)
_FULL = re.compile(r"Quota|StorageFull|InsufficientStorage")
_NAMES = re.compile(r"https?://\S+|Object at location .*? not found|for path \S+|for key \S+")
_KEYS_OF_MACHINES = re.compile(
    r"https?://[^/\s]+/(?:latest/(?:api/token|meta-data)|computeMetadata|metadata/identity)\b"
)
_DENIED = {"AccessDenied", "AuthorizationPermissionMismatch", "InsufficientAccountPermissions", "AllAccessDisabled"}
_TOKEN = {"ExpiredToken", "InvalidToken", "TokenRefreshRequired", "InvalidAccessKeyId", "SignatureDoesNotMatch"}
_REGION = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}


def is_beyond_the_end(error: BaseException) -> bool:
    """Whether the server said that an object has no bytes from there on."""
    return "status code: 416" in _first(error) or "Wanted range starting at" in _first(error)


def is_cut(error: BaseException) -> bool:
    """Whether no answer came, or not all of it."""
    text = _first(error)
    return _status(text) is None and ("HTTP error" in text or "error sending request" in text)


def is_not_known(error: BaseException) -> bool:
    """Whether the server said that it does not do such a thing."""
    return _status(_first(error)) == 501 or _code(_first(error)) == "NotImplemented"


def _first(error: BaseException) -> str:
    """What an error says, without the dump of its insides."""
    return str(error).partition("\n\nDebug source")[0]


def explain(error: BaseException, shown: str, name: str | None = None, *, writing: bool = False) -> HoldfastError:
    """The error of our tree for one of obstore's; to be raised ``from None``: theirs may name what is secret.

    Args:
        shown: URL of the bucket and prefix.
        name: the object, where it is about one.
        writing: whether something was to be made or removed.
    """
    text = _first(error)
    bare = _NAMES.sub("", text)  # what was asked for may be called as an error is
    code = _code(text)
    status = _status(text)
    scheme = shown.partition(":")[0]
    if code in _NO_BUCKET or (code is None and _NO_BUCKET_SAID.search(bare)):
        return StoreNotFoundError(f"{shown}: there is no such bucket or container: create it, or mend the URL")
    if isinstance(error, FileNotFoundError) or status == 404:
        if name is None:
            return StoreNotFoundError(f"{shown} is not there: create it, or mend the URL ({_reason(text)})")
        return ValueLost(f"{shown}/{name} is gone: it was removed by other means than this library")
    if status == 507 or (code and _FULL.search(code)):
        return StorageFullError(f"no space is left, or the quota is used up, for {shown} ({code or _reason(text)})")
    if code in _REGION or "incorrectly configured region" in bare:
        return StoreError(f"{shown} is in another region: set AWS_REGION to it ({code or 'the server redirects'})")
    kind = type(error).__name__
    if status in (401, 403) or code in _TOKEN or kind in ("PermissionDeniedError", "UnauthenticatedError"):
        if writing and code in _DENIED:
            return ReadOnlyError(f"{shown} may not be written with these credentials ({code}): give them the right to")
        why = f"{status or kind}{f', {code}' if code else ''}"
        return StoreError(f"{shown} refused the credentials ({why}): {CREDENTIALS.get(scheme, 'mend them')}")
    if _lacks_credentials(bare) or _KEYS_OF_MACHINES.search(text):
        return StoreError(f"no usable credentials for {shown}: {CREDENTIALS.get(scheme, 'mend')} ({_reason(text)})")
    if isinstance(error, ValueError):
        return InvalidArgumentError(f"{shown}: {_reason(text)}")
    if is_cut(error):
        return StoreError(
            f"{shown} could not be reached, or the connection broke, again and again: check the network, and the "
            f"endpoint ({_ENDPOINT.get(scheme, 'its setting')}); {_reason(text)}"
        )
    return StoreError(f"{'writing to' if writing else 'reading from'} {shown} failed: {_reason(text)}")


def _code(text: str) -> str | None:
    found = _CODE.search(text)
    return found[1] if found else None


def _status(text: str) -> int | None:
    found = _STATUS.search(text)
    return int(found[1] or found[2]) if found else None


def _lacks_credentials(text: str) -> bool:
    return (
        re.search(r"credential|access.?key|token request|service account|Account must be specified", text, re.I)
        is not None
    )


def _reason(text: str) -> str:
    """One line, with nothing of what was sent along: signatures lie in the query of a URL."""
    line = _QUERY.sub(r"\1", text.partition("<?xml")[0].partition("\n")[0])
    message = re.search(r"<Message>([^<\n]*)", text)
    line = line.rstrip(" :") + (f": {message[1]}" if message else "")
    return line if len(line) <= 400 else line[:400] + "…"
