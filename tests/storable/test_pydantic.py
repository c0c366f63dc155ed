"""Pydantic models as storables."""

from __future__ import annotations

import asyncio
import enum
import ipaddress
import subprocess
import sys
import uuid
from collections.abc import AsyncIterable
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Optional

import numpy as np
import pandas as pd
import pydantic
import pytest

from holdfast.errors import DecodeError, EncodeError, InvalidArgumentError
from holdfast.storable.pydantic import StorableModel, StorableSpec

from .conftest import ARCHIVE, Open
from .samples import ROWS, Leaf


class Colour(enum.Enum):
    """An enumeration."""

    RED = "red"
    NONE = None


class Part(pydantic.BaseModel):
    """A model that is no storable."""

    number: int
    array: Any = None


class Child(StorableModel, class_id="d0000001"):
    """A model in a model."""

    frame: Any = None


class Model(StorableModel, class_id="d0000002", extra="allow"):
    """A model with all kinds of fields."""

    name: str
    when: datetime = datetime(2024, 1, 1, tzinfo=timezone.utc)
    colour: Colour = Colour.RED
    maybe: Optional[Colour] = None  # noqa: UP045
    either: Colour | int = 1
    url: pydantic.HttpUrl | None = None
    address: ipaddress.IPv4Address | None = None
    secret: pydantic.SecretStr | None = None
    amounts: dict[int, Decimal] = pydantic.Field(default_factory=dict)
    pair: tuple[int, str] = (1, "a")
    kind: Literal["a", "b"] = "a"
    path: PurePosixPath = PurePosixPath("x")
    id: uuid.UUID = uuid.UUID(int=5)
    parts: list[Part] = pydantic.Field(default_factory=list)
    child: Child | None = None
    leaf: Leaf | None = None
    renamed: int = pydantic.Field(3, alias="otherName")
    table: Annotated[pd.DataFrame | None, StorableSpec(storage=ARCHIVE)] = None
    rows: Annotated[Any, StorableSpec(serializer="holdfast.json@v1")] = None
    lines: Annotated[AsyncIterable[Any] | Any, StorableSpec(serializer="holdfast.json-lines@v1")] = None


def full() -> Any:
    kind: Any = Model
    return kind(
        name="full", colour=Colour.NONE, maybe=Colour.RED, either=Colour.RED, url="http://example.org/a?b=c",
        address="10.0.0.1", secret="quiet", amounts={5: Decimal("1.10")}, pair=(2, "b"), kind="b",
        parts=[Part(number=1, array=np.arange(ROWS)), Part(number=2)], child=Child(frame=pd.DataFrame({"a": [1]})),
        leaf=Leaf(name="leaf", array=np.arange(5)), otherName=9, table=pd.DataFrame({"x": np.arange(ROWS)}),
        rows={"a": [1, 2]}, beyond=np.arange(3), plain="extra",
    )  # fmt: skip


def test_a_model_comes_back_as_it_was(open_store: Open) -> None:
    with open_store() as store:
        scope = store.namespace("prod")
        scope.put("model", full())
        got, model = scope.get("model"), full()
        for name in set(Model.model_fields) - {"parts", "child", "leaf", "table"}:
            assert getattr(got, name) == getattr(model, name), name
            assert type(getattr(got, name)) is type(getattr(model, name)), name
        assert [part.number for part in got.parts] == [1, 2]
        assert got.parts[0].array.tolist() == list(range(ROWS))
        assert type(got.child) is Child
        assert got.child.frame.equals(pd.DataFrame({"a": [1]}))
        assert (type(got.leaf), got.leaf.array.tolist()) == (Leaf, list(range(5)))
        assert got.table.equals(model.table)
        assert (got.beyond.tolist(), got.plain) == ([0, 1, 2], "extra")
        contents = scope.contents("model")
        assert contents["table"].storage == ARCHIVE
        assert contents["rows"].serializer == "holdfast.json@v1"
        assert contents["child/frame"].serializer == "holdfast.pandas@v1"
        assert {name for name, content in contents.items() if content.serializer == "holdfast.pickle@v1"} == {
            "either", "secret",  # which no text would give back
        }  # fmt: skip


def test_a_models_stream_is_read_as_it_was_written_in_either_way(open_store: Open) -> None:
    async def lines() -> Any:
        for n in range(3):
            yield {"n": n}

    kind: Any = Model

    async def main(scope: Any) -> None:
        await scope.put("async", kind(name="b", lines=lines()))
        got = await scope.get("async")
        assert [line async for line in got.lines] == [{"n": 0}, {"n": 1}, {"n": 2}]

    with open_store() as store:
        scope = store.namespace("prod")
        scope.put("sync", kind(name="a", lines=iter([{"n": 5}])))
        assert list(scope.get("sync").lines) == [{"n": 5}]
        asyncio.run(main(scope.aio))


def test_what_cannot_be_stored_names_class_and_field(open_here: Open) -> None:
    kind: Any = Model
    with open_here() as store:
        scope = store.namespace("prod")
        with pytest.raises(EncodeError, match=r"tests\.storable\.test_pydantic\.Model\.rows: .*set"):
            scope.put("model", kind(name="a", rows={1, 2}))
        with pytest.raises(InvalidArgumentError, match=r"Nameless cannot be stored: give it a class id"):
            scope.put("model", type("Nameless", (StorableModel,), {"__module__": __name__})())
        assert not scope.exists("model")


def test_what_is_no_model_any_more_names_class_and_field(open_here: Open) -> None:
    old: Any = pydantic.create_model("Old", __base__=StorableModel, __cls_kwargs__={"class_id": "d0000003"}, a=(int, 1))
    with open_here() as store:
        scope = store.namespace("prod")
        scope.put("model", old(a=5))
        del old
        new = pydantic.create_model(
            "New", __base__=StorableModel, __cls_kwargs__={"class_id": "d0000003", "extra": "forbid"}, b=(str, ...)
        )
        with pytest.raises(DecodeError, match=r"prod/model: .*New\.b: Field required; .*New\.a: Extra inputs are not"):
            scope.get("model")
        del new
        last: Any = pydantic.create_model(
            "Last", __base__=StorableModel, __cls_kwargs__={"class_id": "d0000003"}, a=(float, 1), c=(str, "new")
        )
        assert scope.get("model") == last(a=5.0, c="new")


def test_without_pydantic_the_extra_is_named() -> None:
    code = "import sys; sys.modules['pydantic'] = None; import holdfast; import holdfast.storable.pydantic"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert 'MissingExtraError: storable models are pydantic\'s: pip install "holdfast[pydantic]"' in done.stderr
