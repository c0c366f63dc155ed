"""Records of objects that somebody else has made: nothing of them runs, and no content is taken for another."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import holdfast
from holdfast import Unpacker
from holdfast.errors import EncodeError, IntegrityError

from .conftest import Open
from .samples import ROWS, Leaf


@dataclass
class Pair(holdfast.StorableDataclass, class_id="b0000040"):
    """Two arrays."""

    one: Any
    two: Any


class Evil:
    """What makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.path),)


def altered(folder: Path, what: str, *values: Any) -> None:
    """Change all rows of the catalog."""
    with sqlite3.connect(folder / "data/catalog.sqlite") as db:
        db.execute(what, values)
    db.close()


def test_a_pickle_in_an_object_that_a_content_is_said_to_be(open_here: Open, tmp_path: Path) -> None:
    value, data = holdfast.StorableValue("x"), pickle.dumps(Evil(tmp_path / "ran"))
    with open_here() as store:
        row = store.namespace("prod").put("k", value).row
    outer = json.loads(str(row.config))
    (content,) = outer["contents"]
    content.update(size=len(data), algorithm="sha256", digest=hashlib.sha256(data).hexdigest(), at=0)
    inner = json.loads(json.dumps(outer))
    inner["contents"][0].update(serializer="holdfast.pickle@v1", type="application/x-python-pickle")
    content.update(serializer="holdfast.storable@v1", config=inner)
    altered(
        tmp_path, "UPDATE records SET config=?, data=?, size=?, algorithm=1, digest=?, signature=NULL",
        json.dumps(outer), data, len(data), hashlib.sha256(data).digest(),
    )  # fmt: skip
    with open_here() as store:
        for verify in (False, True):
            with pytest.raises(IntegrityError, match="prod/k"):
                store.namespace("prod").get("k", verify=verify)
        assert [problem.code for problem in store.verify().problems] == ["integrity"]
    assert not (tmp_path / "ran").exists()


def test_members_of_one_size_that_changed_places(open_here: Open, tmp_path: Path) -> None:
    with open_here() as store:
        store.namespace("prod").put("k", Pair(one=np.zeros(ROWS), two=np.ones(ROWS)))
    with sqlite3.connect(tmp_path / "data/catalog.sqlite") as db:
        (first,), (second,) = db.execute("SELECT blob FROM members ORDER BY n")
        db.execute("UPDATE members SET blob=-?1 WHERE n=0", [second])
        db.execute("UPDATE members SET blob=?1 WHERE n=1", [first])
        db.execute("UPDATE members SET blob=-blob WHERE n=0")
    db.close()
    with open_here() as store:
        scope = store.namespace("prod")
        with pytest.raises(IntegrityError, match="other bytes for"):
            scope.get("k").one  # noqa: B018  it is read now
        with pytest.raises(IntegrityError, match="other bytes for"):
            scope.update("k", lambda leaf: leaf)
        assert [problem.code for problem in store.verify().problems] == ["integrity"]


class Naming(Unpacker):
    """One that names contents as it is told."""

    name = "test.naming@v1"

    def __init__(self, *names: str) -> None:
        self.names = names

    def unpack_object(self, obj: Any, registry: Any) -> Mapping[str, Mapping[str, Any]]:
        return {name: {"value": 1} for name in self.names}

    def repack_object(self, cls: type[Any], contents: Mapping[str, Mapping[str, Any]], registry: Any) -> Any:
        return cls()


def test_names_and_numbers_of_contents_that_no_export_could_write(open_here: Open) -> None:
    class Named(holdfast.Storable, class_id="b0000041", unpacker=Naming("\ud800")):
        pass

    class Many(holdfast.Storable, class_id="b0000042", unpacker=Naming(*map(str, range(50_000)))):
        pass

    for kind, told in ((Named, "which is no text"), (Many, "50000 contents, more than")):
        registry = holdfast.Registry(unpackers=[kind.storable_config().unpacker])  # type: ignore[union-attr]
        with open_here(registry=registry) as store:
            with pytest.raises(EncodeError, match=told):
                store.namespace("prod").put("k", kind())
            assert list(store.namespace("prod").keys()) == []


def test_objects_that_name_each_other_s_contents_are_made_once() -> None:
    """Else forty small contents would take years."""
    unpacker = Leaf.storable_config().unpacker  # type: ignore[union-attr]
    names = {f"c{n}": f"c{n}" for n in range(41)}

    def body(n: int) -> dict[str, Any]:
        config = Leaf.storable_config()
        assert config is not None
        inner = {"holdfast": ["contents", config.class_id, "x", unpacker.name, {**names, "body": f"c{n + 1}"}]}
        return {"fields": {"name": inner, "array": inner}, "marked": ["name", "array"]}

    contents: dict[str, Any] = {f"c{n}": {"value": body(n)} for n in range(41)}
    with pytest.raises(holdfast.DecodeError, match="is not one that was written"):
        unpacker.repack_object(Leaf, {"body": {"value": body(0)}, **contents}, holdfast.Registry())
