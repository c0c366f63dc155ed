"""The published way of files to a function and back, step by step: a variable is sent to ``/var``, found as a directory
below ``Direktiv-TempDir`` by the next action, and what is left in ``out/`` is stored."""

from __future__ import annotations

import io
import tarfile
from base64 import b64decode
from pathlib import Path

import holdfast

from .flowing import write
from .running import process, run

FLOW = """\
direktiv_api: workflow/v1
functions:
- id: set
  image: localhost:5000/iv-setter:v1
- id: get
  image: localhost:5000/iv-getter:v1
  files:
  - key: "myFiles"
    scope: instance
    type: tar
states:
- id: set
  type: action
  action: {function: set}
  transform: 'jq({status: .return})'
  transition: get
- id: get
  type: action
  action: {function: get}
"""
COMMANDS = """
[functions."localhost:5000/iv-setter"]
shell = true
command = '''
mkdir files && touch files/file-1 files/file-2 files/file-3 && tar -C files -cf files.tar .
curl -s -o /dev/null -w '%{http_code}' --data-binary @files.tar \
  "${DIREKTIV_VAR_URL}?aid=$DIREKTIV_ACTIONID&scope=instance&key=myFiles"
'''

[functions."localhost:5000/iv-getter"]
shell = true
command = '''
cd "$DIREKTIV_TEMPDIR" && find myFiles -type f | sort >&2
for scope in instance workflow namespace; do
  mkdir "out/$scope/folder" && echo $scope > "out/$scope/folder/it" && cp "out/$scope/folder/it" "out/$scope/file"
done
'''
"""
URL = """
[functions.url]
command = ["printenv", "DIREKTIV_VAR_URL"]
"""


def test_d18_d20_d21_files_go_to_a_function_and_back_as_published(tmp_path: Path) -> None:
    write(tmp_path, flow_yaml=FLOW, functions_toml=COMMANDS)
    ended = process("run", "flow.yaml", "--store", "data", "--functions", "functions.toml", folder=tmp_path)
    assert (ended.code, ended.out) == (0, '{"status":200,"return":""}\n'), ended.err
    found = [line.split()[-1] for line in ended.err.splitlines() if "file-" in line]
    assert found == ["myFiles/file-1", "myFiles/file-2", "myFiles/file-3"]
    with holdfast.open(tmp_path / "data") as store:
        namespace = store.namespace("default")
        for name, scope in (("namespace", namespace), ("workflow", namespace.workflow("/flow.yaml"))):
            assert sorted(scope.keys()) == ["file", "folder"]
            assert scope.get_bytes("file") == f"{name}\n".encode()
            with tarfile.open(fileobj=io.BytesIO(scope.get_bytes("folder")), mode="r:gz") as archive:
                assert archive.getnames() == ["it"]
        assert list(namespace.children("instance")) == []  # they have ended with the run


def test_d20_the_usual_door_is_the_one_that_functions_know(at: list[str], tmp_path: Path) -> None:
    """Unless another process has it, which the log tells."""
    text = "functions: [{id: f, image: url}]\nstates: [{id: a, type: action, action: {function: f}}]\n"
    write(tmp_path, flow_yaml=text, functions_toml=URL)
    ended = run("run", tmp_path / "flow.yaml", *at, "--functions", tmp_path / "functions.toml", "--json")
    url = b64decode(ended.json["output"]["return"]).decode().strip()  # as it is no JSON
    assert (url == "http://127.0.0.1:8889/var") == ("port 8889 is not free" not in ended.err)
