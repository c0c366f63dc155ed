"""Every storage on other machines passes the suite that ships for backends."""

from __future__ import annotations

import os
import secrets

import pytest

from holdfast.storages.fsspec import FsspecStorage
from holdfast.storages.objectstore import ObjectStorage
from holdfast.testing.storage_suite import StorageSuite

from .conftest import AZURE_KEYS, FTP_KEYS, GCS_KEYS, S3_KEYS

pytestmark = pytest.mark.timeout(400)  # npm may have to install azurite first

# Where no server of Google's kind is named, moto's answers, and shows little that S3's suite does not.
_google = pytest.mark.timeout(400) if os.environ.get("HOLDFAST_TEST_GCS") else pytest.mark.long


class TestS3(StorageSuite):
    @pytest.fixture
    def storage(self, s3_url):
        storage = ObjectStorage(s3_url, credentials=S3_KEYS)
        yield storage
        storage.close()

    def reopen(self, storage):
        return ObjectStorage(storage.url, credentials=S3_KEYS)


class TestAzure(StorageSuite):
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


class TestFtp(StorageSuite):
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
