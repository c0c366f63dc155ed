"""Which functions flows may call: where that is configured, and that a store's settings do not mind."""

from __future__ import annotations

from pathlib import Path

import pytest

import holdfast
from holdfast.config import find_config, functions_file
from holdfast.errors import DefinitionError, InvalidArgumentError
from holdfast.flows.functions import configured

from .flowing import write

CALLING = "functions: [{id: f, image: acme/shout:v1}]\nstates: [{id: a, type: action, action: {function: f}}]\n"
SHOUT = '[functions."acme/shout"]\ncommand = ["tr", "a-z", "A-Z"]\n'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, with nothing configured."""
    for name in ("HOLDFAST_FUNCTIONS", "HOLDFAST_STORE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_option_comes_before_the_variable_and_that_before_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert functions_file() is None
    write(folder, holdfast_toml=f'store = "data"\n{SHOUT}', other_toml=SHOUT, third_toml=SHOUT)
    (folder / "below").mkdir()
    monkeypatch.chdir(folder / "below")
    assert functions_file() == str(folder / "holdfast.toml")
    monkeypatch.setenv("HOLDFAST_FUNCTIONS", "../other.toml")
    assert functions_file() == str(folder / "other.toml")
    assert functions_file(folder / "third.toml") == str(folder / "third.toml")


def test_a_store_reads_its_settings_beside_them(folder: Path) -> None:
    write(folder, holdfast_toml=f'store = "data"\ntimeout = 5\n\n{SHOUT}\n[actions]\ntimeout = 3\n')
    config = find_config()
    assert (config.store, config.timeout) == (str(folder / "data"), 5.0)
    write(folder, holdfast_toml=f'store = "data"\nfunction = 3\n{SHOUT}')
    with pytest.raises(InvalidArgumentError, match=r"unknown setting 'function'; there are .*, functions, actions"):
        find_config()


def test_a_file_without_such_tables_configures_none(folder: Path) -> None:
    write(folder, holdfast_toml='store = "data"\n')
    assert functions_file() is None
    with configured() as functions:
        assert "no function is configured for 'x'" in (functions.check("x") or "")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[actions]\ntimeout = 3\n", 'needs tables such as [functions."acme/thumb"]'),
        ("functions = 3\n", "needs tables"),
        ("[functions.f]\nurl = 3\n", "function 'f': Expected `str | null`, got `int`"),
        ("[functions.f]\nurl = 'http://a/'\ncommand = ['b']\n", "give either url"),
        ("[functions.f]\nurl = 'http://a/'\n[actions]\ndoor = 'here'\n", "door is a host and a port"),
        ("[functions.f\n", "not valid TOML"),
    ],
)
def test_what_is_not_legal_names_the_file(folder: Path, text: str, told: str) -> None:
    write(folder, functions_toml=text)
    with pytest.raises(InvalidArgumentError) as caught:
        configured("functions.toml")
    assert str(folder / "functions.toml") in str(caught.value)
    assert told in str(caught.value)


def test_flows_in_python_have_them(folder: Path) -> None:
    with holdfast.open(folder / "data") as store:
        flows = store.namespace("prod").flows
        flows.register("/f.yaml", CALLING)
        with pytest.raises(DefinitionError, match=r"no function is configured for 'acme/shout:v1'.*HOLDFAST_FUNCTIONS"):
            flows.run("/f.yaml")
    write(folder, holdfast_toml=SHOUT)
    with holdfast.open(folder / "data") as store:
        output = store.namespace("prod").flows.run("/f.yaml", {"said": "hold"})
    assert output == {"said": "hold", "return": {"SAID": "HOLD"}}
