"""A session as plain terms and back: what ``export_session`` gives can be kept, sent, and put into a session of any worker.

A snapshot holds the descriptions of the programs, what optimisation made of them, and the settings of the session. It holds no key: a model
whose key was given by value must be configured again, one whose key is named by its environment variable need not. Reading one
evaluates nothing: every part passes the same checks as if it came from a caller, and fingerprints must match.
"""

from __future__ import annotations

from typing import Any

from dspex_erl.bridge.settings import parse_settings
from dspex_erl.errors import DspexError, SnapshotInvalid
from dspex_erl.programs.program import build, state_of
from dspex_erl.programs.spec import parse_spec
from dspex_erl.sessions import Program, Session, check_id

__all__ = ["VERSION", "restore", "take"]

VERSION = 1


def take(session: Session) -> dict[str, Any]:
    """The snapshot of a session."""
    settings = session.settings
    return {
        "version": VERSION,
        "settings": {
            "lm": None if settings.lm is None else settings.lm.to_plain(),
            "adapter": settings.adapter,
            "user_id": settings.user_id,
            "ttl": settings.ttl,
            "max_programs": settings.max_programs,
            "limits": dict(settings.limits),
            "config": dict(settings.config),
        },
        "programs": {program.id: _program(program) for program in session.programs.values()},
    }


def _program(program: Program) -> dict[str, Any]:
    return {
        "spec": program.spec.to_plain(),
        "fingerprint": program.fingerprint,
        "compiled": program.compiled,
        "state": state_of(program),
        "executions": program.executions,
    }


def restore(snapshot: Any, session: Session, now: float) -> tuple[dict[str, Any], dict[str, Program]]:
    """The settings and programs that a plain ``snapshot`` holds, to be put into ``session``. Raises :class:`SnapshotInvalid`."""
    version = _map(snapshot, "snapshot").get("version")
    if version != VERSION:
        raise SnapshotInvalid(f"expected a snapshot of version {VERSION}, got {str(version)[:20]!r}")
    try:
        settings = parse_settings(_map(snapshot.get("settings"), "settings"))
        programs = {
            check_id(id, "program"): _restored(id, _map(data, f"programs.{id}"), now)
            for id, data in _map(snapshot.get("programs"), "programs").items()
        }
    except SnapshotInvalid:
        raise
    except DspexError as error:
        raise SnapshotInvalid(f"expected a snapshot that this worker could have made, but {error}") from error
    if len(programs) > settings.max_programs:
        raise SnapshotInvalid(f"expected at most {settings.max_programs} programs, got {len(programs)}")
    changes = {name: getattr(settings, name) for name in ("adapter", "user_id", "ttl", "max_programs", "limits", "config")}
    if settings.lm is not None and (session.settings.lm is None or not settings.lm.lacks_key):
        changes["lm"] = settings.lm
    return changes, programs


def _restored(id: str, data: dict[str, Any], now: float) -> Program:
    spec = parse_spec(data.get("spec"))
    fingerprint = spec.fingerprint()
    if data.get("fingerprint") != fingerprint:
        raise SnapshotInvalid(f"expected the fingerprint of program {id[:64]!r} to match its description, got another")
    executions, compiled = data.get("executions", 0), data.get("compiled", False)
    if not isinstance(executions, int) or executions < 0 or not isinstance(compiled, bool):
        raise SnapshotInvalid(f"expected a count and a truth value, got something else, at programs.{id[:64]}")
    program = Program(id, spec, fingerprint, now, compiled, data.get("state"), executions)
    if program.state is not None:
        # Whether a state fits can only be seen by loading it.
        program.built = build(spec, program.state)
    return program


def _map(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise SnapshotInvalid(f"expected a map with texts as keys, got {type(value).__name__}, at {where[:80]}")
    return value
