"""A storage on a bucket of S3, Azure or Google."""

from __future__ import annotations

from typing import Any, ClassVar

from ...errors import InvalidArgumentError
from ..remote import RemoteStorage
from ..remote.storage import PATIENCE
from .connection import Bucket, Credentials, parse
from .medium import BucketMedium

__all__ = ["ObjectStorage"]


class ObjectStorage(RemoteStorage):
    """Bytes as objects ``<prefix>/<writer>/<number>`` of a bucket; the config is ``"<writer>/<number>"``.

    Keys are taken from where the provider's own tools take them: the environment, a profile, the machine's metadata.
    They are in no URL and no pickle.

    Args:
        url: ``s3://bucket/prefix``, ``az://container/prefix`` or ``gs://bucket/prefix``. ``?endpoint=``, ``?region=``
            (S3) and ``?account=`` (Azure) may follow, and go before the environment.
        credentials: keys by obstore's names, or a function that gives them, instead of the usual places. Who unpickles
            this storage uses the usual places.
        timeout: seconds in which a request that fails for a passing reason is tried again; twice as long without any
            answer is a failure.
        owner: whose writers :meth:`abandoned` reports: the id of a store.
        patience: seconds after which a writer on another machine that gave no sign of life is taken for dead.

    Raises:
        InvalidArgumentError: a URL or setting that is not legal.
        MissingExtraError: obstore is not installed.
    """

    name: ClassVar[str] = "holdfast.objectstore@v1"

    def __init__(
        self,
        url: str,
        *,
        credentials: Credentials | None = None,
        timeout: float = 30.0,
        owner: str = "",
        patience: float = PATIENCE,
    ) -> None:
        if not 0 < timeout <= 3600:
            raise InvalidArgumentError(f"timeout is a number of seconds up to an hour, not {timeout!r}")
        self.url = url
        self.timeout = timeout
        super().__init__(BucketMedium(Bucket(parse(url), credentials, timeout)), owner, patience)

    def __repr__(self) -> str:
        return f"ObjectStorage({self.url!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self.url, self.timeout, self.owner, self.patience)


def _again(url: str, timeout: float, owner: str, patience: float) -> ObjectStorage:
    return ObjectStorage(url, timeout=timeout, owner=owner, patience=patience)
