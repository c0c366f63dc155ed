"""Azure Blob Storage."""

from __future__ import annotations

from typing import Any, Protocol, TypedDict
from urllib.parse import urlsplit

from ....errors import InvalidArgumentError
from ....storages.objectstore import simple_blob_router as native_router
from ..common.types import TagMap
from ..core.storage import Digest
from .objects import ObjectStorage, routed_in

__all__ = ["BlobPointer", "BlobRouter", "BlobStorage", "simple_blob_router"]


class BlobPointer(TypedDict):
    """Where a blob is."""

    container: str
    blob: str


class BlobRouter(Protocol):
    """Says where a blob goes."""

    def __call__(self, digest: Digest, tags: TagMap, *, temp: bool) -> BlobPointer:
        """The place; with ``temp`` one in which a stream waits for its end."""


def simple_blob_router(container: str, prefix: str = "") -> Any:
    """A router to a container by content, below a prefix."""
    return routed_in(container, native_router(container, prefix))


class BlobStorage(ObjectStorage):
    """Blobs in Azure, with the account key or shared access signature, and the endpoint, of a service client. Requests
    are Holdfast's own.

    Args:
        service_client: the client.
        blob_router: ``(digest, tags) -> pointer``; None for a storage that only reads.
        path_prefix: not heeded, nor was it by labox: the router says the whole place.

    Raises:
        InvalidArgumentError: the client has another kind of credential.
    """

    name = "labox.azure.blob@v1"
    scheme, field = "az", "container"

    def __init__(self, *, service_client: Any, blob_router: BlobRouter | None, path_prefix: str = "") -> None:
        url, credential = urlsplit(service_client.url), service_client.credential
        keys = {"account_name": service_client.account_name}
        if key := getattr(credential, "account_key", None):
            keys["account_key"] = key
        elif signature := getattr(credential, "signature", None) or url.query:
            keys["sas_token"] = signature
        elif credential is None:
            keys["skip_signature"] = "true"
        else:
            raise InvalidArgumentError(
                f"{self.name} takes a client with an account key or a shared access signature, not with a "
                f"{type(credential).__name__}"
            )
        super().__init__(blob_router, keys, {"endpoint": url._replace(query="").geturl().rstrip("/")})
