"""The sessions of this process, by id.

Every public method takes the lock, does what costs no more than a look into a dict (or, for a reset, than letting go of what was
there), and gives it back: nothing is built, imported or waited for under it. A call that fails changes nothing.
Sessions that were idle for longer than their ``ttl`` are destroyed by whichever call comes next, in order of their ids' creation.
"""

from __future__ import annotations

from dataclasses import replace
from threading import RLock
from typing import TYPE_CHECKING, Any

from dspex_erl.errors import (
    Cancelled,
    ProgramExists,
    ProgramLimit,
    ProgramNotFound,
    SessionExists,
    SessionLimit,
    SessionNotFound,
)
from dspex_erl.sessions.clock import Clock
from dspex_erl.sessions.once import Once
from dspex_erl.sessions.session import Program, Session, Settings, Statistics, new_namespace

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DEFAULT_MAX_SESSIONS", "Registry"]

DEFAULT_MAX_SESSIONS = 10_000
"""How many sessions a worker keeps. An idle one with a program takes some tens of kilobytes."""


class Registry:
    """All sessions of a process. ``forget`` is called, without the lock, with each session that is over or was reset."""

    def __init__(
        self,
        clock: Clock | None = None,
        max_sessions: int = DEFAULT_MAX_SESSIONS,
        forget: Callable[[str, Any], None] = lambda namespace, model: None,
    ) -> None:
        self._clock = clock or Clock()
        self._max_sessions = max_sessions
        self._forget = forget
        self._lock = RLock()
        self._sessions: dict[str, Session] = {}
        self._with_ttl: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def create(self, id: str, settings: Settings) -> Session:
        """A new session. Raises :class:`SessionExists` and :class:`SessionLimit`."""
        self._expire()
        with self._lock:
            if id in self._sessions:
                raise SessionExists(f"expected a new session, got the id of one that exists, {id!r}")
            return self._add(id, settings)

    def obtain(self, id: str) -> Session:
        """The session of that id, which comes into being if there is none. Raises :class:`SessionLimit`."""
        self._expire()
        with self._lock:
            session = self._sessions.get(id)
            if session is None:
                return self._add(id, Settings())
            session.touch(self._clock.wall(), self._clock.monotonic())
            return session

    def get(self, id: str) -> Session:
        """The session of that id. Raises :class:`SessionNotFound`."""
        self._expire()
        with self._lock:
            session = self._sessions.get(id)
        if session is None:
            raise SessionNotFound(f"expected the id of a session, got {id!r}, which is none")
        return session

    def list(self, user_id: str | None = None) -> list[Session]:
        """All sessions, or those of one user, oldest first."""
        self._expire()
        with self._lock:
            return [session for session in self._sessions.values() if user_id in (None, session.settings.user_id)]

    def destroy(self, id: str) -> int:
        """Ends a session and what runs in it; returns how many programs it had. Raises :class:`SessionNotFound`."""
        self._expire()
        with self._lock:
            session = self._sessions.pop(id, None)
            if session is None:
                raise SessionNotFound(f"expected the id of a session, got {id!r}, which is none")
            self._with_ttl.pop(id, None)
            count = len(session.programs)
        self._end(session, "its session was destroyed")
        return count

    def configure(self, session: Session, **changes: Any) -> None:
        """Changes settings of a session. Its model is built anew at its next use; a run that has begun keeps the old one."""
        with self._lock:
            session.settings = replace(session.settings, **changes)
            namespace, session.namespace = session.namespace, new_namespace()
            model, session.model = session.model, None
        self._forget(namespace, model)

    def add_program(self, session: Session, program: Program) -> None:
        """Adds a program to a session. Raises :class:`ProgramExists` and :class:`ProgramLimit`."""
        with self._lock:
            self._check_room(session, program.id)
            session.programs[program.id] = program
        session.statistics.count("programs_created")

    def check_room(self, session: Session, id: str) -> None:
        """Raises what :meth:`add_program` would, before the work of building a program is done for nothing."""
        with self._lock:
            self._check_room(session, id)

    def program(self, session: Session, id: str) -> Program:
        """The program of that id. Raises :class:`ProgramNotFound`."""
        program = session.programs.get(id)
        if program is None:
            raise ProgramNotFound(f"expected the id of a program of session {session.id!r}, got {id!r}, which is none")
        return program

    def remove_program(self, session: Session, id: str) -> bool:
        """Removes a program; false if there was none. A run of it goes on to its end."""
        with self._lock:
            return session.programs.pop(id, None) is not None

    def replace_programs(self, session: Session, programs: dict[str, Program]) -> int:
        """Gives a session other programs, all at once; returns how many it had."""
        with self._lock:
            count = len(session.programs)
            session.programs = programs
            return count

    def reset(self, session: Session) -> int:
        """Makes a session as new: no programs, no statistics, nothing cached, nothing running. It keeps its settings.

        Returns how many programs it had.
        """
        with self._lock:
            count = self.replace_programs(session, {})
            namespace, session.namespace = session.namespace, new_namespace()
            model, session.model = session.model, None
            session.statistics = Statistics()
            session.once = Once()
        session.stop_runs(Cancelled("expected the run to end, got a reset of its session"))
        self._forget(namespace, model)
        return count

    def _check_room(self, session: Session, id: str) -> None:
        if id in session.programs:
            raise ProgramExists(f"expected a new program of session {session.id!r}, got the id of one that exists, {id!r}")
        if len(session.programs) >= session.settings.max_programs:
            raise ProgramLimit(f"expected at most {session.settings.max_programs} programs in session {session.id!r}, got one more")

    def _add(self, id: str, settings: Settings) -> Session:
        if len(self._sessions) >= self._max_sessions:
            raise SessionLimit(f"expected at most {self._max_sessions} sessions in this worker, got one more, {id!r}")
        session = Session(id, settings, self._clock.wall(), self._clock.monotonic())
        self._sessions[id] = session
        if settings.ttl is not None:
            self._with_ttl[id] = session
        return session

    def _expire(self) -> None:
        if not self._with_ttl:
            return
        tick = self._clock.monotonic()
        with self._lock:
            over = [session for session in self._with_ttl.values() if session.expired(tick)]
            for session in over:
                del self._sessions[session.id], self._with_ttl[session.id]
        for session in over:
            self._end(session, "its session was idle for too long")

    def _end(self, session: Session, why: str) -> None:
        session.state = "destroyed"
        session.stop_runs(Cancelled(f"expected the run to end, but {why}"))
        model, session.model = session.model, None
        self._forget(session.namespace, model)
