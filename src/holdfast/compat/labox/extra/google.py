"""Google Cloud Storage."""

from __future__ import annotations

import sys
from datetime import timezone
from typing import Any, NotRequired, Protocol, TypedDict

from ....storages.objectstore import simple_blob_router as native_router
from ..common.types import TagMap
from ..core.own import passed_over
from ..core.storage import Digest
from .objects import ObjectStorage, routed_in

__all__ = ["BlobPointer", "BlobRouter", "BlobStorage", "simple_blob_router"]

_ABOUT_REQUESTS = "object_chunk_size", "max_writers", "max_readers", "writer_type", "reader_type"
_PUBLIC = "https://storage.googleapis.com"


class BlobPointer(TypedDict):
    """Where a blob is, and which project pays for requests."""

    bucket: str
    blob: str
    user_project: NotRequired[str | None]


class BlobRouter(Protocol):
    """Says where a blob goes."""

    def __call__(self, digest: Digest, tags: TagMap, *, temp: bool) -> BlobPointer:
        """The place; with ``temp`` one in which a stream waits for its end."""


def simple_blob_router(bucket: str, prefix: str = "") -> Any:
    """A router to a bucket by content, below a prefix."""
    place = native_router(bucket, prefix, field="bucket")

    def route(digest: Digest, tags: TagMap, *, temp: bool = False) -> Any:
        return {**place(digest, tags, temp=temp), "user_project": None}

    return routed_in(bucket, route)


class BlobStorage(ObjectStorage):
    """Blobs in Google Cloud Storage, with the credentials and the endpoint of a client. Requests are Holdfast's own.

    Args:
        storage_client: the client.
        storage_router: ``(digest, tags) -> pointer``; None for a storage that only reads.
        options: those of labox' that are about requests, not heeded.

    Raises:
        InvalidArgumentError: other options.
    """

    name = "labox.google.blob@v1"
    scheme, field = "gs", "bucket"

    def __init__(self, *, storage_client: Any, storage_router: BlobRouter | None, **options: Any) -> None:
        passed_over(self, options, _ABOUT_REQUESTS)
        endpoint = storage_client._connection.API_BASE_URL
        endpoint = None if endpoint == _PUBLIC else endpoint
        super().__init__(storage_router, _keys(storage_client), {"endpoint": endpoint})


def _keys(client: Any) -> Any:
    held = client._credentials
    if type(held).__name__ == "AnonymousCredentials":
        return {"bearer_token": "none"}
    google = sys.modules[type(client._http).__module__]  # Google's own, which is there where its client is

    def provide() -> dict[str, Any]:
        if not held.valid:
            held.refresh(google.Request())
        return {"token": held.token, "expires_at": held.expiry and held.expiry.replace(tzinfo=timezone.utc)}

    return provide
