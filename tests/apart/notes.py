"""Serializers as their authors write them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any, ClassVar

from holdfast.apart import FILE_PROTOCOL, S3_PROTOCOL

__all__ = ["Grid", "GridSerializer"]


class Grid:
    """What a serializer is for."""

    def __init__(self, cells: list[int]) -> None:
        self.cells = cells

    def __reduce__(self) -> Any:
        raise TypeError("a grid is not to be pickled")


class GridSerializer:
    """Writes a grid as JSON, and notes what it is asked."""

    name = "grid"
    serializer_class = Grid
    calls: ClassVar[list[tuple[str, Any]]] = []

    @classmethod
    def pickle(cls, obj: Grid, protocols: Mapping[str, Any]) -> tuple[str, tuple[str, str]]:
        filename = uuid.uuid4().hex
        if FILE_PROTOCOL in protocols:
            with protocols[FILE_PROTOCOL].open(filename, "w") as file:
                json.dump(obj.cells, file)
        else:
            s3 = protocols[S3_PROTOCOL]
            with s3["client"].open(f"{s3['folder']}/{filename}", "wb") as file:
                file.write(json.dumps(obj.cells).encode())
        cls.calls.append(("pickle", filename))
        return cls.name, ("1.0", filename)

    @classmethod
    def unpickle(cls, persistent_id: tuple[str, str], protocols: Mapping[str, Any]) -> Grid:
        version, filename = persistent_id
        assert version == "1.0"
        cls.calls.append(("unpickle", filename))
        if FILE_PROTOCOL in protocols:
            with protocols[FILE_PROTOCOL].open(filename, "r") as file:
                return Grid(json.load(file))
        s3 = protocols[S3_PROTOCOL]
        with s3["client"].open(f"{s3['folder']}/{filename}", "rb") as file:
            return Grid(json.loads(file.read()))

    @classmethod
    def remove(cls, persistent_id: tuple[str, str], protocols: Mapping[str, Any]) -> None:
        cls.calls.append(("remove", persistent_id[1]))
        if FILE_PROTOCOL in protocols:
            protocols[FILE_PROTOCOL].remove(persistent_id[1])
