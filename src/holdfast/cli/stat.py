"""``holdfast stat``: all that is known of a record, a scope or the store."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from ..address import format_path
from ..api import Scope, Store
from ..artifact import METADATA
from ..contents import object_of
from ..model import STORABLE, Content, Record
from .arguments import JsonOption, PlaceArgument, StoreOption, open_store, parse
from .printing import document, print_columns, record_json, time_json
from .wording import shown, size_text

__all__ = ["stat"]


def stat(
    address: PlaceArgument = "",
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show all about a record, a scope or the store.

    \b
    Examples:
      holdfast stat namespace:prod/workflow:forecast/model
      holdfast stat namespace:prod --json
    """
    with open_store(store) as opened:
        scope, key = parse(opened, address)
        if not isinstance(scope, Scope):
            facts = _store(opened)
        elif key is None:
            facts = _scope(scope)
        else:
            facts = _record(scope.record(key), scope.contents(key))
    if as_json:
        document(facts)
        return
    contents = facts.pop("contents", {})
    print_columns([(name.replace("_", " "), _line(name, value)) for name, value in facts.items()])
    for name, content in contents.items():
        print(f"\n{shown(name)}")
        print_columns([(f"  {part.replace('_', ' ')}", _line(part, value)) for part, value in content.items()])


def _record(record: Record, contents: Mapping[str, Content]) -> dict[str, Any]:
    facts = record_json(record)
    if record.serializer != STORABLE:
        return {**facts, **_content(contents["value"])}
    class_id, unpacker, kind = object_of(record)
    return {
        **facts,
        "class": kind,
        "class_id": class_id,
        "unpacker": unpacker,
        "contents": {
            name: {
                "size": content.size,
                "digest": f"{content.algorithm}:{content.digest.hex()}" if content.digest else None,
                "content_type": content.content_type,
                "serializer": content.serializer,
                "stream": content.stream,
                **_content(content),
            }
            for name, content in contents.items()
        },
    }


def _content(content: Content) -> dict[str, Any]:
    return {
        "encoding": content.encoding,
        "serializer_config": content.serializer_config,
        "storage": content.storage or "catalog",
        "storage_config": content.storage_config,
    }


def _scope(scope: Scope) -> dict[str, Any]:
    info, usage = scope.info(), scope.usage()
    facts: dict[str, Any] = {
        "scope": format_path(info.path),
        "kind": info.kind,
        "name": info.name,
        "created": time_json(info.created),
        "properties": dict(info.properties),
        "records": usage.records,
        "size": usage.size,
        "scopes": sum(1 for _ in scope.children()),
    }
    if info.kind == "artifact":
        facts["metadata"] = scope.get(METADATA, {})
    return facts


def _store(store: Store) -> dict[str, Any]:
    return {
        "store": store.config.store,
        "id": store.id,
        "durability": store.config.durability,
        "inline": store.config.inline,
        "timeout": store.config.timeout,
        "scopes": sum(1 for _ in store.children()),
        "now": time_json(datetime.now(timezone.utc)),
    }


def _line(name: str, value: Any) -> str:
    """A fact in words."""
    if name == "size":
        return f"{size_text(value)} ({value:,} bytes)"
    if isinstance(value, dict):
        return shown(" ".join(f"{key}={item}" for key, item in value.items())) or "-"
    return "-" if value is None else shown(str(value))
