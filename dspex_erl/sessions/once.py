"""Runs that must not happen twice: a call with the idempotency key of an earlier one gets that one's reply.

A session remembers the latest :data:`REMEMBERED` keys. A second call that comes while the first still runs waits for it; a run that failed is
forgotten, so that it can be tried again.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from concurrent.futures import Future
from threading import Lock
from typing import Any

from dspex_erl.errors import BadRequest

__all__ = ["REMEMBERED", "Once", "Repeated"]

REMEMBERED = 1000
"""How many keys a session remembers; the oldest is forgotten first."""

_MAX_KEY = 255


class Repeated:
    """A call whose reply is that of another, which may still be on its way."""

    def __init__(self, future: Future[Any]) -> None:
        self._future = future

    def run(self) -> Any:
        """Waits in this thread for the reply. Raises what the other call raised."""
        return self._future.result()

    async def arun(self) -> Any:
        """Waits on this event loop for the reply."""
        return await asyncio.shield(asyncio.wrap_future(self._future))

    def stop(self, error: BaseException) -> None:
        """Does nothing: the run is the other call's."""


class Once:
    """The keys of one session, each with what was asked and the reply to it, or the promise of one."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: OrderedDict[str, tuple[Any, Future[Any]]] = OrderedDict()

    def claim(self, key: Any, asked: Any) -> Future[Any] | Repeated:
        """The promise to fulfil, for the first call with this key; for others, the reply of the first.

        Raises :class:`BadRequest` for a key that is none, and for one that was used to ask something else.
        """
        if not isinstance(key, str) or not 1 <= len(key) <= _MAX_KEY:
            raise BadRequest(f"expected a text of 1 to {_MAX_KEY} characters, got {type(key).__name__}, at options.idempotency_key")
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                if known[0] != asked:
                    raise BadRequest("expected an idempotency_key with the program and the inputs that it was used for, got others")
                return Repeated(known[1])
            future: Future[Any] = Future()
            self._known[key] = asked, future
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
            return future

    def forget(self, key: str) -> None:
        """Lets a key be used again, because the run with it failed."""
        with self._lock:
            self._known.pop(key, None)
