"""The memory that the worker processes of an engine share."""

from __future__ import annotations

from typing import Any, ClassVar

from .....api import Scope
from .....memory import using_memory
from .....verbs import current_store

__all__ = ["ClusterMemory"]


class ClusterMemory:
    """Values by key and namespace, which end with the engine. Each is the ephemeral record of its key in the namespace,
    in the current store.

    Attributes:
        engine: ``local``, ``ray`` or ``dask``.
    """

    engine: ClassVar[str]

    def put(self, key: str, value: Any, *, namespace: str = "default", serializer: str | None = None) -> None:
        """Keep a value of any type that can be stored, serialised by its type or by the registered serializer named.

        Raises:
            StorageFullError: there is no room for it.
            EncodeError: it cannot be stored; the message has the path to what is wrong.
            StoreError, MissingExtraError: the engine is not there, or not installed.
        """
        with using_memory(self.engine):
            _namespace(namespace).put(key, value, tier="memory", serializer=serializer)

    def get(self, key: str, *, namespace: str = "default") -> Any:
        """The value of a key; NotFoundError (a KeyError) when there is none, ValueLost when a worker took it along."""
        with using_memory(self.engine):
            return _namespace(namespace).get(key, tier="memory")

    def delete(self, key: str, *, namespace: str = "default") -> None:
        """Remove a key, if it is there."""
        with using_memory(self.engine):
            _namespace(namespace).delete(key, tier="memory", missing_ok=True)

    def exists(self, key: str, *, namespace: str = "default") -> bool:
        """Whether there is a value of that key."""
        with using_memory(self.engine):
            return _namespace(namespace).exists(key, tier="memory")

    def clear(self) -> None:
        """Remove the keys of all namespaces."""
        with using_memory(self.engine):
            for scope in current_store().children("namespace"):
                for key in list(scope):
                    if scope.exists(key, tier="memory"):
                        scope.delete(key, tier="memory", missing_ok=True)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def _namespace(namespace: str) -> Scope:
    return current_store().namespace(namespace)
