"""The tree of errors is the one that its docstring draws, and its codes are for ever."""

from __future__ import annotations

import builtins
import copy
import pickle
import re
import subprocess
import sys

import pytest

from holdfast import errors
from holdfast.errors import HoldfastError

CODES = {
    "HoldfastError": "holdfast",
    "NotFoundError": "not_found",
    "ValueLost": "value_lost",
    "ConflictError": "conflict",
    "ExistsError": "exists",
    "ScopeDroppedError": "scope_dropped",
    "LeaseLost": "lease_lost",
    "InvalidArgumentError": "invalid_argument",
    "InvalidKeyError": "invalid_key",
    "InvalidScopeError": "invalid_scope",
    "EncodeError": "encode",
    "UnsupportedValue": "unsupported_value",
    "UnhashableError": "unhashable",
    "DecodeError": "decode",
    "IntegrityError": "integrity",
    "SignatureError": "signature",
    "NotRegisteredError": "not_registered",
    "MissingExtraError": "missing_extra",
    "StoreError": "store",
    "StoreNotFoundError": "store_not_found",
    "NotAStoreError": "not_a_store",
    "ReadOnlyError": "read_only",
    "NetworkFilesystemError": "network_filesystem",
    "OtherHostError": "other_host",
    "SchemaError": "schema",
    "AccessError": "forbidden",
    "TaskFailed": "task_failed",
    "TaskLost": "task_lost",
    "DefinitionError": "definition",
    "FlowFailed": "flow_failed",
    "StorageFullError": "storage_full",
    "QuotaExceededError": "quota_exceeded",
    "BusyError": "busy",
    "RecursiveCallError": "recursive_call",
    "ClosedError": "closed",
}
"""Add lines here; never change or remove one, as logs and clients in other languages hold these codes."""

CLASSES: dict[str, type[HoldfastError]] = {name: getattr(errors, name) for name in errors.__all__}

LINE = re.compile(r"    (?P<indent>[│├└─ ]*)(?P<name>[A-Z]\w+)(?: \((?P<builtin>\w+)\))?(?: {2,}\S.*)?")


def drawn() -> dict[str, tuple[str | None, str | None]]:
    """Name to (parent, built-in base) as the docstring draws them."""
    tree: dict[str, tuple[str | None, str | None]] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = LINE.fullmatch(line)
        if match:
            depth = len(match["indent"]) // 4
            del above[depth:]
            tree[match["name"]] = (above[-1] if above else None, match["builtin"])
            above.append(match["name"])
    return tree


def real() -> dict[str, tuple[str | None, str | None]]:
    """The same of the classes themselves."""
    tree: dict[str, tuple[str | None, str | None]] = {}
    for name, cls in CLASSES.items():
        ours = [base.__name__ for base in cls.__bases__ if issubclass(base, HoldfastError)]
        others = [base.__name__ for base in cls.__bases__ if not issubclass(base, HoldfastError)]
        tree[name] = (ours[0] if ours else None, next((base for base in others if base != "Exception"), None))
    return tree


def descendants(cls: type[HoldfastError]) -> set[type[HoldfastError]]:
    return {cls}.union(*(descendants(child) for child in cls.__subclasses__() if child.__module__ == errors.__name__))


def test_the_docstring_draws_the_tree() -> None:
    assert drawn() == real()


def test_every_error_is_public() -> None:
    assert descendants(HoldfastError) == set(CLASSES.values())


def test_codes_stay() -> None:
    assert {name: cls.code for name, cls in CLASSES.items()} == CODES
    assert len(set(CODES.values())) == len(CODES)


@pytest.mark.parametrize("name", CLASSES)
def test_an_error_survives_pickling(name: str) -> None:
    message = "no key 'a' — in %s\nof that scope"
    error = CLASSES[name](message)
    copies = [pickle.loads(pickle.dumps(error, protocol)) for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)]
    for twin in [*copies, copy.copy(error), copy.deepcopy(error)]:
        assert type(twin) is type(error)
        assert (str(twin), twin.message, twin.code, twin.args) == (message, message, error.code, (message,))


@pytest.mark.parametrize("name", CLASSES)
def test_an_error_shows_its_message(name: str) -> None:
    assert str(CLASSES[name]("plain text")) == "plain text"
    assert str(CLASSES[name]()) == ""


@pytest.mark.parametrize("name", [name for name, (_, builtin) in drawn().items() if builtin])
def test_a_built_in_base_catches_it(name: str) -> None:
    builtin = drawn()[name][1]
    assert builtin
    with pytest.raises(getattr(builtins, builtin)) as caught:
        raise CLASSES[name]("m")
    assert isinstance(caught.value, HoldfastError)


def test_they_travel_also_where_tblib_pickles_all_errors() -> None:
    """As in each process that imports distributed; in one of its own, since nobody can take that back."""
    program = (
        "import pickle, tblib.pickling_support, holdfast.errors as errors\n"
        "from holdfast.filesystem.faults import FileMissing, IsFolder\n"
        "tblib.pickling_support.install()\n"
        "for kind in (FileMissing, IsFolder, *(getattr(errors, name) for name in errors.__all__)):\n"
        "    found = pickle.loads(pickle.dumps(kind('what happened')))\n"
        "    assert (type(found), str(found), found.message) == (kind, 'what happened', 'what happened'), kind\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
