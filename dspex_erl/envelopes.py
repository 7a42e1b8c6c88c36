"""Commands by name: for callers that send a command as data, and for those that want errors as data.

``handle_command`` takes a command and a map of arguments; ``handle_message`` takes a whole envelope and always answers with one that
carries the same id; ``invoke`` takes positional arguments and never raises, which is how the Elixir client calls. All three go
through one table.
"""

from __future__ import annotations

import threading
import traceback as tracebacks
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from dspex_erl import __version__
from dspex_erl.api import bridge, overlapping, shutdown
from dspex_erl.bridge.commands import STARTED, Bridge, Started
from dspex_erl.bridge.dialect import Fields, plain, reply
from dspex_erl.bridge.identity import default_session
from dspex_erl.errors import BadRequest, Cancelled, DspexError, ImportFailed, ProgramFailed, UnknownCommand

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["COMMANDS", "cancel", "describe", "handle_command", "handle_message", "invoke"]

_MAX_MESSAGE = 2000


@dataclass(frozen=True)
class Command:
    """A command: what runs it, and the names of its arguments in order. Those from ``required`` on may be left out."""

    run: Callable[..., Any]
    arguments: tuple[str, ...] = ()
    required: int = 0
    aliases: tuple[tuple[str, str], ...] = ()


_PROGRAM = (("id", "program_id"),)

COMMANDS: dict[str, Command] = {
    "create_session": Command(Bridge.create_session, ("session_id", "opts"), 1),
    "destroy_session": Command(Bridge.destroy_session, ("session_id",), 1),
    "list_sessions": Command(Bridge.list_sessions, ("opts",)),
    "get_session_info": Command(Bridge.get_session_info, ("session_id",), 1),
    "configure_lm": Command(Bridge.configure_lm, ("session_id", "lm"), 2),
    "create_program": Command(Bridge.create_program, ("session_id", "program_id", "spec"), 3, _PROGRAM),
    "execute_program": Command(Bridge.prepare, ("session_id", "program_id", "inputs", "opts"), 3, _PROGRAM),
    "list_programs": Command(Bridge.list_programs, ("session_id",), 1),
    "get_program_info": Command(Bridge.get_program_info, ("session_id", "program_id"), 2, _PROGRAM),
    "delete_program": Command(Bridge.delete_program, ("session_id", "program_id"), 2, _PROGRAM),
    "clear_program": Command(Bridge.clear_program, ("session_id", "program_id"), 2, _PROGRAM),
    "reset_programs": Command(Bridge.reset_programs, ("session_id",), 1),
    "reset_state": Command(Bridge.reset_state, ("session_id",)),
    "get_stats": Command(Bridge.get_stats, ("session_id",), 1),
    "health_check": Command(Bridge.health_check),
    "export_session": Command(Bridge.export_session, ("session_id",), 1),
    "import_session": Command(Bridge.import_session, ("session_id", "snapshot"), 2),
    "shutdown": Command(lambda bridge: _stopping()),
}
"""Every command by its name."""

_requests_lock = threading.Lock()
_requests: dict[str, Started] = {}


def _stopping() -> Fields:
    shutdown()
    return Fields(status="stopping")


def _find(command: Any) -> Command:
    name = plain(command)
    found = COMMANDS.get(name) if isinstance(name, str) else None
    if found is None:
        shown = repr(name[:64]) if isinstance(name, str) else type(name).__name__
        raise UnknownCommand(f"expected a command out of {', '.join(COMMANDS)}, got {shown}")
    return found


def _positions(command: Command, args: Any) -> list[Any]:
    """The arguments of a map, in the order of the command's; the session is the worker's own if the map names none."""
    if args is None or (isinstance(args, list) and not args):
        args = {}
    if not isinstance(args, dict):
        raise BadRequest(f"expected a map of arguments, got {type(args).__name__}")
    given = {key if type(key) is str else plain(key): value for key, value in args.items()}
    for alias, name in command.aliases:
        if alias in given:
            given.setdefault(name, given.pop(alias))
    if "session_id" in command.arguments[: command.required]:
        given.setdefault("session_id", default_session())
    if "spec" in command.arguments and "spec" not in given and "signature" in given:
        given["spec"] = {key: value for key, value in given.items() if key not in ("session_id", "program_id")}
    for name in command.arguments[: command.required]:
        if name not in given:
            raise BadRequest(f"expected the arguments {', '.join(command.arguments)}, got none of the name {name!r}")
    return [given.get(name) for name in command.arguments]


def _started(command: Command, args: list[Any]) -> Any:
    return command.run(bridge(), *args)


def handle_command(command: Any, args: Any = None) -> Any:
    """Runs the command of that name with a map of arguments, whose keys are those of the reply: ``session_id``, ``program_id``, …

    Returns what the function of that name returns. Raises ``UnknownCommand``, ``BadRequest`` for a missing part, and what it raises.

    >>> import dspex_erl
    >>> dspex_erl.handle_command("list_programs", {"session_id": "nobody"})["count"]
    0
    """
    found = _find(command)
    return _finished(_started(found, _positions(found, args)), lambda value: reply(value))


def _finished(started: Any, finish: Callable[[Any], Any], fail: Callable[[BaseException], Any] | None = None) -> Any:
    """What ``finish`` makes of the value of ``started``, now or, for a run that may overlap with others, when it is there."""
    if not isinstance(started, STARTED):
        return finish(started)
    if overlapping():
        return _finished_later(started, finish, fail)
    try:
        return finish(started.run())
    except Exception as error:
        if fail is None:
            raise
        return fail(error)


async def _finished_later(started: Started, finish: Callable[[Any], Any], fail: Callable[[BaseException], Any] | None) -> Any:
    try:
        return finish(await started.arun())
    except Exception as error:
        if fail is None:
            raise
        return fail(error)


# -- errors as data --------------------------------------------------------------------------------------------------------------


def describe(error: BaseException, context: dict[str, Any] | None = None, traceback: bool = False) -> Fields:
    """An error as a map: ``reason, error_type, message, context, recovery_strategy, retry_after_ms, traceback``."""
    kind = error if isinstance(error, DspexError) else _as_ours(error)
    return Fields(
        reason=kind.reason,
        error_type=kind.error_type,
        message=_message(error),
        context=Fields(context or {}),
        recovery_strategy=kind.recovery_strategy,
        retry_after_ms=getattr(error, "retry_after_ms", None),
        traceback=_traceback(error) if traceback else None,
    )


def _as_ours(error: BaseException) -> DspexError:
    return ImportFailed() if isinstance(error, ImportError) else ProgramFailed()


def _message(error: BaseException) -> str:
    try:
        text = str(error) if isinstance(error, DspexError) else f"{type(error).__name__}: {error}"
    except Exception:
        text = type(error).__name__
    return text if len(text) <= _MAX_MESSAGE else text[: _MAX_MESSAGE - 1] + "…"


def _traceback(error: BaseException) -> str:
    return "".join(tracebacks.format_tb(error.__traceback__)[-50:])


# -- envelopes -------------------------------------------------------------------------------------------------------------------


def handle_message(message: Any) -> Any:
    """Answers an envelope with one that carries its id, whatever is wrong with it.

    ``{id, command, args}`` is answered by ``{id, result}`` or ``{id, error}``, and ``{message_id, request_type, payload, timestamp, metadata}`` by
    ``{message_id, status: "success" or "error", payload or error, timestamp, metadata}``. Raises nothing.

    >>> import dspex_erl
    >>> dspex_erl.handle_message({"id": 7, "command": "dance"})["error"]["reason"]
    b'unknown_command'
    """
    if not isinstance(message, dict):
        return reply(Fields(id=None, error=describe(BadRequest(f"expected an envelope as a map, got {type(message).__name__}"))))
    parts = {key if type(key) is str else plain(key): value for key, value in message.items()}
    build = _Message(parts) if "request_type" in parts or "message_id" in parts else _Envelope(parts)
    try:
        found = _find(build.command())
        started = _started(found, _positions(found, build.args()))
    except Exception as error:
        return build.failure(error)
    return _finished(started, build.success, build.failure)


class _Envelope:
    """``{id, command, args}``."""

    def __init__(self, parts: dict[Any, Any]) -> None:
        self._id = parts.get("id")
        self._parts = parts

    def command(self) -> Any:
        if "command" not in self._parts:
            raise BadRequest("expected an envelope with the keys id, command and args, got none of the name 'command'")
        return self._parts["command"]

    def args(self) -> Any:
        return self._parts.get("args")

    def success(self, value: Any) -> Any:
        return reply(Fields(id=self._id, result=value))

    def failure(self, error: BaseException) -> Any:
        return reply(Fields(id=self._id, error=describe(error)))


class _Message:
    """``{message_id, request_type, payload, timestamp, metadata}``."""

    def __init__(self, parts: dict[Any, Any]) -> None:
        self._id = parts.get("message_id")
        self._parts = parts

    def command(self) -> Any:
        if "request_type" not in self._parts:
            raise BadRequest(
                "expected a message with the keys message_id, request_type and payload, got none of the name 'request_type'"
            )
        return self._parts["request_type"]

    def args(self) -> Any:
        return self._parts.get("payload")

    def success(self, value: Any) -> Any:
        return self._reply("success", payload=value)

    def failure(self, error: BaseException) -> Any:
        return self._reply("error", error=describe(error))

    def _reply(self, status: str, **content: Any) -> Any:
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        metadata = Fields(source="dspex_erl", version=__version__)
        return reply(Fields(message_id=self._id, status=status, **content, timestamp=now, metadata=metadata))


# -- the Elixir client's way -----------------------------------------------------------------------------------------------------


def invoke(name: Any, args: Any, meta: Any = None) -> Any:
    """Runs a command with positional arguments and gives its outcome as data; it raises nothing.

    ``meta`` is a map of ``request_id`` (by which :func:`cancel` finds it), ``traceback`` (whether errors carry one) and ``attempt``.
    Returns ``{status: "ok", value}`` or ``{status: "error", error}``. In a worker that serves several calls at once, the run of
    a program is returned as a coroutine.

    >>> import dspex_erl
    >>> dspex_erl.invoke("list_programs", [b"nobody"], {})["value"]["count"]
    0
    """
    context: dict[str, Any] = {"worker_id": bridge().worker_id}
    traceback = False
    try:
        about = _about(meta)
        traceback = about.get("traceback") is True
        context.update((key, about.get(key)) for key in ("request_id", "attempt"))
        command = _find(name)
        positions = _listed(command, args)
        context.update(_places(command, positions))
        started = _started(command, positions)
    except Exception as error:
        return _error(error, context, traceback)
    return _tracked(started, about.get("request_id"), context, traceback)


def _about(meta: Any) -> dict[str, Any]:
    about = plain(meta)
    if about is None or about == []:
        return {}
    if not isinstance(about, dict):
        raise BadRequest(f"expected a map about the request, got {type(about).__name__}")
    request_id = about.get("request_id")
    if request_id is not None and not isinstance(request_id, str):
        raise BadRequest(f"expected a request_id as a binary, got {type(request_id).__name__}")
    return about


def _listed(command: Command, args: Any) -> list[Any]:
    if not isinstance(args, (list, tuple)):
        raise BadRequest(f"expected a list of arguments, got {type(args).__name__}")
    if not command.required <= len(args) <= len(command.arguments):
        raise BadRequest(f"expected the arguments ({', '.join(command.arguments)}), got {len(args)} of them")
    return list(args)


def _places(command: Command, positions: list[Any]) -> Iterator[tuple[str, str | None]]:
    """The ids among the arguments, for the ``context`` of an error; nothing else of the arguments goes there."""
    for name, value in zip(command.arguments, positions):
        if name in ("session_id", "program_id"):
            text = value if isinstance(value, (str, bytes)) else None
            id = None if text is None else plain(text)
            yield name, id[:255] if isinstance(id, str) else None


def _tracked(started: Any, request_id: str | None, context: dict[str, Any], traceback: bool) -> Any:
    """The outcome of what was started, which :func:`cancel` can reach by ``request_id`` while it lasts."""

    def over() -> None:
        if request_id is not None:
            with _requests_lock:
                _requests.pop(request_id, None)

    def success(value: Any) -> Any:
        over()
        return reply(Fields(status="ok", value=value))

    def failure(error: BaseException) -> Any:
        over()
        return _error(error, context, traceback)

    if isinstance(started, STARTED) and request_id is not None:
        with _requests_lock:
            _requests[request_id] = started
    return _finished(started, success, failure)


def _error(error: BaseException, context: dict[str, Any], traceback: bool) -> Any:
    return reply(Fields(status="error", error=describe(error, context, traceback)))


def cancel(request_id: Any) -> Any:
    """Stops the run that was started with this ``request_id``; its caller gets ``Cancelled``.

    Returns ``{status: "cancelled" or "not_found"}``: the run may be over.
    """
    with _requests_lock:
        pending = _requests.get(plain(request_id))
    if pending is None:
        return reply(Fields(status="not_found"))
    pending.stop(Cancelled("expected the run to end, got a cancellation by its caller"))
    return reply(Fields(status="cancelled"))
