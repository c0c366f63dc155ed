"""The base of classes whose objects are saved."""

from __future__ import annotations

from typing import Any, TypedDict

from ....storable.base import Storable as NativeStorable
from ....storable.base import StorableConfig as StorableConfig
from ....storable.base import Unpacker

__all__ = ["Bodied", "Storable", "StorableConfigDict"]


class StorableConfigDict(TypedDict, total=False):
    """What a class may say of itself, each by its short name or its long one."""

    class_id: str | None
    storable_class_id: str | None
    unpacker: Unpacker | None
    storable_unpacker: Unpacker | None


class Storable(NativeStorable):
    """Base of classes whose objects are saved, each content by its own serializer in its own storage."""

    def __init_subclass__(
        cls, storable_class_id: str | None = None, storable_unpacker: Unpacker | None = None, **more: Any
    ) -> None:
        long: dict[str, Any] = {"class_id": storable_class_id, "unpacker": storable_unpacker}
        super().__init_subclass__(**more, **{name: given for name, given in long.items() if given is not None})


class Bodied:
    """What storables with fields say of their plain values, their body."""

    def storable_body_serializer(self, registry: Any) -> Any:
        """The serializer of the body: that for JSON."""
        return registry.get_serializer_by_content_type("application/json")

    def storable_body_storage(self, registry: Any) -> Any:
        """The storage of the body: the default one."""
        return registry.get_default_storage()
