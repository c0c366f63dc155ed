"""``holdfast run``: behaviours D16 and D31, and what a command owes: exit codes, both outputs, signals."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import holdfast

from .flowing import CALLING, COUNTER, FUNCTIONS, begun, instances, until, write
from .running import process, run

GETTER = "states:\n- id: a\n  type: getter\n  variables:\n  - key: MyVar\n    scope: namespace\n"
SETTER = GETTER.replace("getter", "setter") + "    value: 'Hello'\n"


def test_d16_the_published_counter_says_three(tmp_path: Path) -> None:
    write(tmp_path, counter_yaml=COUNTER)
    for number in (1, 2, 3):
        ended = process("run", "counter.yaml", "--store", "data", folder=tmp_path)
        assert (ended.code, ended.out) == (0, f'{{"var":{{"x":{number}}}}}\n')
    assert [line.split(maxsplit=1)[1] for line in ended.err.splitlines()] == ["a: it is nobody", "complete"]


def test_the_published_setter_and_getter(at: list[str], tmp_path: Path) -> None:
    write(tmp_path, set_yaml=SETTER, get_yaml=GETTER, delete_yaml=SETTER.replace("'Hello'", ""))
    said = [run("run", tmp_path / f"{name}.yaml", *at).out for name in ("set", "get", "delete", "get")]
    assert said == ["{}\n", '{"var":{"MyVar":"Hello"}}\n', "{}\n", '{"var":{"MyVar":null}}\n']


# --- D31 --------------------------------------------------------------------------------------------------------------


def test_d31_a_flow_is_registered_at_the_root_of_the_default_namespace(
    store: holdfast.Store, at: list[str], tmp_path: Path
) -> None:
    assert not store.namespace("default").present
    write(tmp_path, **{"deep/counter_yaml": COUNTER})
    assert run("run", tmp_path / "deep" / "counter.yaml", *at).json == {"var": {"x": 1}}
    tree = store.namespace("default").scope("file", "tree")
    record = tree.record("counter.yaml")
    assert (record.tags["type"], tree.get_bytes("counter.yaml").decode()) == ("workflow", COUNTER)
    assert store.namespace("default").workflow("/counter.yaml").get_bytes("x") == b"1"


def test_d31_as_and_namespace(store: holdfast.Store, at: list[str], tmp_path: Path) -> None:
    write(tmp_path, counter_yaml=COUNTER)
    words = ("--namespace", "prod", "--as", "team/count.yaml", *at)
    for number in (1, 2):
        assert run("run", tmp_path / "counter.yaml", *words).json == {"var": {"x": number}}
    assert run("run", *words).json == {"var": {"x": 3}}  # what is registered needs no file
    prod = store.namespace("prod")
    assert prod.workflow("/team/count.yaml").get_bytes("x") == b"3"
    assert prod.scope("file", "tree").record("team").tags["type"] == "directory"
    assert not store.namespace("default").present


def test_d31_what_does_not_change_is_not_written_again(store: holdfast.Store, at: list[str], tmp_path: Path) -> None:
    write(tmp_path, counter_yaml=COUNTER)
    tree = store.namespace("default").scope("file", "tree")
    found = []
    for text in (COUNTER, COUNTER, COUNTER + "# changed\n"):
        write(tmp_path, counter_yaml=text)
        found.append((run("run", tmp_path / "counter.yaml", *at).json["var"]["x"], tree.record("counter.yaml").version))
    assert [x for x, _ in found] == [1, 2, 3]  # the variables are the path's
    assert found[0][1] == found[1][1] < found[2][1]


# --- input and output -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "data"),
    [
        ('{"a": 1.50}', {"a": 1.5}),
        ("[1, 2]", {"input": [1, 2]}),
        ('"text"', {"input": "text"}),
        ("@object.json", {"b": "é"}),
        ("@bytes.bin", {"input": base64.b64encode(b"\xff\x00").decode()}),
        ("-", {"c": 3}),
    ],
)
def test_input(
    at: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, data: dict[str, object]
) -> None:
    write(tmp_path, flow_yaml="states: [{id: a, type: noop}]\n", object_json='{"b": "é"}')
    (tmp_path / "bytes.bin").write_bytes(b"\xff\x00")
    monkeypatch.chdir(tmp_path)
    assert run("run", "flow.yaml", *at, "--input", given, input='{"c": 3}').json == data


def test_input_that_is_no_json_is_told_of(at: list[str], tmp_path: Path) -> None:
    write(tmp_path, flow_yaml="states: [{id: a, type: noop}]\n", broken_json='{"a": ')
    words = ["run", str(tmp_path / "flow.yaml"), *at, "--input"]
    first = run(*words, f"@{tmp_path}/broken.json").err.splitlines()[0]
    assert first.startswith("the input is no JSON: the flow has it as base64, in .input (Expecting value: line 1")
    assert run(*words, "-", input=b"\xff").err.startswith("the input is no JSON")
    assert run(*words, "-", "--quiet", input=b"\xff").err == ""
    assert "no JSON" not in run(*words, "-", input=b"").err  # nothing is {}
    ended = process(*words, os.fsdecode(b'"\xff"'))
    assert (ended.code, "--input takes JSON" in ended.err) == (2, True)


def test_json(at: list[str], tmp_path: Path) -> None:
    write(tmp_path, counter_yaml=COUNTER)
    ended = run("run", tmp_path / "counter.yaml", *at, "--input", '{"by": "me"}', "--json")
    found = ended.json
    assert found["output"] == {"by": "me", "var": {"x": 1}}
    assert [found[name] for name in ("is", "state", "path", "invoker")] == ["flow", "complete", "/counter.yaml", "cli"]
    assert [(line["state"], line["text"]) for line in map(json.loads, ended.err.splitlines())] == [
        ("a", "it is me"), ("", "complete"),
    ]  # fmt: skip
    assert run("run", tmp_path / "counter.yaml", *at, "--quiet").err == ""


def test_a_flow_that_fails(at: list[str], tmp_path: Path) -> None:
    write(tmp_path, flow_yaml="states: [{id: a, type: error, error: no.luck, message: 'not jq(.n)'}]\n")
    ended = run("run", tmp_path / "flow.yaml", *at, "--input", '{"n": 3}')
    assert (ended.code, ended.out) == (1, "")
    assert "no.luck: not 3" in ended.err.splitlines()[-1]
    ended = run("run", tmp_path / "flow.yaml", *at, "--input", '{"n": 3}', "--json")
    error = json.loads(ended.err.splitlines()[-1])["error"]
    assert (error["code"], error["exit"], error["error_code"], error["state"]) == (
        "flow_failed", 1, "no.luck", "failed",
    )  # fmt: skip
    assert run("runs", "show", error["id"], *at, "--json").json["error_message"] == "not 3"


# --- calls that are not well formed -----------------------------------------------------------------------------------


def test_a_definition_that_is_not_legal(tmp_path: Path) -> None:
    write(tmp_path, bad_yaml="states:\n- id: a\n  type: getter\n  variable: []\n  transition: b\n")
    ended = process("run", "bad.yaml", "--store", "data", folder=tmp_path)
    assert ended.code == 2
    lines = ended.err.splitlines()
    assert all(line.startswith("error: bad.yaml:") for line in lines)
    assert any("bad.yaml:4: states[0](a).variable: there is no such field here" in line for line in lines)
    assert any("bad.yaml:5: states[0](a).transition: there is no state 'b'" in line for line in lines)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("none.yaml",), 3, "no file none.yaml"),
        ((), 2, "name the FLOW"),
        (("--as", "/none.yaml"), 3, "register its file first"),
        (("flow.yaml", "--as", "team/"), 2, "the path of its file"),
        (("flow.yaml", "--input", "text"), 2, "--input takes JSON"),
        (("flow.yaml", "--input", "@none.json"), 3, "no file none.json"),
        (("flow.yaml", "--timeout", "soon"), 2, "--timeout takes a time"),
        (("flow.yaml", "--functions", "none.toml"), 3, "no file none.toml"),
        ((".",), 2, ". is a folder: name the file of a flow in it"),
        (("./",), 2, "./ is a folder: name the file of a flow in it"),
        (("flow.yaml", "--namespace", ""), 2, "name"),
        (("latin.yaml",), 2, "latin.yaml:1: (the whole): a definition is text in UTF-8"),
    ],
)
def test_bad_calls(
    store: holdfast.Store, at: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...],
    code: int, told: str,
) -> None:  # fmt: skip
    write(tmp_path, flow_yaml="states: [{id: a, type: noop}]\n")
    (tmp_path / "latin.yaml").write_bytes(b"states: [{id: \xe9, type: noop}]\n")
    monkeypatch.chdir(tmp_path)
    ended = run("run", *words, *at)
    assert (ended.code, ended.out) == (code, "")
    assert told in ended.err
    assert list(store.children()) == []


# --- subflows ---------------------------------------------------------------------------------------------------------

PARENT = "functions: [{id: f, workflow: parts/child.yaml}]\nstates: [{id: a, type: action, action: {function: f}}]\n"
CHILD = "functions: [{id: g, workflow: ../last.yaml}]\nstates: [{id: a, type: action, action: {function: g}}]\n"
LAST = "states: [{id: a, type: noop, transform: {last: 1}}]\n"


def test_subflows_beside_the_file_are_registered_with_it(store: holdfast.Store, at: list[str], tmp_path: Path) -> None:
    write(tmp_path, parent_yaml=PARENT, **{"parts/child_yaml": CHILD, "last_yaml": LAST})
    ended = run("run", tmp_path / "parent.yaml", *at, "--as", "/team/parent.yaml")
    assert ended.json == {"return": {"return": {"last": 1}}}
    assert "registered /team/last.yaml, a subflow\nregistered /team/parts/child.yaml, a subflow\n" in ended.err
    assert instances(store) == ["complete"] * 3


def test_a_subflow_is_told_of_when_it_is_new_or_changed(at: list[str], tmp_path: Path) -> None:
    write(tmp_path, parent_yaml=PARENT, **{"parts/child_yaml": LAST})
    told = [run("run", tmp_path / "parent.yaml", *at).err.count("registered") for _ in range(2)]
    write(tmp_path, **{"parts/child_yaml": LAST.replace("1", "2")})
    assert [*told, run("run", tmp_path / "parent.yaml", *at).err.count("registered")] == [1, 0, 1]
    write(tmp_path, **{"parts/child_yaml": LAST})
    assert run("run", tmp_path / "parent.yaml", *at, "--quiet").err == ""
    write(tmp_path, **{"parts/child_yaml": LAST.replace("1", "3")})
    ended = run("run", tmp_path / "parent.yaml", *at, "--json")
    assert [json.loads(line)["text"] for line in ended.err.splitlines()] == ["complete"]


def test_a_subflow_that_is_nowhere(store: holdfast.Store, at: list[str], tmp_path: Path) -> None:
    write(tmp_path, parent_yaml=PARENT, **{"parts/child_yaml": CHILD})
    ended = run("run", tmp_path / "parent.yaml", *at)
    assert ended.code == 2
    assert "there is no workflow /last.yaml in namespace:default" in ended.err
    assert "by holdfast run FILE --as /last.yaml" in ended.err
    assert list(store.namespace("default").scope("file", "tree").keys()) == []
    store.namespace("default").flows.register("/last.yaml", LAST)
    assert run("run", tmp_path / "parent.yaml", *at).code == 0


def test_a_subflow_that_is_not_legal(store: holdfast.Store, at: list[str], tmp_path: Path) -> None:
    write(tmp_path, parent_yaml=PARENT, **{"parts/child_yaml": "states: []\n"})
    ended = run("run", tmp_path / "parent.yaml", *at)
    assert ended.code == 2
    assert f"{tmp_path}/parts/child.yaml:1: states" in ended.err
    assert list(store.children()) == []


def test_flows_that_call_each_other_are_registered_once(at: list[str], tmp_path: Path) -> None:
    write(tmp_path, parent_yaml=PARENT, **{"parts/child_yaml": CHILD.replace("last", "parent")})
    ended = run("run", tmp_path / "parent.yaml", *at)
    assert (ended.code, ended.err.count("registered")) == (1, 1)
    assert "direktiv.workflow.tooDeep" in ended.err


# --- functions --------------------------------------------------------------------------------------------------------

FILES = """\
functions:
- id: get
  image: localhost:5000/iv-getter:v1
  type: knative-workflow
  files:
  - key: myFiles
    scope: namespace
    type: tar
states:
- id: a
  type: action
  action: {function: get}
"""
LISTING = """
[functions."localhost:5000/iv-getter"]
shell = true
command = 'cd "$DIREKTIV_TEMPDIR" && ls myFiles > out/workflow/names && printf "[%s]" "$(ls myFiles | wc -l)"'
"""


@pytest.mark.parametrize("how", ["option", "variable", "file"])
def test_the_published_function_with_files(
    store: holdfast.Store, at: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    write(tmp_path, flow_yaml=FILES, **{"file-1": "1", "file-2": "2"})
    with tarfile.open(tmp_path / "files.tar", "w") as archive:
        for name in ("file-1", "file-2"):
            archive.add(tmp_path / name, name)
    store.namespace("default").put_file(tmp_path / "files.tar", "myFiles")
    monkeypatch.chdir(tmp_path)
    ended = run("run", "flow.yaml", *at)
    assert ended.code == 2
    assert "flow.yaml:3: functions[0].image: no function is configured for 'localhost:5000/iv-getter:v1'" in ended.err
    write(tmp_path, **{"holdfast_toml" if how == "file" else "functions_toml": LISTING})
    words = ["--functions", "functions.toml"] if how == "option" else []
    env = {"HOLDFAST_FUNCTIONS": "functions.toml"} if how == "variable" else {}
    assert run("run", "flow.yaml", *at, *words, env=env).json == {"return": [2]}
    assert store.namespace("default").workflow("/flow.yaml").get_bytes("names") == b"file-1\nfile-2\n"


# --- ends that come from outside --------------------------------------------------------------------------------------


def waiting(folder: Path) -> None:
    """Until the function waits."""
    until(lambda: (folder / "pid").exists() and (folder / "pid").read_text().strip())


def test_a_time_out_cancels(store: holdfast.Store, at: list[str], tmp_path: Path) -> None:
    write(tmp_path, flow_yaml="states: [{id: a, type: delay, duration: PT1M}]\n")
    ended = run("run", tmp_path / "flow.yaml", *at, "--timeout", "0.2s")
    assert ended.code == 1
    assert "it took longer than --timeout" in ended.err.splitlines()[-1]
    assert instances(store) == ["cancelled"]


def test_ctrl_c_cancels(store: holdfast.Store, at: list[str], tmp_path: Path) -> None:
    write(tmp_path, flow_yaml=CALLING, functions_toml=FUNCTIONS)
    with begun(tmp_path, "run", "flow.yaml", "--functions", "functions.toml", *at) as process:
        waiting(tmp_path)
        process.send_signal(signal.SIGINT)
        out, told = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, "")
    assert [word in told for word in ("calling", "cancelling", "interrupted")] == [True] * 3
    assert instances(store) == ["cancelled"]
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_one_that_is_killed_is_gone_on_with(
    store: holdfast.Store, at: list[str], tmp_path: Path, number: signal.Signals
) -> None:
    write(tmp_path, flow_yaml=CALLING, functions_toml=FUNCTIONS)
    with begun(tmp_path, "run", "flow.yaml", "--functions", "functions.toml", *at) as process:
        waiting(tmp_path)
        process.send_signal(number)
        out, told = process.communicate(timeout=20)
    if number == signal.SIGTERM:
        assert (process.returncode, out) == (143, "")
        assert "holdfast runs resume" in told
    assert instances(store) == ["crashed"]
    (tmp_path / "go").touch()
    ended = run("runs", "resume", "latest", "--functions", tmp_path / "functions.toml", *at)
    assert (ended.code, ended.json) == (0, {"said": "gone"})
    assert "resumed" in ended.err
    once = store.namespace("default").workflow("/flow.yaml").record("once")
    assert instances(store) == ["complete"]
    assert once.created == once.updated  # what the setter wrote was not written again
    assert run("runs", "resume", "latest", *at).code == 2


SLOW = """
[actions]
door = "127.0.0.1:0"

[functions.wait]
shell = true
command = 'trap "sleep 0.5; exit" TERM; echo $$ > pid; while :; do sleep 0.02; done'
"""


@contextmanager
def hung_up(folder: Path, at: list[str], handler: signal.Handlers) -> Iterator[subprocess.Popen[str]]:
    """A run whose terminal is closed while its function works; what it inherits for that signal is this handler,
    however this test was started."""
    before = signal.signal(signal.SIGHUP, handler)
    try:
        with begun(folder, "run", "flow.yaml", "--functions", "functions.toml", *at) as process:
            waiting(folder)
            process.send_signal(signal.SIGHUP)
            yield process
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_terminal_that_is_closed_ends_functions_too(store: holdfast.Store, at: list[str], tmp_path: Path) -> None:
    write(tmp_path, flow_yaml=CALLING, functions_toml=SLOW)
    with hung_up(tmp_path, at, signal.SIG_DFL) as process:
        assert process.stderr is not None
        assert any("stopped: holdfast runs resume" in line for line in process.stderr)
        process.send_signal(signal.SIGHUP)  # of the shell, which tells its children; it does not hurry
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 129
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    assert instances(store) == ["crashed"]


def test_nohup_stays(store: holdfast.Store, at: list[str], tmp_path: Path) -> None:
    write(tmp_path, flow_yaml=CALLING, functions_toml=FUNCTIONS)
    with hung_up(tmp_path, at, signal.SIG_IGN) as process:
        (tmp_path / "go").touch()
        assert process.wait(20) == 0
    assert instances(store) == ["complete"]
