"""Unmodified code finds the faces: ``holdfast.compat.install`` and ``python -m holdfast.compat``."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.compat import faces, install

from .jobs import environment, python


def run(code: str, **more: Any) -> str:
    """What a program prints, that has installed the face at its beginning."""
    begin = "import importlib, pickle, sys\nimport holdfast, holdfast.compat\nholdfast.compat.install('viktor')\n"
    return python("-c", begin + textwrap.dedent(code), **more).stdout


def write(name: str, code: str) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(code))
    return path


# --- install ----------------------------------------------------------------------------------------------------------


def test_a_function_stays_in_the_place_of_the_module_that_it_is_from() -> None:
    code = """
        import holdfast.compat

        holdfast.compat.install("functionfuse")
        from functionfuse.workflow import workflow
        from functionfuse.storage.storage_factory import storage_factory
        import functionfuse, functionfuse.storage
        from functionfuse import baseworkflow, storage, workflow as again

        assert functionfuse.workflow is again is workflow and callable(workflow)
        assert functionfuse.storage.storage_factory is storage_factory and callable(storage_factory)
        assert functionfuse.storage is storage and functionfuse.baseworkflow is baseworkflow
        """
    python("-c", textwrap.dedent(code))


def test_every_way_to_import_finds_the_same_objects() -> None:
    run("""
        import viktor
        import viktor as vkt
        import viktor.core
        import viktor.api_v1 as api
        from viktor import File, Storage, errors
        from viktor.core import Storage as S
        from viktor.utils import memoize
        from viktor.views import DataResult, DataView
        from viktor.result import DataResult as R
        from viktor.errors import EntityNotFoundError
        import holdfast.compat.viktor as ours
        import holdfast.compat.viktor.core as core

        assert viktor is vkt is ours and viktor.core is core is sys.modules["viktor.core"]
        assert viktor.Storage is S is Storage is ours.Storage is importlib.import_module("viktor.core").Storage
        assert api.Entity is ours.Entity and memoize is ours.memoize and R is DataResult and errors is viktor.errors
        assert isinstance(File(), ours.File) and isinstance(ours.File.from_data(""), viktor.File)
        assert issubclass(EntityNotFoundError, holdfast.NotFoundError)
        assert len(set(viktor.__all__)) == len(viktor.__all__)
        for name in viktor.__all__:
            getattr(viktor, name)
        namespace = {}
        exec("from viktor import *", namespace)
        assert namespace["Storage"] is S
    """)


def test_modules_keep_their_names_reload_and_pickle() -> None:
    run("""
        import viktor, viktor.core, viktor.api_v1
        import holdfast.compat.viktor as ours

        assert viktor.__name__ == viktor.__spec__.name == "holdfast.compat.viktor"
        assert viktor.core.__spec__.name == viktor.core.__name__ == "holdfast.compat.viktor.core"
        assert viktor.File.__module__.startswith("holdfast.compat.viktor")
        before = viktor.Storage
        assert importlib.reload(viktor) is viktor is sys.modules["viktor"] is ours
        assert importlib.reload(viktor.core) is viktor.core
        assert viktor.Storage is before is viktor.core.Storage
        entity = viktor.Entity(id=1, entity_type="Span")
        text = pickle.dumps(entity)
        assert b"holdfast.compat" in text
        assert pickle.loads(text) == entity
    """)


def test_install_again_changes_nothing() -> None:
    run("""
        before = list(sys.meta_path)
        import viktor
        for _ in range(3):
            holdfast.compat.install("viktor")
        assert sys.meta_path == before
        import viktor.core
        assert viktor.core.Storage is holdfast.compat.viktor.Storage
    """)


def test_a_pickle_of_the_face_is_read_without_installing() -> None:
    text = run("import viktor; print(pickle.dumps([viktor.Entity(7, 'Pier'), viktor.File.from_data('x')]).hex())")
    code = "import pickle, sys; a, b = pickle.loads(bytes.fromhex(sys.argv[1])); print(repr(a), b.getvalue())"
    assert python("-c", code, text.strip()).stdout == "Entity(id=7, entity_type='Pier') x\n"


def test_what_is_not_there_is_an_error_that_lists_what_is() -> None:
    run("""
        try:
            import viktor.geometry
        except ModuleNotFoundError as error:
            assert error.name == "viktor.geometry"
            for name in ("viktor.api_v1", "viktor.core", "viktor.errors", "viktor.utils", "viktor.views"):
                assert f" {name}," in str(error), (name, error)
            assert "Holdfast has viktor (Controller, " in str(error) and "memoize), viktor." in str(error)
            assert not any(f"viktor.{name}" in str(error) for name in ("file", "storage", "download"))
            assert str(error).endswith(", and no other is installed")
        else:
            raise AssertionError
        import viktor.core
        try:
            viktor.core.Nothing
        except AttributeError as error:
            text = "no viktor.core.Nothing: Holdfast has viktor.core (Controller, File, Storage, ViktorController)"
            assert str(error) == text + ", and no other is installed", error
        assert not hasattr(viktor, "geometry") and "Storage" in dir(viktor)
        for statement in (
            "import viktor.file",
            "from viktor import Nothing",
            "from viktor.core import Nothing",
            "import viktor.core.deep",
        ):
            try:
                exec(statement)
            except ImportError as error:
                assert any(text in str(error) for text in ("no viktor.", "'Nothing'", "not a package")), error
            else:
                raise AssertionError
    """)


ORIGINAL = {
    "site/viktor/__init__.py": "raise AssertionError('the original is imported')",
    "site/viktor/core.py": "raise AssertionError('the original is imported')",
    "site/viktor/geometry.py": "from .core import File\nfrom . import utils\nimport viktor.external as external\n",
    "site/viktor/external/__init__.py": "",
    "site/viktor/external/deep/__init__.py": "from ...core import Storage\n",
    "site/viktor/external/deep/core.py": "HERE = __name__\n",
}


def test_a_module_that_the_face_lacks_is_the_originals() -> None:
    for name, code in ORIGINAL.items():
        write(name, code)
    run(
        """
        import viktor.geometry, viktor.external.deep.core
        import viktor.external.deep as deep
        geometry = viktor.geometry

        assert geometry.__name__ == "viktor.geometry" and "site" in geometry.__file__
        assert geometry.File is holdfast.compat.viktor.File
        assert geometry.external is viktor.external
        assert deep.Storage is holdfast.compat.viktor.Storage
        assert deep.core.HERE == "viktor.external.deep.core"
        try:
            import viktor.nothing
        except ModuleNotFoundError as error:
            assert "Holdfast has viktor (" in str(error)
            assert str(error).endswith("site/viktor/__init__.py has no such thing"), error
        else:
            raise AssertionError
        """,
        PYTHONPATH="site",
    )


SDK = {
    "site/viktor/__init__.py": """
        from .__version__ import __version__
        from .core import *
        from .core import _registry
        from .errors import *
        from .parametrization import *
        def __getattr__(name):
            if name == "word":
                import importlib
                return importlib.import_module("viktor.external.word")
            raise AttributeError(name)
    """,
    "site/viktor/__version__.py": "__version__ = '14.0'",
    "site/viktor/core.py": """
        import sys
        from .errors import EntityNotFoundError, UserError
        __all__ = ["Color", "File", "Storage"]
        _registry = sys.modules[__name__], __name__, __package__
        class Color:
            def __init__(self, red):
                self.red = red
        class File: pass
        class Storage: pass
        def later():
            from viktor.parametrization import Parametrization
            return Parametrization
    """,
    "site/viktor/errors.py": "class UserError(Exception): pass\nclass EntityNotFoundError(Exception): pass\n",
    "site/viktor/parametrization.py": """
        from viktor.core import Color, File, _registry
        __all__ = ["Parametrization"]
        class Parametrization:
            color = Color(7)
            def takes(self, value):
                return isinstance(value, File)
    """,
    "site/viktor/external/__init__.py": "",
    "site/viktor/external/word.py": "from ..core import Color, File",
    "site/viktor/broken.py": "import a_package_that_is_not_there",
    "site/viktor/utils.py": "from .broken import x",
    "site/viktor/views.py": "import sys; sys.no_such_thing",
}


@pytest.mark.parametrize(
    "first",
    [
        "import viktor as vkt",
        "import viktor.parametrization as p",
        "from viktor import Parametrization",
        "from viktor import *",
    ],
)
def test_a_name_that_a_module_of_the_face_lacks_is_the_originals(first: str) -> None:
    for name, code in SDK.items():
        write(name, code)
    run(
        f"""
        {first}
        import viktor, viktor as vkt, viktor.core, viktor.errors
        from viktor import Color, Parametrization, UserError, parametrization
        from viktor.core import later
        import holdfast.compat.viktor as ours

        assert vkt.Color is Color is viktor.core.Color is ours.core.Color and Color.__module__ == "viktor.core"
        assert Parametrization is vkt.Parametrization is parametrization.Parametrization is later()
        assert vkt.parametrization is parametrization
        assert vkt.File is ours.File is viktor.core.File is vkt.word.File and vkt.word.Color is Color
        assert vkt.Parametrization().takes(ours.File()) and isinstance(vkt.Parametrization.color, Color)
        assert issubclass(viktor.errors.EntityNotFoundError, holdfast.NotFoundError)
        assert UserError is viktor.errors.UserError and vkt.__version__ == "14.0"
        assert viktor.core._registry == (ours.core, "viktor.core", "viktor")
        assert {{"Color", "Storage", "later"}} <= set(dir(viktor.core)) and "word" not in dir(vkt)
        names = {{}}
        exec("from viktor import *", names)
        assert names["Storage"] is ours.Storage and names["Color"] is Color and "Parametrization" in names
        exec("from viktor.core import *", names := {{}})
        assert names["Color"] is Color and names["File"] is ours.File and "later" not in names
        assert pickle.loads(text := pickle.dumps(Color(3))).red == 3 and b"holdfast" not in text
        for name in ("Nothing", "_nothing"):
            assert not hasattr(vkt, name) and not hasattr(viktor.core, name)
        try:
            vkt.utils.nothing
        except ModuleNotFoundError as error:
            assert error.name == "a_package_that_is_not_there"
        else:
            raise AssertionError
        """,
        PYTHONPATH="site",
    )


def test_the_original_is_not_imported_before_it_is_asked_for() -> None:
    for name, code in SDK.items():
        write(name, code)
    run(
        """
        import viktor, viktor.core, viktor.views
        from viktor import File, Storage, memoize
        from viktor.core import Storage
        hasattr(viktor.core, "__wrapped__")

        def theirs():
            return [name for name, module in sys.modules.items() if "site" in (getattr(module, "__file__", None) or "")
                    and "viktor" in name and "holdfast" not in name and "site-packages" not in module.__file__]

        assert theirs() == []
        viktor.errors.UserError
        assert theirs() == ["viktor/errors/"]
        """,
        PYTHONPATH="site",
    )


def test_an_original_that_cannot_be_imported_says_so() -> None:
    for name, code in SDK.items():
        write(name, code)
    run(
        """
        import viktor.views, viktor.utils
        for statement, text in {
            "viktor.views.GeometryView": "the original viktor.views cannot be imported: module 'sys' has no",
            "from viktor.views import *": "the original viktor.views cannot be imported: module 'sys' has no",
            "from viktor.utils import other": "No module named 'a_package_that_is_not_there'",
        }.items():
            for _ in range(2):
                try:
                    exec(statement)
                except ImportError as error:
                    assert text in str(error), error
                else:
                    raise AssertionError(statement)
        """,
        PYTHONPATH="site",
    )


def test_threads_that_ask_at_once_get_the_same_class() -> None:
    for name, code in SDK.items():
        write(name, code)
    write("site/viktor/core.py", "import time\ntime.sleep(0.3)\n" + textwrap.dedent(SDK["site/viktor/core.py"]))
    run(
        """
        import viktor
        from concurrent.futures import ThreadPoolExecutor
        asks = [lambda: viktor.core.Color, lambda: importlib.import_module("viktor.parametrization").Color] * 4
        with ThreadPoolExecutor(8) as pool:
            found = [future.result() for future in [pool.submit(ask) for ask in asks]]
        assert len(set(found)) == 1
        """,
        PYTHONPATH="site",
    )


DEEP = {
    "faces/deep/__init__.py": "from .below import core as inner\n",
    "faces/deep/below/__init__.py": "",
    "faces/deep/below/core.py": "class Thing: pass\n",
    "site/deep/__init__.py": "",
    "site/deep/below/__init__.py": "",
    "site/deep/below/core.py": "raise AssertionError('the original is imported')",
    "site/deep/below/other.py": "from .core import Thing\n",
    "site/deep/beside/__init__.py": "",
    "site/deep/beside/more.py": "from deep.below import core, other\n",
}


def test_a_face_with_packages_in_it() -> None:
    for name, code in DEEP.items():
        write(name, code)
    run(
        """
        holdfast.compat.__path__.append("faces")
        assert "deep" in holdfast.compat.faces()
        holdfast.compat.install("deep")
        from deep.below.core import Thing
        import deep.below.core
        import deep.beside.more
        from deep.below import other
        from deep import beside
        import holdfast.compat.deep.beside.more as more

        ours = sys.modules["holdfast.compat.deep"]
        assert deep is ours and deep.below is ours.below and deep.below.core is deep.inner is ours.below.core
        assert Thing is ours.below.core.Thing is other.Thing
        assert (deep.below.core.__name__, other.__name__) == ("holdfast.compat.deep.below.core", "deep.below.other")
        assert deep.beside.more.core is ours.below.core and deep.beside.more.other is other and more is beside.more
        for name in ("deep.below.nothing", "deep.nothing", "deep.beside.nothing"):
            try:
                importlib.import_module(name)
            except ModuleNotFoundError as error:
                assert error.name == name
            else:
                raise AssertionError
        """,
        PYTHONPATH="site",
    )


def test_an_original_that_is_imported_already_is_an_error() -> None:
    write("site/viktor.py", "HERE = True")
    code = """
        import viktor, sys
        from holdfast import InvalidArgumentError
        from holdfast.compat import install
        before = list(sys.meta_path)
        try:
            install("viktor")
        except InvalidArgumentError as error:
            assert "imported already" in str(error) and "viktor.py" in str(error)
        else:
            raise AssertionError
        assert sys.meta_path == before and viktor.HERE and sys.modules["viktor"] is viktor
    """
    python("-c", textwrap.dedent(code), PYTHONPATH="site")


def test_a_face_that_there_is_not_is_an_error() -> None:
    before = list(sys.meta_path)
    assert "viktor" in faces()
    for names in (("nothing",), ("viktor", "nothing"), ("core",), ("__main__",), ("viktor.core",)):
        with pytest.raises(holdfast.InvalidArgumentError, match=f"no face is called '{names[-1]}': there are .*viktor"):
            install(*names)
    with pytest.raises(holdfast.InvalidArgumentError, match=r"no face is named: there are .*viktor"):
        install()
    assert sys.meta_path == before


# --- python -m holdfast.compat ----------------------------------------------------------------------------------------

SCRIPT = """
import os, sys
import beside
from viktor.core import File, Storage

if __name__ == "__main__":
    print(sys.argv, type(sys.argv[1:]).__name__)
    print(os.path.relpath(sys.path[0]), os.path.relpath(__file__), __spec__, __package__, __doc__)
    print(sys.modules["__main__"].beside is beside, "annotations" in globals())
    Storage().set("k", File.from_data("abc"), scope="workspace")
    sys.exit(int(sys.argv[1]))
"""


def test_a_script_runs_as_python_runs_it(tmp_path: Path) -> None:
    write("app/beside.py", "")
    script = write("app/script.py", SCRIPT)
    write("app/viktor/__init__.py", "from . import core")
    write(
        "app/viktor/core.py",
        "class Storage:\n    def set(self, *a, **k): pass\nFile = type('File', (), {'from_data': print})",
    )
    own = python(script, 3, "-m", "--help", check=False)
    ours = python("-m", "holdfast.compat", "viktor", script, 3, "-m", "--help", check=False, HOLDFAST_STORE="data")
    assert own.returncode == ours.returncode == 3, ours.stderr
    assert own.stdout.replace("abc\n", "") == ours.stdout
    assert "['app/script.py', '3', '-m', '--help'] list\napp app/script.py None None None\n" in ours.stdout
    with holdfast.open(tmp_path / "data", create=False) as store:
        assert store.workspace("default").get("k") == b"abc"


@pytest.mark.parametrize(
    "code, status",
    [
        ("", 0),
        ("raise SystemExit", 0),
        ("raise SystemExit('a message')", 1),
        ("1 / 0", 1),
        ("import os; os._exit(9)", 9),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
        ("x = (", 1),
        ("import nothing_of_that_name", 1),
    ],
)
def test_exit_codes_are_the_scripts(code: str, status: int) -> None:
    script = write("script.py", code)
    own, ours = python(script, check=False), python("-m", "holdfast.compat", "viktor", script, check=False)
    assert own.returncode == ours.returncode == status
    assert own.stderr.splitlines()[-1:] == ours.stderr.splitlines()[-1:]


def test_a_module_and_a_package_run_as_with_python_m() -> None:
    write("package/__init__.py", "")
    write("package/__main__.py", "from .module import main\nmain()")
    write(
        "package/module.py",
        """
        import sys
        from viktor import Storage

        def main():
            print(__name__, sys.argv[1:], sys.modules["__main__"].__spec__.name, Storage.__module__)

        if __name__ == "__main__":
            main()
        """,
    )
    begin = ["-m", "holdfast.compat", "viktor", "-m"]
    module = python(*begin, "package.module", "a", "-b").stdout
    assert module == "__main__ ['a', '-b'] package.module holdfast.compat.viktor.storage\n"
    package = python(*begin, "package", "a").stdout
    assert package == "package.module ['a'] package.__main__ holdfast.compat.viktor.storage\n"


CHILDREN = """
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
from viktor import File, Storage

def work(number):
    import viktor
    Storage().set(f"k{number}", File.from_data(str(number)), scope="workspace")
    return viktor.__name__, sys.argv[1:]

if __name__ == "__main__":
    for method in sys.argv[2:]:
        context = multiprocessing.get_context(method)
        with ProcessPoolExecutor(2, mp_context=context) as pool:
            assert set(map(str, pool.map(work, range(4)))) == {str(("holdfast.compat.viktor", sys.argv[1:]))}
        process = context.Process(target=work, args=(method,))
        process.start()
        process.join()
        assert process.exitcode == 0
    print(sorted(Storage().list(scope="workspace")))
"""


@pytest.mark.parametrize(
    "how, methods", [(["children.py"], ["fork", "forkserver", "spawn"]), (["-m", "children"], ["spawn"])]
)
def test_processes_that_multiprocessing_starts_have_the_faces(how: list[str], methods: list[str]) -> None:
    write("children.py", CHILDREN)
    done = python("-m", "holdfast.compat", "viktor", *how, "argument", *methods, HOLDFAST_STORE="data")
    assert done.stdout == str([*(f"k{number}" for number in range(4)), *(f"k{method}" for method in methods)]) + "\n"


def test_help() -> None:
    for words in (["--help"], ["-h"]):
        done = python("-m", "holdfast.compat", *words)
        assert "usage: python -m holdfast.compat NAMES (script.py | -m module) [args]" in done.stdout
        assert "viktor; several with commas" in done.stdout


@pytest.mark.parametrize(
    "words, message",
    [
        ([], "no face is named: there are "),
        (["nothing", "script.py"], "no face is called 'nothing': there are "),
        (["viktor,nothing", "script.py"], "no face is called 'nothing': there are "),
        (["viktor"], "name a script, or -m and a module, behind viktor"),
        (["viktor", "-m"], "name a script, or -m and a module, behind viktor"),
        (["viktor", "--verbose", "script.py"], "name a script, or -m and a module, behind viktor"),
        (["viktor", "none.py"], "cannot read none.py: No such file"),
        (["viktor", "."], "cannot read .: Is a directory"),
        (["viktor", "-m", "no_such_module"], "no module no_such_module"),
        (["viktor", "-m", "no_such.module"], "no module no_such.module"),
        (["viktor", "-m", ".relative"], "no module .relative"),
        (["viktor", "-m", ""], "no module "),
    ],
)
def test_a_call_that_is_not_well_formed(words: list[str], message: str) -> None:
    done = python("-m", "holdfast.compat", *words, check=False)
    assert done.returncode == 2
    assert message in done.stderr
    assert "usage: python -m holdfast.compat" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_safe_path_is_kept() -> None:
    script = write("script.py", "import sys; print(sys.path)")
    command = [sys.executable, "-P", *map(str, ("-m", "holdfast.compat", "viktor", script))]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=True)
    own = subprocess.run(
        [sys.executable, "-P", str(script)], capture_output=True, text=True, env=environment(), check=True
    )
    assert done.stdout == own.stdout


def test_interrupted_by_ctrl_c() -> None:
    # A signal that comes just before a sleep begins is seen when that ends.
    script = write("script.py", "import time\nprint('ready', flush=True)\nfor _ in range(600): time.sleep(0.1)")
    command = [sys.executable, "-m", "holdfast.compat", "viktor", str(script)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in errors
