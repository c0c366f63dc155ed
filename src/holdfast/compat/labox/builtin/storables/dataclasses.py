"""Dataclasses as storables."""

from __future__ import annotations

from .....storable.dataclasses import DataclassUnpacker
from .....storable.dataclasses import StorableDataclass as NativeDataclass
from ...core.storable import Bodied, Storable

__all__ = ["StorableDataclass", "StorableDataclassUnpacker"]


class StorableDataclassUnpacker(DataclassUnpacker):
    """Takes dataclasses apart as Holdfast does, under labox' name."""

    name = "labox.builtin.dataclass@v1"


class StorableDataclass(Bodied, NativeDataclass, Storable, unpacker=StorableDataclassUnpacker()):
    """Base of dataclasses that are saved field by field; see :class:`holdfast.storable.dataclasses.StorableDataclass`.
    What no field's ``metadata`` gives a storage lies in the default one."""
