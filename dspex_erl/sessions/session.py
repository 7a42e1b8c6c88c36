"""One session: the record of its programs, its language model, its settings and its statistics.

A session's record is data. What was built from it (a model's client, a program ready to run) hangs beside it and can be
thrown away and built again at any time. A session is changed only under the lock of its registry, but for counters, which are
added to under a lock of their own so that a run never waits for another session.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

from dspex_erl.sessions.once import Once

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DEFAULT_MAX_PROGRAMS", "Program", "Run", "Session", "Settings", "Statistics", "Usage"]

DEFAULT_MAX_PROGRAMS = 1000
"""How many programs a session may have unless it was created with another ``max_programs``."""


class Run(Protocol):
    """A run of a program, as far as a session needs to know it: it can be stopped."""

    def stop(self, error: BaseException) -> None:
        """Ends the run as soon as it can be ended; its caller gets ``error``. Does nothing to a run that is over."""


@dataclass(frozen=True)
class Usage:
    """What language models were asked for: requests sent, and tokens as the models counted them."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.requests + other.requests,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.total_tokens + other.total_tokens,
        )


class Statistics:
    """Counters of one session, safe to add to from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.commands_processed = 0
        self.programs_created = 0
        self.errors = 0
        self.cache_hits = 0
        self.cache_misses = 0
        self.usage = Usage()

    def count(self, name: str) -> None:
        """Adds one to the counter of that name."""
        with self._lock:
            setattr(self, name, getattr(self, name) + 1)

    def add_run(self, usage: Usage, cached: bool) -> None:
        """Adds one run of a program: what it used, and whether every answer that it needed was in the cache."""
        with self._lock:
            self.usage += usage
            if cached:
                self.cache_hits += 1
            else:
                self.cache_misses += 1


@dataclass
class Program:
    """One program. ``spec`` and ``state`` are data that the layer above understands; ``built`` is what it made from them."""

    id: str
    spec: Any
    fingerprint: str
    created_at: float
    compiled: bool = False
    state: Any = None
    executions: int = 0
    built: Any = field(default=None, repr=False)
    build_lock: Lock = field(default_factory=Lock, repr=False, compare=False)


@dataclass(frozen=True)
class Settings:
    """What a session was created with. ``ttl`` is seconds without a call after which it is destroyed; None is for ever."""

    lm: Any = None
    adapter: str | None = None
    user_id: str | None = None
    ttl: float | None = None
    max_programs: int = DEFAULT_MAX_PROGRAMS
    limits: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)


class Session:
    """One session. Made by :class:`dspex_erl.sessions.Registry`, which also says when it is over."""

    def __init__(self, id: str, settings: Settings, now: float, tick: float) -> None:
        self.id = id
        self.settings = settings
        self.created_at = now
        self.last_activity = now
        self.last_tick = tick
        self.programs: dict[str, Program] = {}
        self.statistics = Statistics()
        self.runs: set[Run] = set()
        self.state = "running"
        self.namespace = new_namespace()
        self.once = Once()
        self.model: Any = None
        self.model_lock = Lock()

    def touch(self, now: float, tick: float) -> None:
        """Notes that the session was used at ``now`` on the wall's clock and ``tick`` on the monotonic one."""
        self.last_activity = now
        self.last_tick = tick

    def expired(self, tick: float) -> bool:
        """Whether the session was idle for longer than its ``ttl``. One that runs a program is not idle."""
        ttl = self.settings.ttl
        return ttl is not None and not self.runs and tick - self.last_tick > ttl

    def stop_runs(self, error: BaseException) -> None:
        """Stops all that runs; every caller gets ``error``."""
        for run in tuple(self.runs):
            run.stop(error)


def new_namespace() -> str:
    """A name that no session had before, so that a new session of an old id cannot find the old one's cache."""
    return uuid.uuid4().hex
