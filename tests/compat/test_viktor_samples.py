"""The published VIKTOR samples, call by call, run unmodified by ``python -m holdfast.compat``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.compat.viktor import Entity, File, Storage

from .jobs import python


def sample(code: str, *, entity: str = "TypeA.A1", **more: Any) -> str:
    """Run a sample as a job in an entity, and give what it printed."""
    Path("sample.py").write_text(code)
    names: dict[str, Any] = {
        "HOLDFAST_STORE": "data",
        "HOLDFAST_VIKTOR_WORKSPACE": "app",
        "HOLDFAST_VIKTOR_ENTITY": entity,
    }
    return python("-m", "holdfast.compat", "viktor", "sample.py", **names, **more).stdout


OPERATIONS = """
from viktor.core import File
from viktor.core import Storage

# two keys are set
Storage().set('data_key_1', data=File.from_data('abc'), scope='entity')
Storage().set('data_key_2', data=File.from_data('def'), scope='entity')

# one is read
content = Storage().get('data_key_1', scope='entity')

# all are listed, and those with a prefix
everything = Storage().list(scope='entity')
some = Storage().list(prefix='data_key_', scope='entity')

# one is deleted
Storage().delete('data_key_1', scope='entity')

print(content, list(everything), list(some), list(Storage().list(scope='entity')))
"""


def test_supported_operations() -> None:
    Path("sample.py").write_text(OPERATIONS)
    sample("from viktor import *\nStorage().set('other', data=File.from_data(''), scope='entity')")
    content = "<File holdfast://workspace:app/entity:TypeA.A1/data_key_1>"
    assert sample(OPERATIONS) == (
        f"{content} ['data_key_1', 'data_key_2', 'other'] ['data_key_1', 'data_key_2'] ['data_key_2', 'other']\n"
    )


SET_BY = """
from viktor.core import File, Storage
Storage().set('{key}', data=File.from_data('content set by {who}'), scope='{scope}')
"""

GET = """
from viktor.core import Storage
try:
    print(Storage().get('{key}', scope='{scope}').getvalue())
except FileNotFoundError:
    print('FileNotFoundError')
"""

GET_FROM = """
from viktor.api_v1 import Entity
from viktor.core import Storage
entity = Entity(id='A1', entity_type='TypeA')
print(Storage().get('entity_data', scope='entity', entity=entity).getvalue())
"""


def test_scope_entity() -> None:
    data = {"key": "entity_data", "scope": "entity"}
    sample(SET_BY.format(who="A1", **data), entity="TypeA.A1")
    assert sample(GET.format(**data), entity="TypeA.A1") == "content set by A1\n"
    assert sample(GET.format(**data), entity="TypeA.A2") == "FileNotFoundError\n"
    sample(SET_BY.format(who="A2", **data), entity="TypeA.A2")
    assert sample(GET.format(**data), entity="TypeA.A1") == "content set by A1\n"
    assert sample(GET.format(**data), entity="TypeA.A2") == "content set by A2\n"
    for entity in ("TypeA.A2", "TypeB.B1"):
        assert sample(GET_FROM, entity=entity) == "content set by A1\n"


def test_scope_workspace() -> None:
    data = {"key": "workspace_data", "scope": "workspace"}
    sample(SET_BY.format(who="A1", **data), entity="TypeA.A1")
    sample(SET_BY.format(who="A2", **data), entity="TypeA.A2")
    for entity in ("TypeA.A1", "TypeA.A2", "TypeB.B1"):
        assert sample(GET.format(**data), entity=entity) == "content set by A2\n"


VIEW = """
import sys
from viktor import ViktorController
from viktor.utils import memoize
from viktor.views import DataGroup, DataItem, DataResult, DataView

@memoize
def func(*, param_a, param_b, param_c):
    print('a lengthy calculation')
    return [param_a, param_b, param_c]

class Controller(ViktorController):
    label = 'Beam'

    @DataView("Results", duration_guess=30)
    def get_data_view(self, params, **kwargs):
        result = func(param_a=params['a'], param_b=params['b'], param_c=params['c'])
        return DataResult(DataGroup(DataItem('Result', result)))

view = Controller().get_data_view(dict(zip('abc', sys.argv[1])), entity_id=1, entity_name='A1')
print(view.data.items[0].value)
"""


def test_memoize_in_a_data_view() -> None:
    def view(letters: str) -> str:
        Path("view.py").write_text(VIEW)
        return python("-m", "holdfast.compat", "viktor", "view.py", letters, HOLDFAST_STORE="data").stdout

    assert view("123") == "a lengthy calculation\n['1', '2', '3']\n"
    assert view("123") == "['1', '2', '3']\n"
    for letters in ("x23", "1x3", "12x"):
        assert view(letters) == f"a lengthy calculation\n{list(letters)}\n"
        assert view(letters) == f"{list(letters)}\n"


def test_without_an_entity_the_sample_says_what_to_name() -> None:
    Path("sample.py").write_text(OPERATIONS)
    done = python("-m", "holdfast.compat", "viktor", "sample.py", check=False, HOLDFAST_STORE="data")
    assert done.returncode == 1
    assert "no entity is current" in done.stderr
    assert "set HOLDFAST_VIKTOR_ENTITY" in done.stderr


@pytest.mark.parametrize("name", ["TypeA.A1", Entity(id="A1", entity_type="TypeA")])
def test_what_a_sample_wrote_is_read_natively(name: str) -> None:
    sample(OPERATIONS)
    with holdfast.open("data") as store, store.context(workspace="app", entity=name):
        assert holdfast.get("data_key_2") == b"def"
        assert isinstance(Storage().get("data_key_2", scope="entity"), File)
