"""Codes of what goes wrong with a function, for the ``catch`` and ``retry`` of a flow."""

from __future__ import annotations

__all__ = [
    "ANSWER", "CANCELLED", "FAILED", "FILES", "OUTPUT", "PERMISSIONS", "TIMEOUT", "TYPE", "UNKNOWN", "UNREACHABLE",
]  # fmt: skip

FAILED = "container failed"
"""The function said that it failed, without a code of its own: a status that is not 2xx, or an exit status above 0."""

UNKNOWN = "holdfast.function.unknown"
"""No function of this name is configured, or its input cannot be given to it."""

UNREACHABLE = "holdfast.function.unreachable"
"""Its service does not answer, or its command cannot be started."""

FILES = "holdfast.function.files"
"""The files that it is to find cannot be laid out: a target that is not legal, an archive that is none or too large."""

ANSWER = "holdfast.function.answer"
"""Its answer broke off, is none, or is too large; or its command was ended by a signal."""

OUTPUT = "holdfast.function.output"
"""What it left in ``out/`` cannot be stored; nothing of it is."""

TIMEOUT = "holdfast.function.timeout"
"""It took more than the time that it has."""

CANCELLED = "holdfast.function.cancelled"
"""The instance was to end, or this process was."""

TYPE = "direktiv.var.invalidType"
"""A file has a type that there is not."""

PERMISSIONS = "direktiv.var.perms"
"""A file has permissions that are no octal digits of read, write and execute."""
