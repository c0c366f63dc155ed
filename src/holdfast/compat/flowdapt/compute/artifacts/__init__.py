"""Artifacts: named sets of files with metadata. The functions take what is not given from the run: its namespace, and
the current store."""

from __future__ import annotations

import os
from typing import Any

from ..resources.workflow.context import current_namespace
from .interface import Artifact, ArtifactFile

__all__ = ["Artifact", "ArtifactFile", "check_if_artifact_exists", "get_artifact", "list_artifacts", "new_artifact"]


def new_artifact(
    name: str, namespace: str = "", protocol: str = "", base_path: str | os.PathLike[str] = "", **params: Any
) -> Artifact:
    """Make an artifact; see :meth:`Artifact.new_artifact`."""
    return Artifact.new_artifact(name, namespace or current_namespace(), protocol, base_path, **params)


def get_artifact(
    name: str,
    namespace: str = "",
    protocol: str = "",
    base_path: str | os.PathLike[str] = "",
    *,
    create: bool = False,
    **params: Any,
) -> Artifact:
    """An artifact; with ``create`` it is made when there is none, else FileMissing (a FileNotFoundError)."""
    where = (name, namespace or current_namespace(), protocol, base_path)
    try:
        return Artifact.get_artifact(*where, **params)
    except FileNotFoundError:
        if not create:
            raise
    try:
        return Artifact.new_artifact(*where, **params)
    except FileExistsError:  # somebody else was faster
        return Artifact.get_artifact(*where, **params)


def list_artifacts(
    namespace: str = "", protocol: str = "", base_path: str | os.PathLike[str] = "", **params: Any
) -> list[Artifact]:
    """All artifacts of a namespace, by name."""
    return Artifact.list_artifacts(namespace or current_namespace(), protocol, base_path, **params)


def check_if_artifact_exists(
    name: str, namespace: str = "", protocol: str = "", base_path: str | os.PathLike[str] = "", **params: Any
) -> bool:
    """Whether there is an artifact of that name."""
    return Artifact.does_exist(name, namespace or current_namespace(), protocol, base_path, **params)
