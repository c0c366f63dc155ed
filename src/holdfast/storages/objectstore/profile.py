"""Keys that lie outside the variables which obstore reads: AWS' shared files, Azure's connection string."""

from __future__ import annotations

import os
from configparser import ConfigParser, Error
from importlib import import_module
from typing import Any

from ...errors import InvalidArgumentError, StoreError

__all__ = ["aws_profile", "azure_connection_string"]

_INDIRECT = ("role_arn", "sso_session", "sso_start_url", "credential_process", "credential_source", "source_profile")


def _read(variable: str, usual: str) -> ConfigParser:
    parser = ConfigParser(interpolation=None, default_section="\0")  # "default" is a profile like others
    path = os.environ.get(variable) or os.path.expanduser(usual)
    try:
        parser.read(path, encoding="utf-8")
    except (Error, UnicodeDecodeError) as error:
        kind = type(error).__name__  # its text quotes lines of a file of secrets
        raise StoreError(f"{path} cannot be read as AWS' shared file ({kind}): mend it, or unset AWS_PROFILE") from None
    return parser


def aws_profile() -> tuple[dict[str, str], Any]:
    """Settings of the profile that ``AWS_PROFILE`` names (``default`` if unset), and a credential provider where keys
    must be fetched. Both empty when the environment has keys, or there is no such file.

    Raises:
        StoreError: a profile is named that is not there, or boto3 is needed to use it, and missing.
    """
    named = os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE")
    keys = _read("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")
    config = _read("AWS_CONFIG_FILE", "~/.aws/config")
    name = named or "default"
    merged: dict[str, str] = {}
    for parser, section in ((config, name if name == "default" else f"profile {name}"), (keys, name)):
        if parser.has_section(section):
            merged.update(parser.items(section))
    if named and not merged:
        raise StoreError(f"AWS_PROFILE names {named!r}, and neither of AWS' shared files has it: write it, or unset it")
    settings = {"region": merged["region"]} if "region" in merged else {}
    if "endpoint_url" in merged:
        settings["endpoint"] = merged["endpoint_url"]
    if os.environ.get("AWS_ACCESS_KEY_ID"):
        return ({} if named is None else settings), None
    if "aws_access_key_id" in merged and "aws_secret_access_key" in merged:
        settings["access_key_id"] = merged["aws_access_key_id"]
        settings["secret_access_key"] = merged["aws_secret_access_key"]
        if "aws_session_token" in merged:
            settings["session_token"] = merged["aws_session_token"]
    elif any(option in merged for option in _INDIRECT):
        return settings, _fetched(named)
    return settings, None


def _fetched(name: str | None) -> Any:
    """A provider that has boto3 get and renew the keys of a profile."""
    try:
        boto3 = import_module("boto3")
        provider = import_module("obstore.auth.boto3").Boto3CredentialProvider
    except ImportError:
        raise StoreError(
            f"the AWS profile {name or 'default'!r} gets its keys by a role, SSO or a program, which needs boto3: "
            "pip install boto3"
        ) from None
    return provider(boto3.session.Session(profile_name=name))


def azure_connection_string() -> dict[str, str]:
    """Settings from ``AZURE_STORAGE_CONNECTION_STRING``; empty where it is not set.

    Raises:
        InvalidArgumentError: it names no account.
    """
    text = os.environ.get("AZURE_STORAGE_CONNECTION_STRING")
    if not text:
        return {}
    parts = dict(part.split("=", 1) for part in text.split(";") if "=" in part)
    settings = {
        ours: parts[theirs]
        for ours, theirs in (
            ("account_name", "AccountName"),
            ("account_key", "AccountKey"),
            ("sas_key", "SharedAccessSignature"),
            ("endpoint", "BlobEndpoint"),
        )
        if theirs in parts
    }
    if "account_name" not in settings:
        raise InvalidArgumentError("AZURE_STORAGE_CONNECTION_STRING has no AccountName: copy it whole")
    if "endpoint" not in settings and parts.get("EndpointSuffix", "core.windows.net") != "core.windows.net":
        protocol = parts.get("DefaultEndpointsProtocol", "https")
        settings["endpoint"] = f"{protocol}://{settings['account_name']}.blob.{parts['EndpointSuffix']}"
    return settings
