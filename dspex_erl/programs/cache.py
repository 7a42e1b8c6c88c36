"""DSPy's cache, kept apart: what one session asked, another cannot find, whatever their ids, models and keys.

The process has one cache object, as DSPy wants it; behind it every session has a small store of its own, found by the
``cache_ns`` setting of the run at hand. Without that setting nothing is looked up and nothing is kept. A key says all that is asked of a
model but not which server is asked, nor with which key, so a session that gets another model forgets what it has. Nothing is
written to a disk, where DSPy's own cache would be shared by all of a user's processes, and be read back by unpickling.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

import dspy
from dspy.clients.cache import Cache

__all__ = ["ENTRIES", "CacheUse", "SessionCache", "forget"]

ENTRIES = 1000
"""How many answers a session keeps; the one that was not asked for the longest goes first."""


class _Store:
    """What one session has had for answers."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.answers: OrderedDict[str, Any] = OrderedDict()


_stores: dict[str, _Store] = {}
_stores_lock = threading.Lock()


class CacheUse:
    """How one run uses the cache: whose part of it, and how many answers it found there.

    It holds that part itself. If it is forgotten meanwhile, what the run still puts into it goes away with the run: an answer of
    the model that a session had before is never found by those that come after.
    """

    def __init__(self, namespace: str) -> None:
        self.hits = 0
        with _stores_lock:
            self.store = _stores.setdefault(namespace, _Store())

    def __deepcopy__(self, memo: Any) -> CacheUse:
        # DSPy copies settings for its threads; what they find counts for the same run.
        return self


class SessionCache(Cache):  # type: ignore[misc]
    """A cache of caches. Safe from any thread; every operation is a look into a dict under a lock of the session's own."""

    def __init__(self) -> None:
        super().__init__(
            enable_disk_cache=False, enable_memory_cache=True, disk_cache_dir=None, memory_max_entries=1, restrict_pickle=True
        )

    def get(self, request: dict[str, Any], ignored_args_for_cache_key: list[str] | None = None) -> Any:
        """The answer that this session has had to that request, or ``None``."""
        use = _use()
        key = None if use is None or not use.store.answers else self._key(request, ignored_args_for_cache_key)
        if use is None or key is None:
            return None
        with use.store.lock:
            found = use.store.answers.get(key)
            if found is None:
                return None
            use.store.answers.move_to_end(key)
            use.hits += 1
        return self._prepare_cached_response(found)

    def put(
        self,
        request: dict[str, Any],
        value: Any,
        ignored_args_for_cache_key: list[str] | None = None,
        enable_memory_cache: bool = True,
    ) -> None:
        """Keeps an answer for this session."""
        use = _use()
        key = None if use is None or not enable_memory_cache else self._key(request, ignored_args_for_cache_key)
        if use is None or key is None:
            return
        with use.store.lock:
            answers = use.store.answers
            answers[key] = value
            answers.move_to_end(key)
            if len(answers) > ENTRIES:
                answers.popitem(last=False)

    def __contains__(self, key: str) -> bool:
        use = _use()
        return use is not None and key in use.store.answers

    def reset_memory_cache(self) -> None:
        """Drops what the session of the run at hand has kept: a program can reach no more than that."""
        use = _use()
        if use is not None:
            with use.store.lock:
                use.store.answers.clear()

    def save_memory_cache(self, filepath: str) -> None:
        """Refused: nothing of a session's answers is written to a disk."""
        raise NotImplementedError("the answers of a session are kept in memory only")

    def load_memory_cache(self, filepath: str, allow_pickle: bool = False) -> None:
        """Refused: nothing is unpickled."""
        raise NotImplementedError("the answers of a session are kept in memory only")

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
    """Drops all that a session has kept, at once."""
    with _stores_lock:
        _stores.pop(namespace, None)
