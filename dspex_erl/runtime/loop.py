"""The worker's one event loop, on a thread of its own, started by the first ``async def`` that is called."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["EventLoop"]


class EventLoop:
    """Runs coroutines from other threads."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[Any]] = set()
        threading.Thread(target=self._loop.run_forever, name="dspex_erl-loop", daemon=True).start()

    def start(self, coroutine: Coroutine[Any, Any, Any], done: Callable[[Any, BaseException | None], None]) -> None:
        """Begins ``coroutine``; ``done(value, error)`` is called on the loop's thread when it ends, however it ends."""
        self._loop.call_soon_threadsafe(self._begin, coroutine, done)

    def _begin(self, coroutine: Coroutine[Any, Any, Any], done: Callable[[Any, BaseException | None], None]) -> None:
        # A wrapper, because a task lets SystemExit and KeyboardInterrupt out into the loop, which would end it.
        task = self._loop.create_task(_outcome(coroutine))
        # The loop itself keeps only weak references to tasks.
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._finish(task, done))

    def _finish(self, task: asyncio.Task[Any], done: Callable[[Any, BaseException | None], None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            done(None, asyncio.CancelledError())
        else:
            done(*task.result())


async def _outcome(coroutine: Coroutine[Any, Any, Any]) -> tuple[Any, BaseException | None]:
    try:
        return await coroutine, None
    except BaseException as error:
        return None, error
