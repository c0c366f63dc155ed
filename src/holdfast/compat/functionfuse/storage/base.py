"""What storages of all kinds can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ....apart import FILE_PROTOCOL, S3_PROTOCOL, Table
from ....apart.contract import check_serializer
from ....apart.taking import Taking, TakingScope, TakingStore
from ....api import Scope, Store
from ....errors import DecodeError, InvalidArgumentError, NotFoundError, ValueLost
from ....model import Record
from ....values import RAISE
from ..errors import FileMissing, InvalidPickle
from ..places import Files

__all__ = ["FuseScope", "FuseStore", "Storage"]


class FuseScope(TakingScope["FuseScope"], Scope):
    """A workflow's scope."""

    def get(self, key: str, default: Any = RAISE, **options: Any) -> Any:
        """A value.

        Raises:
            InvalidPickle: it is not what was put.
        """
        try:
            return super().get(key, default, **options)
        except (DecodeError, ValueLost) as error:
            raise InvalidPickle(error.message) from error

    def _store(self) -> FuseStore:
        return FuseStore(self._kernel, self.taking)


class FuseStore(TakingStore["FuseScope"], Store):
    """A store of such scopes."""

    _scope_type = FuseScope


class Storage:
    """Results of workflows, by the names of the workflow and of the node.

    Attributes:
        always_read: whether nodes get what was stored of a result, read back, rather than what was returned. (They do
            in any case, unless it is small.)
        protocols: what persistent serializers open files by: an object with ``open`` and ``remove``, or a file system
            of fsspec and a folder in it. Those that they are given while a result is written or read are of its own
            place, and like these.
        kind: as ``storage_factory`` takes it.
    """

    kind: ClassVar[str]
    protocol: ClassVar[str] = FILE_PROTOCOL
    _OPTIONS: ClassVar[tuple[str, ...]] = ("path",)

    def __init__(self, options: Mapping[str, Any]) -> None:
        unknown = options.keys() - set(self._OPTIONS)
        if unknown:
            there = ", ".join(self._OPTIONS)
            raise InvalidArgumentError(f"the storage {self.kind!r} has no option {min(unknown)!r}: there are {there}")
        path = options.get("path")
        if not isinstance(path, str) or not path:
            raise InvalidArgumentError(f"the storage {self.kind!r} needs a path, and not {path!r}")
        self.options = dict(options)
        self.always_read = False
        self._serializers: dict[str, Any] = {}
        self._root = self._open()

    def _open(self) -> Store | Scope:
        """Where the workflows are."""
        raise NotImplementedError

    def scope(self, workflow_name: str) -> Any:
        """The scope of a workflow."""
        taking = Taking(Table(self._serializers.values()), self.protocol)
        return FuseStore(self._root._kernel, taking)._at((*self._root.path, ("workflow", workflow_name)))

    def register_persistent_serializers(self, *serializers: Any) -> None:
        """Have values of certain types, wherever they are in a result, kept by these classes; see
        :class:`holdfast.apart.PersistentSerializer`.

        Raises:
            InvalidArgumentError: one is no persistent serializer.
        """
        for each in map(check_serializer, serializers):
            self._serializers[each.name] = each

    @property
    def protocols(self) -> dict[str, Any]:
        """See the class."""
        scope = self._root.scope("artifact", "protocols")
        if self.protocol == FILE_PROTOCOL:
            return {FILE_PROTOCOL: Files(scope)}
        from ....filesystem import HoldfastFileSystem  # an extra

        return {S3_PROTOCOL: {"client": HoldfastFileSystem._on(scope._kernel), "folder": str(scope)}}

    # --- results ----------------------------------------------------------------------------------------------------

    def list_tasks(self, workflow_name: str, pattern: str = "*") -> list[str]:
        """Names of the nodes whose results are stored, sorted, as far as a glob pattern matches them."""
        return list(self.scope(workflow_name).results.names(pattern))

    def read_task(self, workflow_name: str, task_name: str) -> Any:
        """A stored result.

        Raises:
            FileMissing: there is none of that name (a FileNotFoundError).
            InvalidPickle: it was truncated or altered.
        """
        try:
            return self.scope(workflow_name).get(task_name)
        except NotFoundError as error:
            raise FileMissing(f"no result of {task_name!r} in the workflow {workflow_name!r}") from error

    def remove_task(self, workflow_name: str, task_name: str | None = None, pattern: str | None = None) -> None:
        """Remove a stored result, or all whose names a glob pattern matches.

        Raises:
            FileMissing: there is none of that name (a FileNotFoundError).
            InvalidArgumentError: not one of name and pattern is given.
        """
        if (task_name is None) == (pattern is None):
            raise InvalidArgumentError("remove_task takes a task_name, or a pattern such as 'model*'")
        scope = self.scope(workflow_name)
        if pattern is not None:
            scope.results.remove(pattern)
            return
        try:
            removed: Record | None = scope.delete(task_name)
        except NotFoundError as error:
            raise FileMissing(f"no result of {task_name!r} in the workflow {workflow_name!r}") from error
        assert removed is not None

    def remove_workflow(self, workflow_name: str) -> None:
        """Remove all that is stored of a workflow, if there is one of that name."""
        scope = self.scope(workflow_name)
        if self._serializers:
            scope.results.remove("*")  # what they keep elsewhere is removed with it
        scope.drop(missing_ok=True)
