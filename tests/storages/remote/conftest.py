"""Places in the servers that all tests share."""

from __future__ import annotations

import itertools
import os
import secrets

import pytest

from .servers import AZURE_ACCOUNT, AZURE_KEY

S3_KEYS = {"access_key_id": "tester", "secret_access_key": "of-no-worth"}
AZURE_KEYS = {"account_name": AZURE_ACCOUNT, "account_key": AZURE_KEY}
FTP_KEYS = {"password": "its-password"}
GCS_KEYS = {"bearer_token": os.environ.get("HOLDFAST_TEST_GCS_TOKEN", "none-needed")}

_prefixes = itertools.count()


@pytest.fixture(autouse=True)
def _no_keys_of_the_person(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have keys, a profile and an endpoint of their own: none of them counts here."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "AZURE_", "GOOGLE_", "STORAGE_EMULATOR")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/credentials")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent/config")


@pytest.fixture
def s3_url(s3_endpoint: str) -> str:
    """A place of its own for each test."""
    return f"s3://bucket/tests/{next(_prefixes)}?endpoint={s3_endpoint}&region=us-east-1"


@pytest.fixture
def azure_url(azure_endpoint: str) -> str:
    return f"az://container/tests/{next(_prefixes)}?endpoint={azure_endpoint}"


@pytest.fixture
def gcs_url(request: pytest.FixtureRequest) -> str:
    """A place on the server that ``HOLDFAST_TEST_GCS`` names, in a bucket ``bucket`` that is there.

    Without it moto's S3 server answers: what obstore asks of Google is, but for the signature, what it asks of S3.
    """
    endpoint = os.environ.get("HOLDFAST_TEST_GCS") or request.getfixturevalue("s3_endpoint")
    return f"gs://bucket/google/{secrets.token_hex(4)}?endpoint={endpoint}"


@pytest.fixture
def ftp_url(ftp_port: int) -> str:
    return f"ftp://writer@127.0.0.1:{ftp_port}/tests/{next(_prefixes)}"
