"""A function of a flow, in Python: it counts the words of texts, and sorts the lines of each of them.

    python3 texts.py 9001

The texts are the files in texts/ of the directory that the header Direktiv-TempDir names. It leaves there
out/workflow/summary.txt, and the sorted texts in out/workflow/sorted/.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def work(folder: Path) -> dict[str, int]:
    texts = sorted(path for path in (folder / "texts").iterdir() if path.is_file())
    if not texts:
        raise FileNotFoundError("there is nothing in texts/")
    target = folder / "out" / "workflow" / "sorted"
    target.mkdir()
    words = 0
    for path in texts:
        text = path.read_text(encoding="utf-8")
        words += len(text.split())
        lines = sorted(text.splitlines())
        (target / path.name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    (folder / "out" / "workflow" / "summary.txt").write_text(f"{len(texts)} texts, {words} words\n", encoding="utf-8")
    return {"texts": len(texts), "words": words}


class Function(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))  # the input, which this function does not look at
        try:
            self.answer(200, work(Path(self.headers["Direktiv-TempDir"])))
        except FileNotFoundError as error:
            self.answer(200, {}, {"Direktiv-ErrorCode": "texts.none", "Direktiv-ErrorMessage": str(error)})

    def do_DELETE(self) -> None:
        """The call with this Direktiv-ActionID is cancelled. It takes a moment only, so there is nothing to stop."""
        self.answer(200, {})

    def answer(self, status: int, value: object, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *message: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128  # calls that may come at the same time, as those of a foreach do


if __name__ == "__main__":
    server = Server(("127.0.0.1", int(sys.argv[1])), Function)
    print(f"listening at http://127.0.0.1:{server.server_port}/", flush=True)
    server.serve_forever()
