"""The program of a child process that works on data as a definition says: it imports nothing of this library.

A request is a frame: four bytes with a length, and so many bytes. Its first line is JSON: a time limit in seconds, a
list of programs for the input, which is the rest, and one of programs for the only result of the first of these, if it
is an object. With an empty input the programs are made ready only. The answer is a frame, too: a JSON list with, for
each program, the list of its results, of which two are enough, or the message of an error. A program is one of jq, or
in a child of the other kind a JSON Schema, as JSON: it gives no result where the input fits, and else an error.
"""

import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from struct import Struct
from typing import Any

__all__ = ["main"]

_LENGTH = Struct("<I")
_KEPT = 256  # programs that are ready
_FILES = 3  # standard input, output and error: no program opens any
_MESSAGE = 2000  # characters of an error

_Ready = Callable[[str], str]  # what is ready for an input, as JSON, and gives its results, as JSON


def _jq() -> Callable[[str], _Ready]:
    import jq

    def ready(program: str) -> _Ready:
        # In parentheses there is no import and no include; two results are enough to tell that there are several; as
        # text a number keeps the digits that it has.
        compiled = jq.compile(f"[limit(2;({program}\n))]|tojson")

        def results(text: str) -> str:
            try:
                return str(compiled.input_text(text).first())
            except StopIteration:  # halt
                return "[]"

        return results

    return ready


def _schema() -> Callable[[str], _Ready]:
    import jsonschema
    from jsonschema.exceptions import best_match
    from jsonschema.validators import validator_for
    from referencing import Registry  # without one, references would be fetched
    from referencing.exceptions import Unresolvable

    def ready(program: str) -> _Ready:
        schema = json.loads(program)
        kind = validator_for(schema, default=jsonschema.Draft202012Validator)
        kind.check_schema(schema)
        registry: Any = Registry()
        validator = kind(schema, registry=registry)

        def results(text: str) -> str:
            try:
                error = best_match(validator.iter_errors(json.loads(text)))
            except Unresolvable as missing:
                raise ValueError(f"the schema refers to what is not in it: {missing}") from None
            except RecursionError:
                told = "the schema refers to itself without end, or the data is nested too deep"
                raise ValueError(told) from None
            return "[]" if error is None else json.dumps(f"{error.json_path}: {error.message}"[:_MESSAGE])

        return results

    ready("{}")("1")  # loads all that is loaded late
    return ready


def main(kind: str, memory: int, folders: list[str]) -> None:
    """Answer until nobody asks any more, with libraries from these folders, and so many bytes of address space."""
    sys.path += folders
    make = {"jq": _jq, "schema": _schema}[kind]()
    os.environ.clear()  # Python itself sets LC_CTYPE
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES, _FILES))
    known: dict[str, _Ready] = {}

    def evaluate(program: str, text: str | None) -> str:
        try:
            ready = known.pop(program, None) or make(program)
            while len(known) >= _KEPT:
                del known[next(iter(known))]
            known[program] = ready
            return "[]" if text is None else ready(text)
        except Exception as error:  # whatever a program brings about
            told = getattr(error, "message", None) or str(error) or type(error).__name__
            return json.dumps(str(told)[:_MESSAGE])

    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    while len(head := requests.read(_LENGTH.size)) == _LENGTH.size:
        (length,) = _LENGTH.unpack(head)
        line, _, rest = requests.read(length).partition(b"\n")
        seconds, programs, then = json.loads(line)
        text = rest.decode() if rest else None
        signal.setitimer(signal.ITIMER_REAL, seconds)  # ends this process, also when nobody waits for it any more
        found = [evaluate(program, text) for program in programs]
        if then and found[0].startswith("[{") and len(json.loads(found[0])) == 1:
            found += [evaluate(program, found[0][1:-1]) for program in then]
        signal.setitimer(signal.ITIMER_REAL, 0)
        answer = f"[{','.join(found)}]".encode("utf-8", "replace")
        answers.write(_LENGTH.pack(len(answer)) + answer)
        answers.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
