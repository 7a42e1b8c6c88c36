"""A language model's server for tests: real sockets, OpenAI's chat completions, and every way in which such a server fails.

::

    with LMServer(latency=0.2) as server:
        lm = {"model": "openai/test", "api_base": server.url, "api_key": "sk-test"}

It understands no language. It finds the fields that DSPy's prompt asks for and gives each a value; ``answers`` says other texts or
:class:`Fault`s, one for each request in turn. ``python -m tests.lm_server --latency 1`` serves by itself and prints its port.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

PATIENCE = 30.0

_FIELD = re.compile(r"\[\[ ## (\w+) ## \]\]")
_NAME = re.compile(r"`(\w+)`")


@dataclass(frozen=True)
class Fault:
    """An answer that is none: a status with a body, a connection cut after ``cut`` bytes, or a byte every ``trickle`` seconds."""

    status: int = 500
    message: str = "something is wrong"
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    trickle: float | None = None


@dataclass(frozen=True)
class Seen:
    """A request that came: its headers, and its body as JSON has it."""

    headers: dict[str, str]
    body: Any


class LMServer:
    """A server on this machine, on a thread of its own. ``latency`` is seconds before each answer; one that is ``held`` waits to be
    told to :meth:`release` them."""

    def __init__(self, latency: float = 0.0, answers: Iterable[str | Fault] = (), *, held: bool = False, port: int = 0) -> None:
        self.latency = latency
        self.requests: list[Seen] = []
        self._answers = iter(answers)
        self.connections = 0
        self._open: set[asyncio.Task[None]] = set()
        self._news = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, name="lm-server", daemon=True)
        self._released = asyncio.Event()
        if not held:
            self._released.set()
        self.port = port

    @property
    def url(self) -> str:
        """What to give as ``api_base``."""
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> LMServer:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    def release(self) -> None:
        """Lets the answers go that are held, and all that come later."""
        self._loop.call_soon_threadsafe(self._released.set)

    def wait_for_requests(self, count: int) -> None:
        """Returns when that many requests have come."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.requests) >= count, PATIENCE), (
                f"{len(self.requests)} of {count} requests came"
            )

    def wait_until_idle(self) -> None:
        """Returns when no connection is open any more."""
        with self._news:
            assert self._news.wait_for(lambda: not self._open, PATIENCE), f"{len(self._open)} connections are still open"

    async def _start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=4096)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in tuple(self._open):
            task.cancel()
        while self._open:
            await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        self.connections += 1
        try:
            while await self._answer(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            self._open.discard(task)
            with self._news:
                self._news.notify_all()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = json.loads(await reader.readexactly(int(headers.get("content-length", 0))) or b"null")
        with self._news:
            self.requests.append(Seen(headers, body))
            self._news.notify_all()
        answer = next(self._answers, None)
        if not await self._wait(reader):
            return False
        if isinstance(answer, Fault):
            return await _fail(writer, answer)
        await _send(writer, 200, _completion(body, answer if answer is not None else _said(body)))
        return True

    async def _wait(self, reader: asyncio.StreamReader) -> bool:
        """Waits as long as an answer takes; false if the caller goes away meanwhile."""
        if not self.latency and self._released.is_set():
            return True
        gone = asyncio.ensure_future(reader.read(1))
        over = asyncio.ensure_future(self._over())
        try:
            await asyncio.wait({gone, over}, return_when=asyncio.FIRST_COMPLETED)
            return not gone.done()
        finally:
            gone.cancel()
            over.cancel()
            await asyncio.gather(gone, over, return_exceptions=True)

    async def _over(self) -> None:
        await asyncio.sleep(self.latency)
        await self._released.wait()


async def _fail(writer: asyncio.StreamWriter, fault: Fault) -> bool:
    body = json.dumps({"error": {"message": fault.message, "type": "error", "code": None}}).encode()
    if fault.trickle is not None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(fault.trickle)
    if fault.cut is not None:
        writer.write((b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + body)[: fault.cut])
        await writer.drain()
        return False
    await _send(writer, fault.status, body, fault.headers)
    return True


async def _send(writer: asyncio.StreamWriter, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
    lines = [f"HTTP/1.1 {status} Whatever", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    writer.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
    await writer.drain()


def _completion(body: Any, text: str) -> bytes:
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    reply = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": body["model"],
        "choices": choices,
        "usage": usage,
    }
    return json.dumps(reply).encode()


def _said(body: Any) -> str:
    """A value for each output field that the prompt asks for, in the format that it asks for."""
    prompt = _text(body["messages"][-1]["content"])
    schema = ((body.get("response_format") or {}).get("json_schema") or {}).get("schema")
    if schema is not None:
        return json.dumps({name: _example(kind) for name, kind in schema["properties"].items()})
    asked = prompt[prompt.rfind("Respond with") :]
    if body.get("response_format") is not None:
        return json.dumps(dict.fromkeys(_NAME.findall(asked), "an answer"))
    wanted = _FIELD.findall(asked)
    return "\n\n".join(f"[[ ## {name} ## ]]\n{'' if name == 'completed' else 'an answer'}" for name in wanted)


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _example(schema: Any) -> Any:
    return {"integer": 1, "number": 0.5, "boolean": True, "array": []}.get(schema.get("type"), schema.get("enum", ["an answer"])[0])


def main() -> None:
    """Serves until it is killed."""
    parser = argparse.ArgumentParser(prog="python -m tests.lm_server")
    parser.add_argument("--port", type=int, default=0, help="0, a free one, is the default")
    parser.add_argument("--latency", type=float, default=0.0)
    options = parser.parse_args()
    with LMServer(options.latency, port=options.port) as server:
        print(server.port, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
