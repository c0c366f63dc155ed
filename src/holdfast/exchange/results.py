"""What an export, an import or a synchronization came to."""

from __future__ import annotations

from typing import NamedTuple

from ..verifier import Problem

__all__ = ["KEPT", "Copied", "Exported"]

KEPT = 1000
"""Problems, and addresses, that are told one by one; of more there is only the number."""


class Exported(NamedTuple):
    """What an export holds.

    Attributes:
        scopes: scopes.
        records: records.
        past: replaced and deleted versions.
        size: bytes of all of these, shared ones counted each time.
        problems: records that were left out as their bytes are lost or damaged, the first 1,000.
        left_out: how many these are.
        seconds: how long it took.
    """

    scopes: int
    records: int
    past: int
    size: int
    problems: list[Problem]
    left_out: int
    seconds: float


class Copied(NamedTuple):
    """What a store took over, from an export or from another store.

    Attributes:
        scopes: scopes looked at.
        records: records taken over.
        past: replaced and deleted versions taken over.
        size: bytes of all of these.
        there: records that were here already, as they are in the source.
        removed: records and scopes that were removed, as the source has them no more.
        newer: addresses of records that were left as they are, since the ones here are newer; the first 1,000.
        left: how many these are.
        unsigned: records that were taken over unsigned, as the key to check their signatures by was not given.
        problems: records that were not taken over, as their bytes or signatures are wrong; the first 1,000.
        refused: how many these are.
        seconds: how long it took.
    """

    scopes: int
    records: int
    past: int
    size: int
    there: int
    removed: int
    newer: list[str]
    left: int
    unsigned: int
    problems: list[Problem]
    refused: int
    seconds: float
