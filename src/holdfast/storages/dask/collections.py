"""Dask's own collections: they stay on the cluster, in parts and lazy, under a name that any client finds."""

from __future__ import annotations

import sys
from typing import Any

from ...errors import EncodeError, ValueLost
from .configs import Config, new_name
from .connection import Link

__all__ = ["fetch", "forget", "is_collection", "keep", "published"]


def is_collection(value: Any) -> bool:
    """Whether it is a collection of Dask's; it cannot be one where Dask was never imported."""
    dask: Any = sys.modules.get("dask.base")
    return dask is not None and bool(dask.is_dask_collection(value))


def keep(link: Link, value: Any) -> Config:
    """Have the cluster compute a collection's parts and keep them; nothing is computed or waited for here.

    Raises:
        EncodeError: its graph has something that cannot be sent.
    """
    config = Config(link.scheduler, new_name(), None)
    client = link.client
    try:
        persisted = client.persist(value)
    except Exception as error:
        raise EncodeError(
            f"the {type(value).__name__} of Dask cannot be sent to its cluster: {type(error).__name__}: {error}"
        ) from error
    link.call(client.publish_dataset, persisted, name=config.dataset)
    return config


def fetch(link: Link, config: Config) -> Any:
    """The collection of a config, of the kind that it was.

    Raises:
        ValueLost: it is gone.
    """
    found = link.call(link.client.get_dataset, config.dataset, default=None)
    if found is None:
        raise ValueLost(f"the Dask collection {config} is gone: it was removed from the cluster")
    return found


def forget(link: Link, config: Config) -> None:
    """Let the cluster free the parts of a collection; does nothing if it is gone."""
    link.call(link.client.unpublish_dataset, config.dataset)


def published(link: Link, config: Config) -> bool:
    """Whether the cluster has the collection."""
    return config.dataset in link.call(link.client.list_datasets)
