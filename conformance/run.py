#!/usr/bin/env python3
"""Hold a service against the cases of ``cases.json``; README.md beside says what is in them.

Needs Python 3.11 and nothing else, and with ``--via curl`` the command ``curl``. Exit status 1 when a case fails, 2
when the service cannot be reached or the arguments make no sense.
"""

from __future__ import annotations

import argparse
import base64
import json
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from compare import differences, filled, lookup
from send import Curl, Direct, Reply, Request, Unreachable

CASES = Path(__file__).with_name("cases.json")
_FIRST = 0.3  # seconds that a request is ahead of the steps that are made meanwhile


class Failed(Exception):
    """A case is not as it should be; the message says where and why."""


class Run:
    """One run of the cases against one service.

    Args:
        document: what is in ``cases.json``.
        send: gives the answer to a request.
        url: of the service.
        tokens: by the name that a step's ``as`` has; ``main`` for the steps without.
    """

    def __init__(
        self, document: dict[str, Any], send: Callable[[Request], Reply], url: str, tokens: dict[str, str]
    ) -> None:
        self.document, self.send, self.tokens = document, send, tokens
        now = datetime.now(timezone.utc)
        self.variables: dict[str, Any] = {
            "run": f"namespace:conformance-{secrets.token_hex(6)}",
            "id": secrets.token_hex(6),
            "authority": urlsplit(url).netloc,
            "hour": (now + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "past": (now - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    def case(self, case: dict[str, Any]) -> str:
        """Run a case: the line that tells how it went, and below it what is wrong."""
        lacks = self.missing(case)
        if lacks is not None:
            return f"-      {case['name']}: needs {lacks}"
        try:
            self.steps(case["steps"], case["name"])
        except Failed as error:
            return f"FAILED {case['name']}: {case['about']}\n    " + str(error).replace("\n", "\n    ")
        return f"ok     {case['name']}"

    def missing(self, case: dict[str, Any]) -> str | None:
        """What the case needs and this run does not have; None when it can be run."""
        for need in case.get("needs", []):
            has = not self.tokens if need == "no token" else need in self.tokens
            if not has:
                return str(need)
        return None

    def steps(self, steps: list[dict[str, Any]], name: str = "") -> None:
        """Make the steps of a case, in order.

        Raises:
            Failed: an answer is not the one expected.
        """
        variables = {**self.variables, "scope": f"{self.variables['run']}/case:{name}"}
        for number, step in enumerate(steps, 1):
            try:
                self._step(step, variables)
            except (Failed, KeyError, Unreachable) as error:
                told = f"there is no variable {error}" if isinstance(error, KeyError) else error
                raise Failed(f"step {number}, {filled(step['do'], {**_Shown(), **variables})}: {told}") from None

    def _step(self, step: dict[str, Any], variables: dict[str, Any]) -> None:
        time.sleep(step.get("pause", 0))
        request = self._request(step, variables)
        if "meanwhile" in step:
            reply = self._beside(request, step["meanwhile"], variables)
        else:
            reply = self.send(request)
        if request.cut is not None:
            return
        expected = filled(step.get("expect", {}), variables)
        every = []
        if expected.get("every", True):
            every.append(self.document["every_answer"])
            if reply.status >= 400 and request.method != "HEAD":
                every.append(self.document["every_error"])
        found = [line for wanted in (expected, *every) for line in differences(wanted, reply, content)]
        if found:
            raise Failed("\n".join([*found, f"the answer: {reply.status} {reply.body[:500]!r}"]))
        for name, where in step.get("remember", {}).items():
            try:
                variables[name] = lookup(where, reply)
            except (LookupError, ValueError, TypeError) as error:
                raise Failed(f"nothing to remember as {name} at {where}: {error!r}") from None

    def _beside(self, request: Request, steps: list[dict[str, Any]], variables: dict[str, Any]) -> Reply:
        """Send a request and make the steps while it waits for its answer."""
        found: list[Reply | Exception] = []

        def ask() -> None:
            try:
                found.append(self.send(request))
            except Exception as error:
                found.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        time.sleep(_FIRST)
        try:
            for step in steps:
                self._step(step, variables)
        finally:
            asking.join()
        if isinstance(found[0], Exception):
            raise found[0]
        return found[0]

    def _request(self, step: dict[str, Any], variables: dict[str, Any]) -> Request:
        method, _, path = step["do"].partition(" ")
        headers: dict[str, str] = {}
        token = self.tokens.get(step.get("as", "main"))
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        for name, value in filled(step.get("headers", {}), variables).items():
            headers[name] = content(value if isinstance(value, dict) else str(value)).decode("latin-1")
        body = step.get("body")
        return Request(
            method,
            filled(path, variables, quote_text=quote),
            headers,
            None if body is None else content(filled(body, variables)),
            bool(step.get("chunked")),
            step.get("cut"),
            None if "until" not in step else str(filled(step["until"], variables)).encode(),
            step.get("timeout", 30.0),
        )


class _Shown(dict[str, Any]):
    """Variables for what is shown of a step: those that are not known stand as they are."""

    def __missing__(self, name: str) -> str:
        return f"${{{name}}}"


def content(given: Any) -> bytes:
    """The bytes of a ``body``, as the README has them."""
    match given:
        case str():
            return given.encode()
        case {"base64": text}:
            return base64.b64decode(text)
        case {"repeat": text, "times": times}:
            return str(text).encode() * int(times)
        case {"json": value}:
            return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    raise ValueError(f"no body: {given!r:.100}")


def chosen(document: dict[str, Any], only: list[str]) -> Iterator[dict[str, Any]]:
    """The cases of these groups, or with these names; all for none."""
    known = {*document["groups"], *(case["name"] for case in document["cases"])}
    unknown = sorted(set(only) - known)
    if unknown:
        raise SystemExit(f"run.py: there is no group or case {unknown[0]!r}: see --list")
    for case in document["cases"]:
        if not only or case["group"] in only or case["name"] in only:
            yield case


def _run(options: argparse.Namespace, document: dict[str, Any]) -> int:
    tokens = {name: text for name in ("main", "narrow") if (text := getattr(options, name)) is not None}
    send = (Curl if options.via == "curl" else Direct)(options.url)
    run = Run(document, send, options.url, tokens)
    cases = list(chosen(document, options.only))
    try:
        run.steps(document["before"])
    except Failed as error:
        print(f"run.py: {options.url} is not ready for this: {error}", file=sys.stderr)
        return 2
    passed = failed = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        try:
            for line in pool.map(run.case, cases):
                passed += line.startswith("ok")
                failed += line.startswith("FAILED")
                print(line)
        finally:
            pool.shutdown(cancel_futures=True)
            run.steps(document["after"])
    left = len(cases) - passed - failed
    print(f"{passed} passed, {failed} failed" + (f", {left} not run" if left else ""))
    return 1 if failed else 0


def main() -> int:
    """Run the cases that were asked for."""
    parser = argparse.ArgumentParser(prog="run.py", description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("url", nargs="?", help="of the service, such as http://127.0.0.1:8080")
    parser.add_argument("--token", dest="main", metavar="TOKEN", help="one that allows all verbs on the whole store")
    parser.add_argument(
        "--narrow", metavar="TOKEN", help="one that allows read only, of namespace:conformance-narrow: for its cases"
    )
    parser.add_argument("--only", metavar="NAME", action="append", default=[], help="a group or case; several times")
    parser.add_argument("--via", choices=("http", "curl"), default="http", help="what sends the requests")
    parser.add_argument("--jobs", type=int, default=4, metavar="N", help="cases at once (default: 4)")
    parser.add_argument("--cases", type=Path, default=CASES, help="the file of cases")
    parser.add_argument("--list", action="store_true", help="name the cases by group, and send nothing")
    options = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    document = json.loads(options.cases.read_text(encoding="utf-8"))
    if options.list:
        for case in chosen(document, options.only):
            print(f"{case['group']:14} {case['name']:32} {case['about']}")
        return 0
    if options.url is None:
        parser.error("name the URL of a service")
    return _run(options, document)


if __name__ == "__main__":
    sys.exit(main())
