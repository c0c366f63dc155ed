"""Every storage on other machines passes the suite that ships for backends."""

from __future__ import annotations

import os
import secrets

import pytest

from holdfast.storages.fsspec import FsspecStorage
from holdfast.storages.objectstore import ObjectStorage, RoutedStorage, simple_blob_router, simple_s3_router
from holdfast.storages.objectstore.connection import parse
from holdfast.testing.storage_suite import StorageSuite

from .conftest import AZURE_KEYS, FTP_KEYS, GCS_KEYS, S3_KEYS

pytestmark = pytest.mark.timeout(400)  # npm may have to install azurite first

# Where no server of Google's kind is named, moto's answers, and shows little that S3's suite does not.
_google = pytest.mark.timeout(400) if os.environ.get("HOLDFAST_TEST_GCS") else pytest.mark.long


class SlowSuite(StorageSuite):
    """Of storages where it takes long to find what killed processes left."""

    @pytest.mark.long
    def test_what_a_killed_process_left(self, storage, second):
        super().test_what_a_killed_process_left(storage, second)


class TestS3(SlowSuite):
    LEFT = 1050  # a batch is of 1,000

    @pytest.fixture
    def storage(self, s3_url):
        storage = ObjectStorage(s3_url, credentials=S3_KEYS)
        yield storage
        storage.close()

    def reopen(self, storage):
        return ObjectStorage(storage.url, credentials=S3_KEYS)


class TestAzure(StorageSuite):
    LEFT = 20  # that there may be more than a batch is shown for S3, in the long run

    @pytest.fixture
    def storage(self, azure_url):
        storage = ObjectStorage(azure_url, credentials=AZURE_KEYS)
        yield storage
        storage.close()

    def reopen(self, storage):
        return ObjectStorage(storage.url, credentials=AZURE_KEYS)


@_google
class TestGoogle(StorageSuite):
    @pytest.fixture
    def storage(self, gcs_url):
        storage = ObjectStorage(gcs_url, credentials=GCS_KEYS)
        yield storage
        storage.close()

    def reopen(self, storage):
        return ObjectStorage(storage.url, credentials=GCS_KEYS)


def routed(url: str, keys: dict[str, str]) -> RoutedStorage:
    """A storage whose objects lie by their content; the suite's bytes have no digest, so each lies by itself."""
    place = parse(url)
    if place.scheme == "s3":
        router = simple_s3_router(place.bucket, place.prefix)
    else:
        field = "container" if place.scheme == "az" else "bucket"
        router = simple_blob_router(place.bucket, place.prefix, field=field)
    return RoutedStorage(url, router, credentials=keys)


@pytest.mark.long  # the same storage is under TestS3, and what a router adds in test_routed.py
class TestRoutedS3(StorageSuite):
    LEFT = 600  # with their notes more than a batch

    @pytest.fixture
    def storage(self, s3_url):
        storage = routed(s3_url, S3_KEYS)
        yield storage
        storage.close()

    def reopen(self, storage):
        return routed(storage.url, S3_KEYS)


@pytest.mark.long
class TestRoutedAzure(StorageSuite):
    LEFT = 20

    @pytest.fixture
    def storage(self, azure_url):
        storage = routed(azure_url, AZURE_KEYS)
        yield storage
        storage.close()

    def reopen(self, storage):
        return routed(storage.url, AZURE_KEYS)


_copies = pytest.mark.skipif(
    not os.environ.get("HOLDFAST_TEST_GCS"),
    reason="moto makes an empty object of a copy inside Google: name an endpoint (HOLDFAST_TEST_GCS)",
)


@_google
class TestRoutedGoogle(StorageSuite):
    LEFT = 600  # with their notes more than a batch

    @pytest.fixture
    def storage(self, gcs_url):
        storage = routed(gcs_url, GCS_KEYS)
        yield storage
        storage.close()

    def reopen(self, storage):
        return routed(storage.url, GCS_KEYS)

    @_copies
    def test_spans(self, storage):
        super().test_spans(storage)

    @_copies
    def test_who_reads_may_finish(self, storage):
        super().test_who_reads_may_finish(storage)


class TestFtp(SlowSuite):
    @pytest.fixture
    def storage(self, ftp_url):
        storage = FsspecStorage(ftp_url, options=FTP_KEYS)
        yield storage
        storage.close()

    def reopen(self, storage):
        return FsspecStorage(storage.url, options=FTP_KEYS)


class TestMemoryOfFsspec(StorageSuite):
    @pytest.fixture
    def storage(self):
        return FsspecStorage(f"memory://tests/{secrets.token_hex(4)}")

    def reopen(self, storage):
        return FsspecStorage(storage.url)
