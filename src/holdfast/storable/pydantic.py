"""Pydantic models as storables: ``from holdfast.storable.pydantic import StorableModel, StorableSpec``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from enum import Enum
from types import NoneType
from typing import Any, NamedTuple, get_args

from ..contents import Unread
from ..errors import DecodeError, MissingExtraError
from .base import full_name
from .fields import Field, FieldStorable, FieldUnpacker

try:
    from pydantic import BaseModel, TypeAdapter, ValidationError
except ImportError as error:
    raise MissingExtraError('storable models are pydantic\'s: pip install "holdfast[pydantic]"') from error

__all__ = ["ModelUnpacker", "StorableModel", "StorableSpec"]


class StorableSpec(NamedTuple):
    """How a field of a model is stored: ``frame: Annotated[pd.DataFrame, StorableSpec(storage="my.archive@v1")]``.

    Attributes:
        serializer: of a value, or of a stream, by name, class or instance.
        storage: likewise.
    """

    serializer: Any = None
    storage: Any = None


class ModelUnpacker(FieldUnpacker):
    """Takes models apart; see :class:`StorableModel`."""

    name = "holdfast.pydantic@v1"

    def fields_of(self, obj: Any) -> Iterator[Field]:
        """Its fields, and what it was given beyond them."""
        for name, field in type(obj).model_fields.items():
            spec = next((item for item in field.metadata if isinstance(item, StorableSpec)), StorableSpec())
            value = getattr(obj, name)
            yield Field(name, _simple(value, field.annotation) if spec == (None, None) else value, *spec)
        for name, value in (obj.model_extra or {}).items():
            yield Field(name, value)

    def make(self, cls: type[Any], fields: dict[str, Any]) -> Any:
        """The model, validated."""
        values = {name: value.value if isinstance(value, Unread) else value for name, value in fields.items()}
        try:
            return cls.model_validate(values, by_alias=False, by_name=True)
        except ValidationError as error:
            faults = "; ".join(
                f"{full_name(cls)}.{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
                for fault in error.errors(include_url=False, include_input=False)
            )
            raise DecodeError(f"what was stored is no {full_name(cls)} any more: {faults}") from error

    def nested(self, value: Any) -> Mapping[str, Any] | None:
        """The fields of a model that is no storable."""
        return dict(value) if isinstance(value, BaseModel) else None


def _simple(value: Any, annotation: Any) -> Any:
    """What a field of exactly this kind is validated from, where none but pydantic knows the kind: the value of an
    enumeration, the text of a URL. Else the value, which is stored as what it is."""
    kind = type(value)
    if {*(get_args(annotation) or (annotation,))} - {NoneType} != {kind}:
        return value
    if isinstance(value, Enum):
        return value.value if kind(value.value) is value else value
    if kind.__module__.partition(".")[0] in ("pydantic", "pydantic_core", "ipaddress"):
        with suppress(ValueError):
            adapter: TypeAdapter[Any] = TypeAdapter(kind)
            simple = adapter.dump_python(value, mode="json")
            return simple if adapter.validate_python(simple) == value else value
    return value


class StorableModel(FieldStorable, BaseModel, unpacker=ModelUnpacker(), arbitrary_types_allowed=True):
    """Base of pydantic models that are stored field by field, as a :class:`~holdfast.StorableDataclass` is."""
