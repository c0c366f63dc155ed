"""``holdfast serve``: the store over HTTP."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .arguments import FunctionsOption, JsonOption, StorageOption, StoreOption, functions_from, open_store
from .printing import answer, json_line
from .wording import size_from

if TYPE_CHECKING:
    from ..service.journal import Journal

__all__ = ["serve"]

_INSTANCE_TIME = typer.Option(metavar="SECONDS", min=0.1, help="Of one instance in all; else as long as it takes.")


def _number(help: str, metavar: str, least: float = 1) -> Any:
    return typer.Option(metavar=metavar, min=least, help=help, show_default=True)


def _size(help: str) -> Any:
    return typer.Option(metavar="SIZE", help=help, show_default=True)


def serve(
    host: Annotated[str, typer.Option(metavar="HOST", help="Name or address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="PORT", min=0, max=65535, help="0 for any that is free.")] = 8080,
    max_body: Annotated[str, _size("Of one body that is stored.")] = "1TB",
    max_json: Annotated[str, _size("Of one body that is read as JSON.")] = "16MB",
    max_headers: Annotated[str, _size("Of a request's line and header fields; 1KB at least.")] = "32KB",
    max_requests: Annotated[int, _number("Requests at once; one more is answered 503.", "N")] = 1000,
    max_connections: Annotated[int, _number("Connections at once; one more is closed.", "N")] = 8000,
    header_time: Annotated[float, _number("In which a request's header must have come.", "SECONDS", 0.1)] = 20.0,
    idle_time: Annotated[float, _number("In which a body, or who reads one, must go on.", "SECONDS", 0.1)] = 60.0,
    request_time: Annotated[float, _number("Of one request in all.", "SECONDS", 0.1)] = 7200.0,
    shutdown_time: Annotated[float, _number("For requests to end when the service does.", "SECONDS", 0.1)] = 30.0,
    max_memory: Annotated[str, _size("What bodies and answers take in memory, together.")] = "1GB",
    max_instances: Annotated[int, _number("Instances of flows at once; one more is answered 503.", "N")] = 200,
    instance_time: Annotated[float | None, _INSTANCE_TIME] = None,
    functions: FunctionsOption = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with instances of flows that crashed.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Tell of failures only, not of each request.")] = False,
    storage: StorageOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Serve the store over HTTP, until Ctrl-C or SIGTERM; requests that were taken on are finished.

    Without tokens (holdfast token create) only this machine is served. The URL is printed when it listens; requests
    and failures are told on stderr, a line of JSON each. Sizes are bytes, or as 64KB, 1.5MB or 2GB (of 1024).
    It runs flows, too (/api/v2/namespaces/NAME/instances), and their functions find /var and /log here as well as at
    127.0.0.1:8889. Flows that do not end in time when the service does are stopped, and can be gone on with.

    \b
    Examples:
      holdfast serve --store data
      holdfast serve --store data --functions functions.toml --resume
      holdfast serve --store postgresql://db/holdfast --host 0.0.0.0 --port 8080 --max-body 1GB
    """
    from ..service.base import Limits
    from ..service.journal import Journal

    limits = Limits(
        body=size_from(max_body, "--max-body"),
        json=size_from(max_json, "--max-json"),
        headers=size_from(max_headers, "--max-headers", 1024),
        requests=max_requests,
        connections=max_connections,
        header_time=header_time,
        idle_time=idle_time,
        request_time=request_time,
        shutdown_time=shutdown_time,
        memory=size_from(max_memory, "--max-memory"),
        instances=max_instances,
        instance_time=instance_time,
    )
    caller = functions_from(functions)
    _run(store, storage, as_json, Journal(sys.stderr, all_requests=not quiet), {
        "host": host, "port": port, "limits": limits, "functions": caller, "resume": resume,
    })  # fmt: skip


def _run(store: str | None, storage: str | None, as_json: bool, journal: Journal, options: dict[str, Any]) -> None:
    """Serve until the end, and print the URL when it listens."""
    from ..service.server import serve as make_server

    with open_store(store, create=True, storage=storage) as opened:

        def listening(url: str) -> None:
            where = opened.config.store
            answer(as_json, {"url": url, "store": where}, f"serving {where} on {url}", json_line)
            sys.stdout.flush()

        try:
            make_server(opened, journal=journal, listening=listening, **options).run()
        finally:
            journal.close()
