"""DSPy's cache, kept apart: what one session asked, another cannot find, whatever their ids, models and keys.

The process has one cache object, as DSPy wants it; behind it every session has a small store of its own, found by the
``cache_ns`` setting of the run at hand. Without that setting nothing is looked up and nothing is kept. Nothing is written to a
disk, where DSPy's own cache would be shared by all of a user's processes, and be read back by unpickling.
"""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from typing import Any

import dspy
from dspy.clients.cache import Cache

__all__ = ["ENTRIES", "CacheUse", "SessionCache", "forget"]

ENTRIES = 1000
"""How many answers a session keeps; the one that was not asked for the longest goes first."""


class CacheUse:
    """How one run uses the cache: whose part of it, and how many answers it found there."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.hits = 0

    def __deepcopy__(self, memo: Any) -> CacheUse:
        # DSPy copies settings for its threads; what they find counts for the same run.
        return self


class SessionCache(Cache):  # type: ignore[misc]
    """A cache of caches. Safe from any thread; every operation is a look into two dicts under a lock."""

    def __init__(self) -> None:
        super().__init__(
            enable_disk_cache=False, enable_memory_cache=True, disk_cache_dir=None, memory_max_entries=1, restrict_pickle=True
        )
        self._stores: dict[str, OrderedDict[str, Any]] = {}
        self._stores_lock = threading.Lock()

    def get(self, request: dict[str, Any], ignored_args_for_cache_key: list[str] | None = None) -> Any:
        """The answer that this session has had to that request, or ``None``."""
        use = _use()
        store = None if use is None else self._stores.get(use.namespace)
        if use is None or store is None:
            return None
        key = self._key(request, ignored_args_for_cache_key)
        with self._stores_lock:
            found = store.get(key) if key is not None else None
            if found is None:
                return None
            store.move_to_end(key)
        use.hits += 1
        return self._prepare_cached_response(copy.deepcopy(found))

    def put(
        self,
        request: dict[str, Any],
        value: Any,
        ignored_args_for_cache_key: list[str] | None = None,
        enable_memory_cache: bool = True,
    ) -> None:
        """Keeps an answer for this session."""
        use = _use()
        if use is None or not enable_memory_cache:
            return
        key = self._key(request, ignored_args_for_cache_key)
        if key is None:
            return
        with self._stores_lock:
            store = self._stores.setdefault(use.namespace, OrderedDict())
            store[key] = value
            store.move_to_end(key)
            if len(store) > ENTRIES:
                store.popitem(last=False)

    def __contains__(self, key: str) -> bool:
        use = _use()
        return use is not None and key in self._stores.get(use.namespace, ())

    def forget(self, namespace: str) -> None:
        """Drops all that a session has kept."""
        with self._stores_lock:
            self._stores.pop(namespace, None)

    def _key(self, request: dict[str, Any], ignored: list[str] | None) -> str | None:
        try:
            return self.cache_key(request, ignored)  # type: ignore[no-any-return]
        except Exception:
            # What cannot be made a key is not kept.
            return None


def _use() -> CacheUse | None:
    use = dspy.settings.get("cache_ns")
    return use if isinstance(use, CacheUse) else None


def forget(namespace: str) -> None:
    """Drops all that a session has kept, if DSPy's cache is ours already."""
    cache = vars(dspy).get("cache")
    if isinstance(cache, SessionCache):
        cache.forget(namespace)
