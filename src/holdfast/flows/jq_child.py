"""The program of a child process that evaluates jq: it imports nothing of this library.

A request is a frame: four bytes with a length, and so many bytes. Its first line is JSON: a time limit in seconds, a
list of programs for the input, which is the rest, and one of programs for the only result of the first of these, if it
is an object. With an empty input the programs are compiled only. The answer is a frame, too: a JSON list with, for each
program, the list of its results, of which two are enough, or the message of an error.
"""

import json
import os
import resource
import signal
import sys
from struct import Struct
from typing import Any

__all__ = ["main"]

_LENGTH = Struct("<I")
_KEPT = 256  # compiled programs
_FILES = 3  # standard input, output and error: jq opens none


def _wrap(program: str) -> str:
    # In parentheses there is no import and no include; two results are enough to tell that there are several; as text
    # a number keeps the digits that it has.
    return f"[limit(2;({program}\n))]|tojson"


def main(folder: str, memory: int) -> None:
    """Answer until nobody asks any more, with the library in this folder, and so many bytes of address space."""
    sys.path.append(folder)
    import jq

    os.environ.clear()  # Python itself sets LC_CTYPE
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES, _FILES))
    compiled: dict[str, Any] = {}

    def evaluate(program: str, text: str | None) -> str:
        try:
            return results(program, text)
        except (ValueError, MemoryError) as error:
            return json.dumps(str(error)[:2000] or "this program fails")
        except StopIteration:  # halt
            return "[]"

    def results(program: str, text: str | None) -> str:
        ready = compiled.pop(program, None) or jq.compile(_wrap(program))
        while len(compiled) >= _KEPT:
            del compiled[next(iter(compiled))]
        compiled[program] = ready
        return "[]" if text is None else str(ready.input_text(text).first())

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
    main(sys.argv[1], int(sys.argv[2]))
