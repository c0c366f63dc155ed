"""The control of ``service``: a bare Starlette application on uvicorn with the settings of ``holdfast serve``.

``python -m bench.bare_service FOLDER`` answers ``/value/KEY`` from memory and ``/file`` by a static file of the folder,
and prints the port that it listens on.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route


def make_app(folder: Path) -> Starlette:
    """The application."""
    memory: dict[str, bytes] = {}

    async def get(request: Request) -> Response:
        return Response(memory[request.path_params["key"]], media_type="application/octet-stream")

    async def put(request: Request) -> Response:
        memory[request.path_params["key"]] = await request.body()
        return Response(status_code=201)

    async def download(request: Request) -> Response:
        return FileResponse(folder / "file")

    async def upload(request: Request) -> Response:
        with (folder / "file").open("wb", buffering=0) as file:
            async for piece in request.stream():
                file.write(piece)
        return Response(status_code=201)

    return Starlette(routes=[
        Route("/value/{key}", get, methods=["GET"]),
        Route("/value/{key}", put, methods=["PUT"]),
        Route("/file", download, methods=["GET"]),
        Route("/file", upload, methods=["PUT"]),
    ])  # fmt: skip


def main() -> None:
    """Serve until the process is told to end."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(
        make_app(Path(sys.argv[1])), http="httptools", loop="uvloop", ws="none", lifespan="off", log_config=None,
        log_level="critical", access_log=False, proxy_headers=False, server_header=False, backlog=2048,
    )  # fmt: skip
    uvicorn.Server(config).run([listener])


if __name__ == "__main__":
    main()
