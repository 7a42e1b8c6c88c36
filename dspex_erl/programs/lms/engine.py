"""Our engine over DSPy's own HTTP client: one attempt at one request, on a thread or on an event loop.

DSPy's default engine looks up prices and routes for each call and hops threads when it is asynchronous; this one routes once, when
the model is built, and sends. Key and address are given explicitly and never guessed. As many connections as there are calls may be open.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from dataclasses import replace
from typing import Any

from dspy._vendor.lm15.transports import StdlibAsyncTransport, StdlibTransport
from dspy.clients.engines.lm15_engine import AsyncLM15Engine, LM15Engine
from dspy.lm15 import LM15Error, Request, Response, RouterConfig

from dspex_erl.programs.lms.deadline import leave_if_late, seconds_left

__all__ = ["MAX_CONNECTIONS", "AsyncEngine", "Engine", "Route"]

MAX_CONNECTIONS = 100_000
"""More than a process has descriptors: what limits the calls in flight is the caller."""

CONNECT_SECONDS = 10.0


class _Transport(StdlibTransport):  # type: ignore[misc]
    """Waits for no byte beyond the deadline of the run that it works for."""

    def stream(self, request: Any) -> Any:
        left = seconds_left()
        if left is None:
            return super().stream(request)
        bounds = {
            name: min(left, getattr(request, name) or default)
            for name, default in (
                ("connect_timeout", self._connect_timeout),
                ("read_timeout", self._read_timeout),
                ("write_timeout", self._write_timeout),
            )
        }
        return super().stream(replace(request, **bounds))


class Route:
    """Where requests of one model go: provider, name on the wire, address and key. Shared by the engines of both kinds."""

    def __init__(self, model: str, base: str | None, key: str | None, timeout_s: float) -> None:
        self.model = model
        self._timeout_s = timeout_s
        probe = LM15Engine(RouterConfig(env={}))
        resolution = probe.resolve(model)
        probe.close()
        self.provider = resolution.provider
        self._wire_model = resolution.model
        self._keys = None if key is None else {self.provider: key}
        self._bases = None if base is None else {self.provider: base}

    def config(self, transport: Any) -> RouterConfig:
        """What a router needs to reach the provider, over that transport, and nothing of the environment."""
        return RouterConfig(api_keys=self._keys, base_urls=self._bases, transport=transport, env=None if self._keys is None else {})

    def timeouts(self) -> dict[str, Any]:
        """The arguments of a transport."""
        seconds = self._timeout_s
        return {
            "connect_timeout": min(CONNECT_SECONDS, seconds),
            "read_timeout": seconds,
            "write_timeout": seconds,
            "pool_timeout": seconds,
            "max_connections": MAX_CONNECTIONS,
        }

    def addressed(self, request: Request) -> Request:
        """The request as it goes over the wire."""
        return replace(request, model=self._wire_model)

    @property
    def target(self) -> str:
        """What a router is asked for."""
        return f"{self.provider}:{self._wire_model}"


class Engine:
    """``complete`` from any thread; connections are kept and shared."""

    def __init__(self, route: Route, hints: Any) -> None:
        self._route = route
        self._transport = _Transport(**route.timeouts())
        self._router = LM15Engine(route.config(self._transport)).router
        self._provider = self._router.lm(route.target)
        self.supports_function_calling = hints.function_calling
        self.supports_reasoning = hints.reasoning
        self.supports_response_schema = hints.response_schema
        self.supported_params = hints.params

    def complete(self, request: Request) -> Response:
        """One attempt. Raises an error of DSPy's client."""
        try:
            return self._provider.complete(self._route.addressed(request))
        except LM15Error as error:
            leave_if_late(error, error.retry_after)
            raise

    def close(self) -> None:
        """Closes the connections that no call is using."""
        self._transport.close()


class AsyncEngine:
    """``complete`` on any event loop; each loop has connections of its own, which it closes when it ends."""

    def __init__(self, route: Route) -> None:
        self._route = route
        self._lock = threading.Lock()
        self._providers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[Any, Any]] = weakref.WeakKeyDictionary()

    async def complete(self, request: Request) -> Response:
        """One attempt. Raises an error of DSPy's client; being cancelled closes the connection."""
        provider, _ = self._provider(asyncio.get_running_loop())
        return await provider.complete(self._route.addressed(request))

    def _provider(self, loop: asyncio.AbstractEventLoop) -> tuple[Any, Any]:
        found = self._providers.get(loop)
        if found is None:
            with self._lock:
                found = self._providers.get(loop)
                if found is None:
                    transport = StdlibAsyncTransport(**self._route.timeouts())
                    router = AsyncLM15Engine(self._route.config(transport)).router
                    found = self._providers[loop] = (router.lm(self._route.target), transport)
        return found

    def close(self) -> None:
        """Closes the connections that no call is using, from any thread."""
        with self._lock:
            found = list(self._providers.items())
            self._providers.clear()
        for loop, (_, transport) in found:
            if loop.is_running():
                asyncio.run_coroutine_threadsafe(transport.aclose(), loop)
