"""Where the variables of an instance lie, and the files of its namespace."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from ..scope import BaseScope
from .failures import Codes, Failure

__all__ = ["DIRECTORY_TYPE", "SCOPES", "TREE", "WORKFLOW_TYPE", "Place", "is_name"]

SCOPES = ("namespace", "workflow", "instance")
"""Where a variable can be written."""

TREE = ("file", "tree")
"""Kind and name of the scope with a namespace's files; keys are their paths without the slash in front."""

WORKFLOW_TYPE, DIRECTORY_TYPE = "application/yaml", "inode/directory"
"""MIME types of the files that are workflows, and of the records that are directories."""

_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_.-]*[a-zA-Z0-9]|[a-zA-Z]")
_LONGEST = 512


def is_name(text: str) -> bool:
    """Whether Direktiv allows this name for a variable."""
    return len(text) <= _LONGEST and _NAME.fullmatch(text) is not None


class Place(NamedTuple):
    """Where one instance is.

    Attributes:
        namespace: the scope of its namespace.
        path: of its workflow's file in the namespace, such as ``/a/b.yaml``.
        instance: its id, a UUID.
    """

    namespace: BaseScope[Any]
    path: str
    instance: str

    def scope(self, name: str) -> BaseScope[Any]:
        """The scope of one of :data:`SCOPES`.

        Raises:
            Failure: ``direktiv.var.invalidScope``.
        """
        if name == "namespace":
            return self.namespace
        if name == "workflow":
            return self.namespace.scope("workflow", self.path)  # type: ignore[no-any-return]
        if name == "instance":
            return self.namespace.scope("instance", self.instance)  # type: ignore[no-any-return]
        raise Failure(Codes.INVALID_SCOPE, f"{name!r} is no scope of a variable: use one of {', '.join(SCOPES)}")

    @property
    def tree(self) -> BaseScope[Any]:
        """The scope with the namespace's files."""
        return self.namespace.scope(*TREE)  # type: ignore[no-any-return]
