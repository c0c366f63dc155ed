"""From a URL, the environment and given settings to a bucket that can be reached."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Union
from urllib.parse import parse_qsl, unquote, urlsplit

from ...errors import HoldfastError, InvalidArgumentError
from .failures import CREDENTIALS, explain
from .library import Handle, generation, load
from .profile import aws_profile, azure_connection_string

__all__ = ["SEGMENT", "Bucket", "Credentials", "Place", "parse"]

Credentials = Union[Mapping[str, str], Callable[[], Any]]
"""Keys by obstore's names for them (``access_key_id``, ``account_key``, ``bearer_token``, …), or a function that gives
them, as obstore's ``credential_provider``."""

_OPTIONS = {"s3": ("endpoint", "region"), "az": ("endpoint", "account"), "gs": ("endpoint",)}
_CLASSES = {"s3": "S3Store", "az": "AzureStore", "gs": "GCSStore"}
_NAMES = {  # our option to obstore's setting
    "s3": {"endpoint": "endpoint", "region": "region"},
    "az": {"endpoint": "endpoint", "account": "account_name"},
    "gs": {"endpoint": "base_url"},
}
_ENDPOINTS = {  # the first one that is set counts
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
    "gs": ("GOOGLE_BASE_URL", "STORAGE_EMULATOR_HOST"),
}
SEGMENT = re.compile(r"[^/\\\x00-\x1f\x7f]+")
"""What may stand between two slashes of a name, ``.`` and ``..`` aside."""


class Place(NamedTuple):
    """What a URL says.

    Attributes:
        scheme: ``s3``, ``az`` or ``gs``.
        bucket: name of the bucket or container.
        prefix: below which all objects lie, without slashes around it; empty for the whole bucket.
        options: ``endpoint``, ``region``, ``account``, as far as they are given.
    """

    scheme: str
    bucket: str
    prefix: str
    options: dict[str, str]

    @property
    def shown(self) -> str:
        """The URL without its options."""
        return f"{self.scheme}://{self.bucket}{'/' if self.prefix else ''}{self.prefix}"


def parse(url: str) -> Place:
    """Take a URL apart.

    Raises:
        InvalidArgumentError: it is none of ours, or carries what does not belong into it.
    """
    parts = urlsplit(str(url))
    if parts.scheme not in _OPTIONS:
        raise InvalidArgumentError("an object store is like s3://bucket/prefix, az://container/prefix or gs://bucket/p")
    scheme = parts.scheme
    if "@" in parts.netloc or ":" in parts.netloc:
        raise InvalidArgumentError(f"a URL of a storage carries no credentials and no port: {CREDENTIALS[scheme]}")
    prefix = unquote(parts.path).strip("/")
    segments = prefix.split("/") if prefix else []
    legal = all(SEGMENT.fullmatch(part) and part not in (".", "..") for part in segments)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", parts.netloc) or not legal or parts.fragment:
        raise InvalidArgumentError(f"{scheme}://{parts.netloc}{parts.path} must be {scheme}://bucket/prefix")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = sorted(set(options) - set(_OPTIONS[scheme]))
    if unknown:
        raise InvalidArgumentError(
            f"a {scheme}:// URL takes {' and '.join(_OPTIONS[scheme])}, not {unknown[0]!r}; keys never lie in a URL: "
            f"{CREDENTIALS[scheme]}"
        )
    return Place(scheme, parts.netloc, prefix, options)


class Bucket:
    """A bucket, reachable in this process and in forked children; two connections: one that tries again, and one that
    does not, for what is tidied up after an error."""

    def __init__(self, place: Place, credentials: Credentials | None, timeout: float) -> None:
        """Connect; no request is made.

        Raises:
            MissingExtraError: obstore is not installed.
            InvalidArgumentError: a setting that obstore refuses.
        """
        self.place = place
        self._credentials = credentials
        self.timeout = timeout
        self._generation = -1
        self._stores: tuple[Handle[Any], Handle[Any]]
        self.store(False)

    def store(self, hasty: bool) -> Any:
        """obstore's store in this process, which goes on trying unless ``hasty``."""
        if self._generation != generation():
            now = generation()
            self._stores = Handle(self._connect(False)), Handle(self._connect(True))
            self._generation = now
        return self._stores[hasty]()

    def _connect(self, hasty: bool) -> Any:
        place, library = self.place, load()
        config, provider = _configure(place, self._credentials)
        endpoint = config.get(_NAMES[place.scheme]["endpoint"], "")
        seconds = min(self.timeout, 5.0) if hasty else self.timeout
        client = {
            "allow_http": endpoint.startswith("http://"),
            "connect_timeout": f"{round(min(seconds, 10.0) * 1000)}ms",
            "read_timeout": f"{round(seconds * 2000)}ms",  # without a byte of an answer
            "timeout": "1day",  # of a whole request: a slow reader may take as long as it likes
        }
        from datetime import timedelta

        backoff = {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=5), "base": 2}
        retry = {
            "max_retries": 0 if hasty else 10,
            "retry_timeout": timedelta(seconds=seconds),
            "backoff": backoff,
        }
        make = getattr(library, _CLASSES[place.scheme])
        more = {} if provider is None else {"credential_provider": provider}
        try:
            return make(
                place.bucket,
                prefix=place.prefix or None,
                config=config,
                client_options=client,
                retry_config=retry,
                **more,
            )
        except HoldfastError:
            raise
        except Exception as error:  # whatever it is, it is about a setting
            told = explain(error, place.shown)
            raise (told if isinstance(error, ValueError) else InvalidArgumentError(str(told))) from None


def _configure(place: Place, credentials: Credentials | None) -> tuple[dict[str, str], Any]:
    """Settings by obstore's names, and a credential provider or None. What is given goes before the environment."""
    config: dict[str, str] = {}
    provider: Any = None
    if credentials is None and place.scheme == "s3":
        config, provider = aws_profile()
    elif credentials is None and place.scheme == "az":
        config = _azure_environment() | azure_connection_string()
    endpoint = next((os.environ[name] for name in _ENDPOINTS[place.scheme] if os.environ.get(name)), None)
    names = _NAMES[place.scheme]
    if endpoint is not None:
        config[names["endpoint"]] = endpoint
        if place.scheme == "gs" and not os.environ.get("GOOGLE_BASE_URL"):
            config["bearer_token"] = "emulator"  # it asks for none, and none is to be asked for anywhere else
    if place.scheme == "s3":
        config["disable_bulk_delete"] = "true"  # not every server that speaks S3 has it
        if not os.environ.get("AWS_COPY_IF_NOT_EXISTS"):
            config["copy_if_not_exists"] = "multipart"
        if os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"):
            config.pop("region", None)
    config.update((names[option], value) for option, value in place.options.items())
    if callable(credentials):
        provider = credentials
    elif credentials is not None:
        config.update(credentials)
    if "access_key_id" in config and "secret_access_key" in config:
        provider = _only(config)
    return config, provider


def _only(config: dict[str, str]) -> Callable[[], Any]:
    """Takes S3 keys out of settings into a provider: among settings, a session token of the environment, which belongs
    to other keys, would join them."""
    keys = {name: config.pop(name) for name in ("access_key_id", "secret_access_key")}
    found = {**keys, "token": config.pop("session_token", None), "expires_at": None}
    return lambda: found


def _azure_environment() -> dict[str, str]:
    """What Azure's own command line reads, and obstore does not."""
    variables = {"account_name": "AZURE_STORAGE_ACCOUNT", "account_key": "AZURE_STORAGE_KEY"}
    return {name: os.environ[variable] for name, variable in variables.items() if os.environ.get(variable)}
