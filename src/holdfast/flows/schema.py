"""JSON Schema: the check of a definition's schemas, and of data by them. Nothing is fetched."""

from __future__ import annotations

from typing import Any

from ..errors import MissingExtraError
from .document import Node
from .failures import Codes, Failure
from .fields import Reading

__all__ = ["check_schema", "validate"]

_MESSAGE = 500  # characters


def _validators() -> Any:
    try:
        import jsonschema
    except ImportError as error:
        raise MissingExtraError('flows need jq, jsonschema and PyYAML: pip install "holdfast[flows]"') from error
    return jsonschema


def check_schema(node: Node, where: str, reading: Reading) -> Any:
    """The schema that a field has, for :class:`~holdfast.flows.fields.Fields`."""
    schema = node.plain
    if not isinstance(schema, (dict, bool)):
        raise ValueError("a JSON Schema is a map")
    library = _validators()
    try:
        _class(library, schema).check_schema(schema)
    except library.SchemaError as error:
        raise ValueError(f"this is no JSON Schema: {error.message:.{_MESSAGE}}") from None
    except RecursionError:
        raise ValueError("this is no JSON Schema: it is nested too deep") from None
    return schema


def _class(library: Any, schema: Any) -> Any:
    return library.validators.validator_for(schema, default=library.Draft202012Validator)


def validate(subject: Any, schema: Any) -> None:
    """Check data by a schema.

    Raises:
        Failure: ``direktiv.schema.failed``: it does not fit, or the schema refers to what is not in it.
    """
    from referencing import Registry  # without one, references would be fetched
    from referencing.exceptions import Unresolvable

    registry: Any = Registry()
    library = _validators()
    try:
        error = library.exceptions.best_match(_class(library, schema)(schema, registry=registry).iter_errors(subject))
    except Unresolvable as missing:
        raise Failure(Codes.SCHEMA, f"the schema refers to what is not in it: {missing}"[:_MESSAGE]) from None
    except RecursionError:
        raise Failure(Codes.SCHEMA, "the schema refers to itself without end, or the data is nested too deep") from None
    if error is not None:
        raise Failure(Codes.SCHEMA, f"{error.json_path}: {error.message:.{_MESSAGE}}")
