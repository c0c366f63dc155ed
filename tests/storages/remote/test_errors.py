"""One error for one cause, from every provider: what it names, and what it does not."""

from __future__ import annotations

import http.server
import json
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest

from holdfast.errors import (
    HoldfastError,
    InvalidArgumentError,
    MissingExtraError,
    ReadOnlyError,
    StorageFullError,
    StoreError,
    StoreNotFoundError,
    ValueLost,
)
from holdfast.storages.objectstore import ObjectStorage
from holdfast.testing.ports import free_port

from .conftest import AZURE_KEYS, GCS_KEYS, S3_KEYS
from .helpers import no_digest, put
from .servers import AZURE_KEY, moto

pytestmark = pytest.mark.timeout(400)  # npm may have to install azurite first

NOWHERE = "0" * 18 + "/1"


def write_stream(storage: ObjectStorage) -> Any:
    with storage.writer({}) as writer:
        writer.write(b"streamed")
        return writer.commit(no_digest)


WRITES: dict[str, Callable[[ObjectStorage], Any]] = {
    "write": lambda storage: put(storage, b"x"),
    "write a large one": lambda storage: put(storage, bytes(20_000_000)),
    "writer": write_stream,
    "delete": lambda storage: storage.delete(NOWHERE),
    "abandoned": lambda storage: list(storage.abandoned()),
}
READS: dict[str, Callable[[ObjectStorage], Any]] = {
    "read": lambda storage: storage.read(NOWHERE),
    "read_stream": lambda storage: list(storage.read_stream(NOWHERE)),
    "sync": lambda storage: storage.sync([NOWHERE]),
}
VERBS = WRITES | READS


@pytest.fixture(params=["s3", "az", "gs"])
def provider(request: pytest.FixtureRequest) -> tuple[str, str, dict[str, str]]:
    """Scheme, endpoint and keys of each provider's server."""
    if request.param == "az":
        return "az", request.getfixturevalue("azure_endpoint"), AZURE_KEYS
    endpoint = request.getfixturevalue("s3_endpoint")
    return request.param, endpoint, S3_KEYS if request.param == "s3" else GCS_KEYS


def refused(kind: type[HoldfastError], work: Callable[[], Any], *words: str) -> str:
    """The message of the error, which is of exactly this kind and hides what lies under it."""
    with pytest.raises(kind) as caught:
        work()
    assert caught.type is kind
    told = str(caught.value)
    assert all(word in told for word in words), told
    assert caught.value.__suppress_context__ or caught.value.__context__ is None, (
        "what obstore says may name what is secret"
    )
    return told + "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("verb", VERBS)
def test_a_missing_bucket(provider, verb):
    """It is not taken for lost values: nobody gives up a record for a mistaken URL."""
    scheme, endpoint, keys = provider
    storage = ObjectStorage(f"{scheme}://not-there/p?endpoint={endpoint}", credentials=keys, timeout=2)
    refused(StoreNotFoundError, lambda: VERBS[verb](storage), f"{scheme}://not-there/p", "create it")


def test_a_missing_object(provider):
    scheme, endpoint, keys = provider
    bucket = "container" if scheme == "az" else "bucket"
    storage = ObjectStorage(f"{scheme}://{bucket}/missing?endpoint={endpoint}", credentials=keys)
    refused(ValueLost, lambda: READS["read"](storage), f"{scheme}://{bucket}/missing/{NOWHERE}")
    refused(ValueLost, lambda: READS["read_stream"](storage), f"{scheme}://{bucket}/missing/{NOWHERE}")
    assert storage.sync([NOWHERE]) == [False]
    storage.delete(NOWHERE)


@pytest.mark.parametrize(
    ("scheme", "verb"),
    [*(("s3", verb) for verb in VERBS), ("az", "write"), ("az", "read"), ("gs", "write"), ("gs", "read")],
)
def test_a_server_that_is_down(scheme, verb):
    url = f"{scheme}://bucket/p?endpoint=http://127.0.0.1:{free_port()}"
    keys = {"s3": S3_KEYS, "az": AZURE_KEYS, "gs": GCS_KEYS}[scheme]
    storage = ObjectStorage(url, credentials=keys, timeout=0.1)
    began = time.monotonic()
    told = refused(StoreError, lambda: VERBS[verb](storage), f"{scheme}://bucket/p", "could not be reached", "endpoint")
    assert time.monotonic() - began < 10
    assert not any(secret in told for secret in keys.values() if len(secret) > 12)


# --- credentials ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, dict[str, str]]]]:
    """An S3 server that checks keys: its endpoint, and the keys of a writer and of a reader."""
    calls = 7  # that ask for no keys: the bucket, and three for each user
    with moto(tmp_path_factory.mktemp("guarded"), INITIAL_NO_AUTH_ACTION_COUNT=str(calls)) as endpoint:
        keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
        client = boto3.client("iam", endpoint_url=endpoint, **keys)
        users = {}
        for name, actions in (("writer", ["s3:*"]), ("reader", ["s3:Get*", "s3:List*"])):
            client.create_user(UserName=name)
            key = client.create_access_key(UserName=name)["AccessKey"]
            rights = {"Effect": "Allow", "Action": actions, "Resource": "*"}
            policy = json.dumps({"Version": "2012-10-17", "Statement": [rights]})
            client.put_user_policy(UserName=name, PolicyName="rights", PolicyDocument=policy)
            users[name] = {"access_key_id": key["AccessKeyId"], "secret_access_key": key["SecretAccessKey"]}
        yield endpoint, users


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("wrong", ["secret", "unknown"])
def test_wrong_keys_of_s3(guarded, verb, wrong):
    endpoint, users = guarded
    keys = users["writer"] | {"secret_access_key": "this-is-very-secret"}
    if wrong == "unknown":
        keys["access_key_id"] = "nobody-known"
    storage = ObjectStorage(f"s3://bucket/p?endpoint={endpoint}", credentials=keys)
    told = refused(StoreError, lambda: VERBS[verb](storage), "s3://bucket/p refused the credentials", "AWS_PROFILE")
    assert "very-secret" not in told


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("wrong", ["key", "token"])
def test_wrong_keys_of_azure(azure_endpoint, verb, wrong):
    keys = {"account_name": AZURE_KEYS["account_name"]}
    secret = "c2VjcmV0" * 10 + AZURE_KEY[80:]
    if wrong == "key":
        keys["account_key"] = secret
    else:
        keys["sas_key"] = f"sv=2021-08-06&sp=rwdl&sr=c&se=2040-01-01&sig={secret[:40]}"
    storage = ObjectStorage(f"az://container/p?endpoint={azure_endpoint}", credentials=keys)
    told = refused(StoreError, lambda: VERBS[verb](storage), "az://container/p refused", "AZURE_STORAGE_ACCOUNT_KEY")
    assert secret[:40] not in told


def test_a_key_that_is_none(azure_endpoint):
    keys = {"account_name": AZURE_KEYS["account_name"], "account_key": "not base64, and secret"}
    told = refused(
        InvalidArgumentError,
        lambda: ObjectStorage(f"az://container/p?endpoint={azure_endpoint}", credentials=keys),
        "no usable credentials",
        "AZURE_STORAGE_ACCOUNT_KEY",
    )
    assert "and secret" not in told


def test_keys_that_may_only_read(guarded):
    endpoint, users = guarded
    url = f"s3://bucket/shared?endpoint={endpoint}"
    config = put(ObjectStorage(url, credentials=users["writer"]), b"abc")
    storage = ObjectStorage(url, credentials=users["reader"])
    assert bytes(storage.read(config)) == b"abc"
    assert b"".join(storage.read_stream(config)) == b"abc"
    assert storage.sync([config]) == [True]
    for work in (lambda: put(storage, b"x"), lambda: write_stream(storage), lambda: storage.delete(config)):
        refused(ReadOnlyError, work, "s3://bucket/shared may not be written", "AccessDenied")


# --- where keys come from ------------------------------------------------------------------------------------------


def test_keys_of_the_environment(guarded, monkeypatch):
    endpoint, users = guarded
    for name, value in users["writer"].items():
        monkeypatch.setenv(f"AWS_{name.upper()}", value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    assert bytes(round_trip(ObjectStorage("s3://bucket/environment"))) == b"abc"


def round_trip(storage: ObjectStorage) -> bytes:
    return bytes(storage.read(put(storage, b"abc")))


@pytest.mark.parametrize("profile", [None, "work"])
def test_keys_of_a_profile(guarded, monkeypatch, tmp_path, profile):
    endpoint, users = guarded
    write_profiles(monkeypatch, tmp_path, profile or "default", users["writer"], f"endpoint_url = {endpoint}\n")
    if profile:
        monkeypatch.setenv("AWS_PROFILE", profile)
    assert round_trip(ObjectStorage("s3://bucket/profile")) == b"abc"


def write_profiles(monkeypatch, folder, name: str, keys: dict[str, str], more: str = "") -> None:
    lines = "".join(f"aws_{key} = {value}\n" for key, value in keys.items())
    (folder / "credentials").write_text(f"[other]\naws_access_key_id = x\n[{name}]\n{lines}")
    section = name if name == "default" else f"profile {name}"
    (folder / "config").write_text(f"[{section}]\nregion = eu-west-1\n{more}")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "config"))


def test_the_environment_goes_before_the_profile_and_what_is_given_before_both(guarded, monkeypatch, tmp_path):
    endpoint, users = guarded
    wrong = {"access_key_id": "nobody", "secret_access_key": "wrong"}
    write_profiles(monkeypatch, tmp_path, "default", wrong)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    refused(StoreError, lambda: round_trip(ObjectStorage("s3://bucket/which")), "refused the credentials")
    for name, value in users["writer"].items():
        monkeypatch.setenv(f"AWS_{name.upper()}", value)
    assert round_trip(ObjectStorage("s3://bucket/which")) == b"abc"
    storage = ObjectStorage("s3://bucket/which", credentials=wrong)
    refused(StoreError, lambda: round_trip(storage), "refused the credentials")


def test_a_session_token_of_other_keys_is_not_sent_along(guarded, monkeypatch):
    endpoint, users = guarded
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of-other-keys")
    assert round_trip(ObjectStorage(f"s3://bucket/token?endpoint={endpoint}", credentials=users["writer"])) == b"abc"


def test_a_profile_that_is_not_there(monkeypatch, tmp_path):
    write_profiles(monkeypatch, tmp_path, "work", {"access_key_id": "a"})
    monkeypatch.setenv("AWS_PROFILE", "wrok")
    refused(StoreError, lambda: ObjectStorage("s3://bucket/p"), "AWS_PROFILE names 'wrok'", "unset it")


def test_a_file_of_profiles_that_is_none(monkeypatch, tmp_path):
    write_profiles(monkeypatch, tmp_path, "work", {})
    (tmp_path / "credentials").write_text("this line is secret\n")
    told = refused(StoreError, lambda: ObjectStorage("s3://bucket/p"), "cannot be read", str(tmp_path / "credentials"))
    assert "line is secret" not in told


def test_keys_that_a_program_fetches(guarded, monkeypatch, tmp_path):
    """A profile whose keys must be fetched is read by boto3, which renews them."""
    endpoint, users = guarded
    answer = {"Version": 1, "AccessKeyId": users["writer"]["access_key_id"]}
    answer["SecretAccessKey"] = users["writer"]["secret_access_key"]
    (tmp_path / "answer").write_text(json.dumps(answer))
    write_profiles(monkeypatch, tmp_path, "work", {}, f"credential_process = cat {tmp_path / 'answer'}\n")
    monkeypatch.setenv("AWS_PROFILE", "work")
    assert round_trip(ObjectStorage(f"s3://bucket/program?endpoint={endpoint}")) == b"abc"


class Metadata(http.server.BaseHTTPRequestHandler):
    """The metadata service of a machine of Amazon's, version 2."""

    keys: dict[str, str]
    asked: list[str]

    def answer(self, body: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def do_PUT(self) -> None:
        self.answer("token")

    def do_GET(self) -> None:
        assert self.headers["X-aws-ec2-metadata-token"] == "token"
        self.asked.append(self.path)
        if self.path.endswith("/role"):
            keys = {
                "AccessKeyId": self.keys["access_key_id"],
                "SecretAccessKey": self.keys["secret_access_key"],
                "Token": "",
                "Expiration": "2099-01-01T00:00:00Z",
            }
            self.answer(json.dumps(keys))
        else:
            self.answer("role")

    def log_message(self, *args: Any) -> None:
        pass


def test_keys_of_the_machine(s3_endpoint, monkeypatch):
    asked: list[str] = []
    keys = {"access_key_id": "machine", "secret_access_key": "its own"}
    handler = type("Handler", (Metadata,), {"keys": keys, "asked": asked})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        monkeypatch.setenv("AWS_METADATA_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        try:
            assert round_trip(ObjectStorage(f"s3://bucket/machine?endpoint={s3_endpoint}")) == b"abc"
        finally:
            server.shutdown()
    assert asked[-1].endswith("/role")


def test_no_keys_at_all(monkeypatch, s3_endpoint):
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    storage = ObjectStorage(f"s3://bucket/p?endpoint={s3_endpoint}", timeout=0.3)
    refused(StoreError, lambda: put(storage, b"x"), "no usable credentials for s3://bucket/p", "AWS_ACCESS_KEY_ID")


def test_an_azure_connection_string(azure_endpoint, monkeypatch):
    text = f"DefaultEndpointsProtocol=http;AccountName={AZURE_KEYS['account_name']};AccountKey={AZURE_KEY};"
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", text + f"BlobEndpoint={azure_endpoint};")
    assert round_trip(ObjectStorage("az://container/string")) == b"abc"
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", f"AccountKey={AZURE_KEY}")
    told = refused(InvalidArgumentError, lambda: ObjectStorage("az://container/string"), "has no AccountName")
    assert AZURE_KEY not in told


@pytest.mark.parametrize(
    "account, key",
    [
        ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY"),
        ("AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_KEY"),
    ],
)
def test_azure_keys_of_the_environment(azure_endpoint, monkeypatch, account, key):
    monkeypatch.setenv(account, AZURE_KEYS["account_name"])
    monkeypatch.setenv(key, AZURE_KEY)
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", azure_endpoint)
    assert round_trip(ObjectStorage("az://container/environment")) == b"abc"


def test_a_google_emulator_of_the_environment(s3_endpoint, monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", s3_endpoint)
    assert round_trip(ObjectStorage("gs://bucket/environment")) == b"abc"


# --- a full place, and answers that nobody expects -----------------------------------------------------------------


class Answering(http.server.BaseHTTPRequestHandler):
    """Answers every request in one way."""

    protocol_version = "HTTP/1.1"
    status: int
    body: bytes
    location: str = ""

    def answer(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    do_PUT = do_POST = do_DELETE = do_GET = answer  # noqa: N815

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def answering() -> Iterator[Callable[[int, bytes], str]]:
    """Starts a server that answers like this; gives its endpoint."""
    servers = []

    def start(status: int, body: bytes) -> str:
        handler = type("Handler", (Answering,), {"status": status, "body": body})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    "status, code",
    [(507, "InsufficientStorage"), (507, "XMinioStorageFull"), (403, "QuotaExceeded"), (409, "AccountQuotaExceeded")],
)
@pytest.mark.parametrize("verb", ["write", "write a large one", "writer"])
def test_a_full_place(answering, status, code, verb):
    endpoint = answering(status, f"<Error><Code>{code}</Code><Message>Full.</Message></Error>".encode())
    storage = ObjectStorage(f"s3://bucket/p?endpoint={endpoint}", credentials=S3_KEYS, timeout=0.3)
    refused(StorageFullError, lambda: VERBS[verb](storage), "s3://bucket/p", code)


def test_another_region(answering):
    body = b"<Error><Code>PermanentRedirect</Code><Message>Elsewhere.</Message></Error>"
    storage = ObjectStorage(f"s3://bucket/p?endpoint={answering(301, body)}", credentials=S3_KEYS, timeout=0.3)
    refused(StoreError, lambda: storage.read(NOWHERE), "another region", "AWS_REGION")


@pytest.mark.parametrize("name", ["quota", "metadata/credentials", "NoSuchBucket", "api/token", "StorageFull"])
def test_names_are_not_taken_for_errors(s3_endpoint, name):
    down = ObjectStorage(
        f"s3://bucket/{name}?endpoint=http://127.0.0.1:{free_port()}", credentials=S3_KEYS, timeout=0.1
    )
    refused(StoreError, lambda: put(down, b"x"), f"s3://bucket/{name}", "could not be reached")
    storage = ObjectStorage(f"s3://bucket/{name}?endpoint={s3_endpoint}", credentials=S3_KEYS)
    refused(ValueLost, lambda: storage.read(NOWHERE))
    assert round_trip(storage) == b"abc"


@pytest.mark.parametrize("prefix", ["a%20b", "%C3%BC/%E2%88%9E", "a%2525b", "a+b&c=d'e(f)", "%2B%3F"])
def test_prefixes_of_any_characters(provider, prefix):
    scheme, endpoint, keys = provider
    bucket = "container" if scheme == "az" else "bucket"
    storage = ObjectStorage(f"{scheme}://{bucket}/odd/{prefix}?endpoint={endpoint}", credentials=keys)
    config = put(storage, b"abc")
    assert bytes(storage.read(config)) == b"abc"
    storage.close()
    (left,) = [left for left in storage.abandoned() if getattr(left, "writer", None) == config.split("/")[0]]
    assert list(left.configs()) == [[config]]
    left.release()
    storage.delete(config)
    assert storage.sync([config]) == [False]


@pytest.mark.parametrize("status", [400, 418, 500, 503])
def test_other_answers(answering, status):
    body = b"<Error><Code>Odd</Code><Message>Something odd.</Message></Error>"
    storage = ObjectStorage(f"s3://bucket/p?endpoint={answering(status, body)}", credentials=S3_KEYS, timeout=0.1)
    for work in (lambda: put(storage, b"x"), lambda: storage.read(NOWHERE), lambda: storage.delete(NOWHERE)):
        refused(StoreError, work, "s3://bucket/p", str(status), "Something odd")


# --- what is not legal ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url, words",
    [
        ("", "s3://bucket/prefix"),
        ("bucket", "s3://bucket/prefix"),
        ("http://bucket/x", "s3://bucket/prefix"),
        ("s3://", "s3://bucket/prefix"),
        ("s3:///x", "s3://bucket/prefix"),
        ("s3://bucket/a/../b", "s3://bucket/prefix"),
        ("s3://bucket/a//b", "s3://bucket/prefix"),
        ("s3://bucket/a%00b", "s3://bucket/prefix"),
        ("s3://bucket/a#b", "s3://bucket/prefix"),
        ("s3://buck et/a", "s3://bucket/prefix"),
        ("s3://key:secret@bucket/a", "carries no credentials"),
        ("s3://bucket:9000/a", "no port"),
        ("s3://bucket/a?secret_access_key=secret", "keys never lie in a URL"),
        ("az://container/a?account_key=secret", "keys never lie in a URL"),
        ("gs://bucket/a?region=x", "takes endpoint"),
        (None, "s3://bucket/prefix"),
    ],
)
def test_urls_that_are_refused(url, words):
    told = refused_plainly(lambda: ObjectStorage(url, credentials=S3_KEYS))
    assert words in told
    assert "=secret" not in told
    assert ":secret" not in told


def refused_plainly(work: Callable[[], Any]) -> str:
    with pytest.raises(InvalidArgumentError) as caught:
        work()
    return str(caught.value)


@pytest.mark.parametrize("options", [{"timeout": 0}, {"timeout": 1e9}, {"patience": 5}, {"credentials": {"key": "x"}}])
def test_settings_that_are_refused(options):
    told = refused_plainly(lambda: ObjectStorage("s3://bucket/p", **({"credentials": S3_KEYS} | options)))
    assert told


def test_without_the_library(monkeypatch):
    from holdfast.storages.objectstore import library

    monkeypatch.setattr(library, "_library", None)
    monkeypatch.setattr(library, "_MODULE", "obstore_that_is_not_there")
    with pytest.raises(MissingExtraError, match=r'pip install "holdfast\[objectstore\]"'):
        ObjectStorage("s3://bucket/p", credentials=S3_KEYS)


def test_nothing_secret_is_shown_or_pickled(s3_url):
    import pickle

    storage = ObjectStorage(s3_url, credentials=S3_KEYS)
    image = pickle.dumps(storage)
    assert S3_KEYS["secret_access_key"].encode() not in image
    assert S3_KEYS["secret_access_key"] not in repr(storage)
    again = pickle.loads(image)
    assert (again.url, again.timeout, again.owner) == (storage.url, storage.timeout, storage.owner)


def test_a_pickled_storage_takes_its_own_keys(guarded, monkeypatch):
    import pickle

    endpoint, users = guarded
    storage = ObjectStorage(f"s3://bucket/pickled?endpoint={endpoint}", credentials=users["writer"])
    config = put(storage, b"abc")
    image = pickle.dumps(storage)
    for name, value in users["reader"].items():
        monkeypatch.setenv(f"AWS_{name.upper()}", value)
    again = pickle.loads(image)
    assert bytes(again.read(config)) == b"abc"
    refused(ReadOnlyError, lambda: again.delete(config))
    assert os.environ["AWS_ACCESS_KEY_ID"] == users["reader"]["access_key_id"]
