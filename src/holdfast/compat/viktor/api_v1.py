"""The entities that a job names."""

from __future__ import annotations

from typing import Any

from ...address import check_name
from ...errors import InvalidArgumentError

__all__ = ["Entity"]


class Entity(str):
    """An entity of a workspace, by hand: ``Entity(id="A1", entity_type="Span")``, which is the text ``Span.A1``.

    That is the name of its scope, so that ``store.context(entity=...)`` takes it, too.
    """

    id: int | str
    entity_type: str

    def __new__(cls, id: Any, entity_type: Any) -> Entity:
        """Name one.

        Raises:
            InvalidArgumentError: an id that is no number or text, or a type that is no text or has a dot.
        """
        if not isinstance(id, int | str) or isinstance(id, bool) or id == "":
            raise InvalidArgumentError(f"id must be an entity's number or name, not {id!r}")
        if not isinstance(entity_type, str) or not entity_type or "." in entity_type:
            raise InvalidArgumentError(f"entity_type must be a name without a dot, not {entity_type!r}")
        entity = super().__new__(cls, check_name("entity", f"{entity_type}.{id}")[1])
        entity.id, entity.entity_type = id, entity_type
        return entity

    def __getnewargs__(self) -> Any:
        return self.id, self.entity_type

    def __repr__(self) -> str:
        return f"Entity(id={self.id!r}, entity_type={self.entity_type!r})"
