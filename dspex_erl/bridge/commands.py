"""The commands: what every public function does, before and after its terms are made plain.

A :class:`Bridge` holds the sessions of a process. Each of its methods is one command of the public interface: it takes terms as they
came, checks all of them before it changes anything, and returns :class:`~dspex_erl.bridge.dialect.Fields`. DSPy is imported by the first command
that needs a program or a model built, and by no other.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from dspex_erl import __version__
from dspex_erl.bridge.dialect import Fields, named, plain
from dspex_erl.bridge.settings import parse_settings
from dspex_erl.errors import BadRequest
from dspex_erl.programs.config import check_config
from dspex_erl.programs.program import build, built
from dspex_erl.programs.spec import ProgramSpec, parse_spec
from dspex_erl.programs.values import check_inputs
from dspex_erl.sessions import Clock, Program, Registry, Session, check_id
from dspex_erl.sessions.clock import timestamp
from dspex_erl.sessions.once import Once, Repeated

if TYPE_CHECKING:
    from concurrent.futures import Future

    from dspex_erl.programs.execution import Execution, Outcome
    from dspex_erl.sessions.session import Usage

__all__ = ["EXECUTE_TIMEOUT_MS", "STARTED", "Bridge", "Pending", "Promised", "Started"]

EXECUTE_TIMEOUT_MS = 120_000
"""How long ``execute_program`` waits unless it is told otherwise: many an answer of a language model takes longer than 5 s."""

_MAX_TIMEOUT_MS = 2**31

_EXECUTE_OPTIONS = ("timeout", "config", "idempotency_key")


class Pending:
    """A run that was accepted and has not begun: everything that can be wrong with a request was found before there is one."""

    def __init__(self, execution: Execution, session: Session, program: Program, inputs: Any, worker_id: str) -> None:
        self._execution = execution
        self._session = session
        self._program = program
        self._inputs = inputs
        self._worker_id = worker_id

    def run(self) -> Fields:
        """Runs in this thread and returns the reply."""
        try:
            return self._reply(self._execution.run())
        except BaseException:
            self._session.statistics.count("errors")
            raise

    async def arun(self) -> Fields:
        """Runs on this event loop and returns the reply."""
        try:
            return self._reply(await self._execution.arun())
        except BaseException:
            self._session.statistics.count("errors")
            raise

    def stop(self, error: BaseException) -> None:
        """Ends the run as soon as it can be ended; its caller gets ``error``."""
        self._execution.stop(error)

    def _reply(self, outcome: Outcome) -> Fields:
        self._program.executions += 1
        return Fields(
            status="executed",
            program_id=self._program.id,
            session_id=self._session.id,
            worker_id=self._worker_id,
            result=named(outcome.values, self._inputs),
            usage=_usage(outcome.usage),
            duration_ms=round(outcome.seconds * 1000, 3),
            cached=outcome.cached,
        )


class Promised:
    """A run whose reply others wait for as well."""

    def __init__(self, pending: Pending, once: Once, key: str, future: Future[Any]) -> None:
        self._pending = pending
        self._once = once
        self._key = key
        self._future = future

    def run(self) -> Fields:
        """As :meth:`Pending.run`, for all who wait."""
        try:
            return self._kept(self._pending.run())
        except BaseException as error:
            self._failed(error)
            raise

    async def arun(self) -> Fields:
        """As :meth:`Pending.arun`, for all who wait."""
        try:
            return self._kept(await self._pending.arun())
        except BaseException as error:
            self._failed(error)
            raise

    def stop(self, error: BaseException) -> None:
        """Ends the run for all who wait."""
        self._pending.stop(error)

    def _kept(self, reply: Fields) -> Fields:
        self._future.set_result(reply)
        return reply

    def _failed(self, error: BaseException) -> None:
        self._once.forget(self._key)
        self._future.set_exception(error)


STARTED = (Pending, Repeated, Promised)
"""What a run that was accepted can be: each has ``run``, ``arun`` and ``stop``."""

Started = Pending | Repeated | Promised


class Bridge:
    """All commands over one registry of sessions. Safe to call from many threads at once."""

    def __init__(self, clock: Clock | None = None, worker_id: str | None = None, mode: str = "standalone") -> None:
        self.clock = clock or Clock()
        self.worker_id = worker_id or f"worker_{os.getpid()}"
        self.mode = mode
        self.registry = Registry(self.clock, forget=_forget)
        self._started = self.clock.monotonic()

    # -- sessions ----------------------------------------------------------------------------------------------------------------

    def create_session(self, session: Any, opts: Any = None) -> Fields:
        """Makes a session with its options."""
        id = check_id(plain(session), "session")
        made = self.registry.create(id, parse_settings(plain(opts, "options")))
        return Fields(status="created", session_id=made.id, created_at=timestamp(made.created_at))

    def destroy_session(self, session: Any) -> Fields:
        """Ends a session and what runs in it."""
        return Fields(status="destroyed", cleared_programs=self.registry.destroy(check_id(plain(session), "session")))

    def list_sessions(self, opts: Any = None) -> Fields:
        """The ids of all sessions, or of one user's."""
        options = _options(opts, ("user_id",))
        sessions = [session.id for session in self.registry.list(options.get("user_id"))]
        return Fields(status="listed", sessions=sessions, count=len(sessions))

    def get_session_info(self, session: Any) -> Fields:
        """What there is to know of a session."""
        found = self.registry.get(check_id(plain(session), "session"))
        return Fields(
            status="ok",
            session_id=found.id,
            user_id=found.settings.user_id,
            state=found.state,
            created_at=timestamp(found.created_at),
            last_activity=timestamp(found.last_activity),
            programs_count=len(found.programs),
            stats=_statistics(found),
        )

    def configure_lm(self, session: Any, lm: Any) -> Fields:
        """Gives a session another language model."""
        from dspex_erl.programs.lms.spec import parse_lm

        with self._command(session) as found:
            spec = parse_lm(plain(lm, "lm"))
            self.registry.configure(found, lm=spec)
        return Fields(status="configured", model=spec.model)

    # -- programs ----------------------------------------------------------------------------------------------------------------

    def create_program(self, session: Any, program: Any, spec: Any) -> Fields:
        """Makes a program of a session."""
        with self._command(session) as found:
            id = check_id(plain(program), "program")
            self.registry.check_room(found, id)
            described = parse_spec(plain(spec, "the program's description"))
            made = Program(id, described, described.fingerprint(), self.clock.wall())
            made.built = build(described)
            self.registry.add_program(found, made)
        return Fields(
            status="created",
            program_id=id,
            session_id=found.id,
            worker_id=self.worker_id,
            signature=_signature(described),
            fingerprint=made.fingerprint,
        )

    def prepare(self, session: Any, program: Any, inputs: Any, opts: Any = None) -> Started:
        """Everything of ``execute_program`` but the run itself."""
        with self._command(session) as found:
            options = _options(opts, _EXECUTE_OPTIONS)
            key = options.get("idempotency_key")
            if key is None:
                return self._pending(found, program, inputs, options)
            claimed = found.once.claim(key, (plain(program), plain(inputs, "inputs")))
            if isinstance(claimed, Repeated):
                return claimed
            try:
                return Promised(self._pending(found, program, inputs, options), found.once, key, claimed)
            except BaseException as error:
                found.once.forget(key)
                claimed.set_exception(error)
                raise

    def _pending(self, found: Session, program: Any, inputs: Any, options: dict[str, Any]) -> Pending:
        chosen = self.registry.program(found, check_id(plain(program), "program"))
        seconds = _seconds(options.get("timeout", EXECUTE_TIMEOUT_MS), found)
        config = {**found.settings.config, **chosen.spec.config, **check_config(options.get("config"), "options.config")}
        values = _inputs(chosen.spec, plain(inputs, "inputs"))
        ready = built(chosen)
        # DSPy is there now, and with it may come what needs it.
        from dspex_erl.programs.execution import Execution
        from dspex_erl.programs.models import adapter_of, model_of

        model = model_of(found)
        execution = Execution(found, ready, model, adapter_of(found, model), values, config, self.clock, seconds)
        return Pending(execution, found, chosen, inputs, self.worker_id)

    def execute_program(self, session: Any, program: Any, inputs: Any, opts: Any = None) -> Fields:
        """Runs a program in this thread."""
        return self.prepare(session, program, inputs, opts).run()

    def list_programs(self, session: Any) -> Fields:
        """The ids of a session's programs."""
        with self._command(session) as found:
            programs = list(found.programs)
        return Fields(status="listed", programs=programs, count=len(programs))

    def get_program_info(self, session: Any, program: Any) -> Fields:
        """What there is to know of a program."""
        with self._command(session) as found:
            chosen = self.registry.program(found, check_id(plain(program), "program"))
        return Fields(
            status="ok",
            program_id=chosen.id,
            signature=_signature(chosen.spec),
            module=chosen.spec.module,
            created_at=timestamp(chosen.created_at),
            executions=chosen.executions,
            compiled=chosen.compiled,
            fingerprint=chosen.fingerprint,
        )

    def delete_program(self, session: Any, program: Any) -> Fields:
        """Removes a program that must be there."""
        with self._command(session) as found:
            chosen = self.registry.program(found, check_id(plain(program), "program"))
            self.registry.remove_program(found, chosen.id)
        return Fields(status="deleted", program_id=chosen.id)

    def clear_program(self, session: Any, program: Any) -> Fields:
        """Removes a program that may be there."""
        with self._command(session) as found:
            id = check_id(plain(program), "program")
            removed = self.registry.remove_program(found, id)
        return Fields(status="cleared" if removed else "not_found", program_id=id)

    def reset_programs(self, session: Any) -> Fields:
        """Removes all programs of a session."""
        with self._command(session) as found:
            count = self.registry.replace_programs(found, {})
        return Fields(status="reset", cleared_programs=count)

    def reset_state(self, session: Any = None) -> Fields:
        """Makes a session, or all of them, as new."""
        id = plain(session)
        sessions = self.registry.list() if id is None else [self.registry.obtain(check_id(id, "session"))]
        programs = sum([self.registry.reset(found) for found in sessions])
        return Fields(status="reset", cleared_programs=programs, cleared_sessions=len(sessions), cleared_variables=0)

    # -- the rest ----------------------------------------------------------------------------------------------------------------

    def get_stats(self, session: Any) -> Fields:
        """The counters of a session."""
        with self._command(session) as found:
            pass
        return Fields(
            status="ok",
            session_id=found.id,
            programs_count=len(found.programs),
            **_statistics(found),
            worker_id=self.worker_id,
            mode=self.mode,
        )

    def health_check(self) -> Fields:
        """How this process is."""
        from dspex_erl.bridge.resident import resident_bytes

        sessions = self.registry.list()
        return Fields(
            status="healthy",
            message="Python is operational",
            version=__version__,
            python=".".join(map(str, sys.version_info[:3])),
            dspy=_dspy_version(),
            pid=os.getpid(),
            uptime_s=round(self.clock.monotonic() - self._started, 3),
            sessions=len(sessions),
            programs=sum(len(session.programs) for session in sessions),
            in_flight=sum(len(session.runs) for session in sessions),
            rss_bytes=resident_bytes(),
        )

    def export_session(self, session: Any) -> Fields:
        """A session as plain terms, without secrets."""
        from dspex_erl.bridge.snapshot import take

        with self._command(session) as found:
            snapshot = take(found)
        return Fields(status="exported", snapshot=snapshot)

    def import_session(self, session: Any, snapshot: Any) -> Fields:
        """Puts what a snapshot holds into a session, in place of what it had."""
        from dspex_erl.bridge.snapshot import restore

        with self._command(session) as found:
            settings, programs = restore(plain(snapshot, "snapshot"), found, self.clock.wall())
            self.registry.configure(found, **settings)
            self.registry.replace_programs(found, programs)
        return Fields(status="imported", programs_count=len(programs))

    def _command(self, session: Any) -> _Counted:
        return _Counted(self.registry.obtain(check_id(plain(session), "session")))


class _Counted:
    """Counts a command of a session, and whether it failed."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __enter__(self) -> Session:
        self._session.statistics.count("commands_processed")
        return self._session

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is not None:
            self._session.statistics.count("errors")


def _options(given: Any, known: tuple[str, ...]) -> dict[str, Any]:
    options = plain(given, "options")
    if options is None or options == []:
        return {}
    if not isinstance(options, dict):
        raise BadRequest(f"expected a map of options, got {type(options).__name__}")
    for name in options:
        if name not in known:
            raise BadRequest(f"expected an option out of {', '.join(known)}, got {str(name)[:64]!r}")
    return options


def _seconds(timeout: Any, session: Session) -> float | None:
    limit = session.settings.limits.get("wall_clock_ms")
    if timeout is None or timeout == "infinity":
        timeout = limit
    if timeout is None:
        return None
    if not isinstance(timeout, int) or isinstance(timeout, bool) or not 0 < timeout < _MAX_TIMEOUT_MS:
        got = repr(timeout) if isinstance(timeout, int) and abs(timeout) < 2**64 else type(timeout).__name__
        raise BadRequest(f"expected milliseconds from 1, or infinity, got {got}, at options.timeout")
    return (timeout if limit is None else min(timeout, limit)) / 1000


def _inputs(spec: ProgramSpec, inputs: Any) -> dict[str, Any]:
    if not isinstance(inputs, dict):
        raise BadRequest(f"expected a map from the signature's inputs to values, got {type(inputs).__name__}, at inputs")
    if spec.signature is not None:
        return check_inputs(spec.signature, inputs)
    for name in inputs:
        if not isinstance(name, str) or not name.isidentifier():
            raise BadRequest(f"expected names of inputs, got {str(name)[:64]!r}, at inputs")
    return inputs


def _signature(spec: ProgramSpec) -> str | None:
    return None if spec.signature is None else spec.signature.text


def _statistics(session: Session) -> Fields:
    counters = session.statistics
    return Fields(
        commands_processed=counters.commands_processed,
        programs_created=counters.programs_created,
        errors=counters.errors,
        cached_stats=Fields(hits=counters.cache_hits, misses=counters.cache_misses),
        usage=_usage(counters.usage),
    )


def _usage(usage: Usage) -> Fields:
    return Fields(
        requests=usage.requests,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        total_tokens=usage.total_tokens,
    )


def _dspy_version() -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("dspy")
    except PackageNotFoundError:
        return None


def _forget(namespace: str, model: Any) -> None:
    """Lets go of what a session had cached, and of its model. DSPy need not have been imported for there to be nothing."""
    if model is not None:
        model.close()
    cache = sys.modules.get("dspex_erl.programs.cache")
    if cache is not None:
        cache.forget(namespace)
