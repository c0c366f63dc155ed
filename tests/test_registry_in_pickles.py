"""A store that is sent to another process is opened there once, with a registry of one's own too."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, ClassVar

import holdfast
from holdfast.payload import Payload
from holdfast.serializers.base import Serializer


class Reversed(Serializer):
    """Text from its end."""

    name: ClassVar[str] = "test.reversed@v1"

    def serialize(self, value: Any) -> Payload:
        return Payload([value[::-1].encode()], "text/plain")

    def deserialize(self, payload: Payload) -> Any:
        return bytes(payload.buffers[0]).decode()[::-1]


def test_one_store_for_all_that_is_unpickled(tmp_path: Path) -> None:
    with holdfast.open(tmp_path / "data", registry=holdfast.Registry([Reversed])) as store:
        scope = store.namespace("a")
        scope.put("k", "abc", serializer="test.reversed@v1")
        first, second = (pickle.loads(pickle.dumps(scope)) for _ in range(2))
        assert first == second
        assert first.get("k") == "abc"
        assert first.get_bytes("k") == b"cba"
        pickle.loads(pickle.dumps(store)).close()


def test_registries_of_equal_parts_are_equal() -> None:
    assert holdfast.Registry([Reversed]) == holdfast.Registry([Reversed])
    assert len({holdfast.Registry([Reversed]), holdfast.Registry([Reversed])}) == 1
    assert holdfast.Registry([Reversed]) != holdfast.Registry()
    assert holdfast.Registry([Reversed]) != holdfast.Registry([Reversed()])
