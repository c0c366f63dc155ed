"""Pydantic models as storables."""

from __future__ import annotations

from ....storable.pydantic import ModelUnpacker
from ....storable.pydantic import StorableModel as NativeModel
from ....storable.pydantic import StorableSpec as StorableSpec
from ..core.storable import Bodied, Storable

__all__ = ["StorableModel", "StorableModelUnpacker"]


class StorableModelUnpacker(ModelUnpacker):
    """Takes models apart as Holdfast does, under labox' name."""

    name = "labox.pydantic@v1"


class StorableModel(Bodied, NativeModel, Storable, unpacker=StorableModelUnpacker()):
    """Base of models that are saved field by field; see :class:`holdfast.storable.pydantic.StorableModel`. What no
    field's :class:`StorableSpec` gives a storage lies in the default one."""
