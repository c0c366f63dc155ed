"""Hooks that save a value as one file of an artifact, and load it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .....errors import SignatureError
from .....serializers.exact_json import load
from .dataset.utils import VALUE_TYPE, check_type
from .interface import Artifact

__all__ = ["json_from_artifact", "json_to_artifact", "pickle_from_artifact", "pickle_to_artifact"]

_SERIALIZERS = {"json": ("json", "holdfast.json@v1"), "pickle": ("pkl", "holdfast.pickle@v1")}


def json_to_artifact(name: str = "file") -> Callable[[Artifact, Any], None]:
    """A hook that saves a value as the file ``<name>.json``; EncodeError when JSON would not give it back."""
    return _to("json", name)


def json_from_artifact(name: str = "file") -> Callable[[Artifact], Any]:
    """A hook that loads what :func:`json_to_artifact` has saved; NotAssertedError (an AssertionError) for others."""
    return _from("json", name)


def pickle_to_artifact(name: str = "file") -> Callable[[Artifact, Any], None]:
    """A hook that saves a value as the file ``<name>.pkl``, signed by the store; functions and classes of a script
    included. EncodeError when it cannot be pickled."""
    return _to("pickle", name)


def pickle_from_artifact(name: str = "file") -> Callable[[Artifact], Any]:
    """A hook that loads what :func:`pickle_to_artifact` has saved; NotAssertedError (an AssertionError) for others.

    A pickle that this store has not signed is not run: SignatureError.
    """
    return _from("pickle", name)


def _to(kind: str, name: str) -> Callable[[Artifact, Any], None]:
    ending, serializer = _SERIALIZERS[kind]

    def hook(artifact: Artifact, value: Any) -> None:
        with artifact.transaction():
            artifact[VALUE_TYPE] = kind
            artifact._scope.put(f"{name}.{ending}", value, serializer=serializer)

    return hook


def _from(kind: str, name: str) -> Callable[[Artifact], Any]:
    ending = _SERIALIZERS[kind][0]

    def hook(artifact: Artifact) -> Any:
        check_type(artifact, kind)
        file = artifact.get_file(f"{name}.{ending}")
        if artifact._scope.record(file.name).serializer is not None:
            return artifact._scope.get(file.name)
        if kind == "pickle":
            raise SignatureError(f"{file.path} was written as bytes, and a pickle that is not signed is not run")
        return load(file.read(), f"{file.path} is not the JSON of a value")

    return hook
