"""Amazon S3, and what speaks like it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, Protocol, TypedDict

from ....errors import InvalidArgumentError
from ....storages.objectstore import simple_s3_router as native_router
from ..common.types import TagMap
from ..core.own import passed_over
from ..core.storage import Digest
from .objects import ObjectStorage, routed_in

__all__ = ["S3Pointer", "S3Router", "S3Storage", "simple_s3_router"]

_PART = 5 << 20, 5 << 30
_ABOUT_REQUESTS = (
    "max_writers", "max_readers", "stream_writer_min_part_size", "stream_writer_buffer_type",
    "stream_reader_max_part_size",
)  # fmt: skip


class S3Pointer(TypedDict):
    """Where an object is."""

    bucket: str
    key: str


class S3Router(Protocol):
    """Says where an object goes."""

    def __call__(self, digest: Digest, tags: TagMap, *, temp: bool) -> S3Pointer:
        """The place; with ``temp`` one in which a stream waits for its end."""


def simple_s3_router(bucket: str, prefix: str = "") -> Any:
    """A router to a bucket by content, below a prefix."""
    return routed_in(bucket, native_router(bucket, prefix))


class S3Storage(ObjectStorage):
    """Objects in S3, with the keys, the endpoint and the region of a boto3 client. Requests are Holdfast's own.

    Args:
        s3_client: the client.
        s3_router: ``(digest, tags) -> pointer``; None for a storage that only reads.
        options: those of labox' that are about requests, not heeded.

    Raises:
        InvalidArgumentError: other options; a part of less than 5 MB, or more than 5 GB.
    """

    name = "labox.aws.s3@v1"
    scheme, field = "s3", "bucket"

    def __init__(self, *, s3_client: Any, s3_router: S3Router | None, **options: Any) -> None:
        passed_over(self, options, _ABOUT_REQUESTS)
        part = options.get("stream_writer_min_part_size", _PART[0])
        if not _PART[0] <= part <= _PART[1]:
            raise InvalidArgumentError(f"stream_writer_min_part_size must be 5 MB to 5 GB, not {part} bytes")
        meta = s3_client.meta
        endpoint = None if ".amazonaws.com" in meta.endpoint_url else meta.endpoint_url
        super().__init__(s3_router, _keys(s3_client), {"endpoint": endpoint, "region": meta.region_name})


def _keys(client: Any) -> Any:
    held = client._get_credentials()
    if held is None:
        return {"skip_signature": "true"}

    def provide() -> dict[str, Any]:
        keys = held.get_frozen_credentials()
        soon = datetime.now(timezone.utc) + timedelta(minutes=5)  # then boto3 is asked anew, which refreshes them
        return {
            "access_key_id": keys.access_key, "secret_access_key": keys.secret_key, "token": keys.token,
            "expires_at": soon,
        }  # fmt: skip

    return provide
