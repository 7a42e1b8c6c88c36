"""The functions that Elixir calls, one for each command. ``dspex_erl.NAME`` is the one here of the same name.

The first argument is the id of a session, a binary or an atom; a session that was never created comes into being at its first
use. Maps may have atoms or binaries as keys. A reply is a map whose keys are atoms and whose texts are binaries, the same for all mappings of
types; a call that fails raises one of :mod:`dspex_erl.errors` and has changed nothing.

The examples use ``echo``, a model that needs no key and no network: it answers with what it was asked.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from dspex_erl.bridge.commands import Bridge, Started
from dspex_erl.bridge.dialect import Fields, reply
from dspex_erl.errors import WorkerError
from dspex_erl.runtime.worker import current

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = [
    "bridge",
    "clear_program",
    "configure_lm",
    "create_program",
    "create_session",
    "delete_program",
    "destroy_session",
    "execute_program",
    "export_session",
    "get_program_info",
    "get_session_info",
    "get_stats",
    "health_check",
    "import_session",
    "list_programs",
    "list_sessions",
    "overlapping",
    "reset_programs",
    "reset_state",
    "shutdown",
]

_lock = threading.Lock()
_bridge: Bridge | None = None


def bridge() -> Bridge:
    """The bridge of this process, made at its first need."""
    global _bridge
    if _bridge is None:
        with _lock:
            if _bridge is None:
                from dspex_erl.bridge.identity import mode, worker_id

                _bridge = Bridge(worker_id=worker_id(), mode=mode())
    return _bridge


def overlapping() -> bool:
    """Whether this process serves several calls at once, so that a run should not keep a thread while it waits."""
    scheduler = current()
    return scheduler is not None and scheduler.overlaps


def create_session(session: Any, opts: Any = None) -> Any:
    """Makes a session with its options: ``lm``, ``adapter``, ``user_id``, ``ttl`` (seconds), ``max_programs``, ``limits``, ``config``.

    Returns ``{status: "created", session_id, created_at}``. Raises ``SessionExists``, ``SessionLimit`` and ``BadRequest``.

    >>> import dspex_erl
    >>> created = dspex_erl.create_session("alice", {"lm": {"model": "echo"}})
    >>> created["status"], dspex_erl.destroy_session("alice")["status"]
    (b'created', b'destroyed')
    """
    return reply(bridge().create_session(session, opts))


def destroy_session(session: Any) -> Any:
    """Ends a session: its programs are gone, and whoever waits for a run of it gets ``Cancelled``.

    Returns ``{status: "destroyed", cleared_programs}``. Raises ``SessionNotFound``.
    """
    return reply(bridge().destroy_session(session))


def list_sessions(opts: Any = None) -> Any:
    """The ids of the sessions of this worker, oldest first; with ``{user_id: …}`` those of one user.

    Returns ``{status: "listed", sessions, count}``.
    """
    return reply(bridge().list_sessions(opts))


def get_session_info(session: Any) -> Any:
    """What there is to know of a session. Raises ``SessionNotFound``.

    Returns ``{status: "ok", session_id, user_id, state, created_at, last_activity, programs_count, stats}``; times are ISO 8601 in UTC.
    """
    return reply(bridge().get_session_info(session))


def configure_lm(session: Any, lm: Any) -> Any:
    """Gives a session another language model; runs that have begun keep the old one. Raises ``BadRequest``.

    Returns ``{status: "configured", model}``, never the key.

    >>> import dspex_erl
    >>> dspex_erl.configure_lm("default", {"model": "echo"})["model"]
    b'echo'
    """
    return reply(bridge().configure_lm(session, lm))


def create_program(session: Any, program: Any, spec: Any) -> Any:
    """Makes a program out of a signature, or out of a map with ``signature``, ``instructions``, ``module`` and more.

    Returns ``{status: "created", program_id, session_id, worker_id, signature, fingerprint}``. Raises ``ProgramExists``,
    ``ProgramLimit``, ``BadSignature``, ``UnknownModule``, ``ImportFailed`` and ``BadRequest``.

    >>> import dspex_erl
    >>> created = dspex_erl.create_program("ada", "qa", "question, context: list[str] -> answer, score: float")
    >>> created["signature"], dspex_erl.reset_programs("ada")["cleared_programs"]
    (b'question, context: list[str] -> answer, score: float', 1)
    """
    return reply(bridge().create_program(session, program, spec))


def execute_program(session: Any, program: Any, inputs: Any, opts: Any = None) -> Any:
    """Runs a program. ``opts`` are ``timeout`` (milliseconds, or ``infinity``; 120 000 unless told), ``config``, and
    ``idempotency_key``: a call with the key of an earlier one runs nothing and gets the same reply.

    Returns ``{status: "executed", program_id, session_id, worker_id, result, usage, duration_ms, cached}``; the keys of ``result`` are
    atoms if those of ``inputs`` were. In a worker that serves several calls at once it returns a coroutine that gives this.
    Raises ``ProgramNotFound``, ``BadInput``, ``TimeoutExpired``, ``Cancelled``, the kinds of ``LMError``, and ``ProgramFailed``.

    >>> import dspex_erl
    >>> _ = dspex_erl.create_session("bob", {"lm": {"model": "echo"}})
    >>> _ = dspex_erl.create_program("bob", "qa", "question -> answer")
    >>> dspex_erl.execute_program("bob", "qa", {"question": "Why?"})["result"]
    {b'answer': b'Why?'}
    >>> dspex_erl.destroy_session("bob")["cleared_programs"]
    1
    """
    pending = bridge().prepare(session, program, inputs, opts)
    return _later(pending) if overlapping() else reply(pending.run())


def _later(pending: Started) -> Coroutine[Any, Any, Any]:
    async def run() -> Any:
        return reply(await pending.arun())

    return run()


def list_programs(session: Any) -> Any:
    """The ids of a session's programs, oldest first. Returns ``{status: "listed", programs, count}``."""
    return reply(bridge().list_programs(session))


def get_program_info(session: Any, program: Any) -> Any:
    """What there is to know of a program. Raises ``ProgramNotFound``.

    Returns ``{status: "ok", program_id, signature, module, created_at, executions, compiled, fingerprint}``.
    """
    return reply(bridge().get_program_info(session, program))


def delete_program(session: Any, program: Any) -> Any:
    """Removes a program. Returns ``{status: "deleted", program_id}``. Raises ``ProgramNotFound``."""
    return reply(bridge().delete_program(session, program))


def clear_program(session: Any, program: Any) -> Any:
    """Removes a program if it is there. Returns ``{status: "cleared" or "not_found", program_id}``."""
    return reply(bridge().clear_program(session, program))


def reset_programs(session: Any) -> Any:
    """Removes all programs of a session. Returns ``{status: "reset", cleared_programs}``, the number that there was."""
    return reply(bridge().reset_programs(session))


def reset_state(session: Any = None) -> Any:
    """Makes a session as new: no programs, no cache, no statistics, nothing running. It keeps its model and its options.

    Without a session, all of this worker. Returns ``{status: "reset", cleared_programs, cleared_sessions, cleared_variables}``.
    """
    return reply(bridge().reset_state(session))


def get_stats(session: Any) -> Any:
    """The counters of a session.

    Returns ``{status: "ok", session_id, programs_count, commands_processed, programs_created, errors, cached_stats, usage, worker_id, mode}``.
    """
    return reply(bridge().get_stats(session))


def health_check() -> Any:
    """How this worker is.

    Returns ``{status: "healthy", message, version, python, dspy, pid, uptime_s, sessions, programs, in_flight, rss_bytes}``.

    >>> import dspex_erl
    >>> dspex_erl.health_check()["status"]
    b'healthy'
    """
    return reply(bridge().health_check())


def export_session(session: Any) -> Any:
    """A session as plain terms, with no pickle and no key in them. Returns ``{status: "exported", snapshot}``."""
    return reply(bridge().export_session(session))


def import_session(session: Any, snapshot: Any) -> Any:
    """Puts a snapshot into a session, in place of the programs that it has. Raises ``SnapshotInvalid``.

    Returns ``{status: "imported", programs_count}``.
    """
    return reply(bridge().import_session(session, snapshot))


def shutdown() -> Any:
    """Ends the worker that serves this process: running calls finish, new ones are refused, and it exits with status 0.

    Returns ``{status: "stopping"}``. Raises ``WorkerError`` outside a worker.
    """
    scheduler = current()
    if scheduler is None:
        raise WorkerError("expected shutdown to be called inside a worker, got a process without one")
    scheduler.stop()
    return reply(Fields(status="stopping"))
