"""Our engine over DSPy's own HTTP client: one attempt at one request, on a thread or on an event loop.

DSPy's default engine looks up prices and routes for each call and hops threads when it is asynchronous; this one routes once, when
the model is built, and sends. Key and address are given explicitly and never guessed. As many connections as there are calls may be open.

An engine that was closed answers all the same: a run of several requests that has begun keeps its model, though its session
has another one now. From then on a connection lasts as long as its call.
"""

from __future__ import annotations

import asyncio
import os
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dspy._vendor.lm15.registry import lookup
from dspy._vendor.lm15.transports import StdlibAsyncTransport, StdlibTransport
from dspy.clients.engines.lm15_engine import AsyncLM15Engine, LM15Engine
from dspy.lm15 import Request, Response, RouterConfig

from dspex_erl.programs.lms.deadline import seconds_left
from dspex_erl.programs.lms.faults import leave_if_no_time, scrub

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MAX_CONNECTIONS", "AsyncEngine", "Engine", "Route"]

MAX_CONNECTIONS = 100_000
"""More than a process has descriptors: what limits the calls in flight is the caller."""

CONNECT_SECONDS = 10.0

NO_KEY = "none"
"""What a server is told that was named without a key. It is not told the key of another one, which the environment may have."""

_WAITS = ("connect_timeout", "read_timeout", "write_timeout")


class Route:
    """Where requests of one model go: provider, name on the wire, address and key. Shared by the engines of both kinds.

    ``secrets`` are the texts that no error may show. Raises an error of DSPy's client for a model that it cannot reach.
    """

    def __init__(self, model: str, base: str | None, key: str | None, timeout_s: float) -> None:
        self.model = model
        probe = LM15Engine(RouterConfig(env={}))
        resolution = probe.resolve(model)
        probe.close()
        self.provider = resolution.provider
        self._wire_model = resolution.model
        self._target = f"{self.provider}:{self._wire_model}"
        self._bases = None if base is None else {self.provider: base}
        self.secrets = (key,) if key is not None else _usual_keys(self.provider) if base is None else ()
        if key is None and base is not None:
            key = resolution.placeholder_key or NO_KEY
        self._keys = None if key is None else {self.provider: key}
        self.waits = {
            "connect_timeout": min(CONNECT_SECONDS, timeout_s),
            "read_timeout": timeout_s,
            "write_timeout": timeout_s,
            "pool_timeout": timeout_s,
        }

    def provider_over(self, transport: Any, engine: Any) -> Any:
        """The provider's client over ``transport``. Nothing of the environment is used if a key or an address was given."""
        config = RouterConfig(
            api_keys=self._keys, base_urls=self._bases, transport=transport, env=None if self._keys is None else {}
        )
        return engine(config).router.lm(self._target)

    def addressed(self, request: Request) -> Request:
        """The request as it goes over the wire."""
        return replace(request, model=self._wire_model)


def _usual_keys(provider: str) -> tuple[str, ...]:
    """The keys that the client may find in the environment for ``provider``."""
    definition = lookup(provider)
    names = () if definition is None else definition.access.env_keys
    return tuple(os.environ[name] for name in names if os.environ.get(name))


class _Transport(StdlibTransport):  # type: ignore[misc]
    """Waits for no byte beyond the deadline of the run that it works for."""

    def __init__(self, waits: dict[str, float]) -> None:
        super().__init__(**waits, max_connections=MAX_CONNECTIONS, trust_env=_behind_proxy())
        self._waits = waits

    def stream(self, request: Any) -> Any:
        response = super().stream(_bounded(request, self._waits))
        response._chunks = _in_time(response._chunks)
        return response


class _AsyncTransport(StdlibAsyncTransport):  # type: ignore[misc]
    def __init__(self, waits: dict[str, float]) -> None:
        super().__init__(**waits, max_connections=MAX_CONNECTIONS, trust_env=_behind_proxy())
        self._waits = waits

    def stream(self, request: Any) -> Any:
        return super().stream(_bounded(request, self._waits))


def _behind_proxy() -> bool:
    """Whether the environment names a proxy. The transport would look through all of it for each request."""
    return any(name.lower().endswith("_proxy") and value for name, value in os.environ.items())


def _bounded(request: Any, waits: dict[str, float]) -> Any:
    left = seconds_left()
    if left is None:
        return request
    return replace(request, **{name: min(left, getattr(request, name) or waits[name]) for name in _WAITS})


def _in_time(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """``chunks``, until it is too late: each may have come just in time."""
    for chunk in chunks:
        seconds_left()
        yield chunk


class _Pool:
    """Connections, the provider's client over them, and how many calls use them now."""

    def __init__(self, transport: Any, provider: Any) -> None:
        self.transport = transport
        self.provider = provider
        self.calls = 0
        self.closing: Any = None


class Engine:
    """``complete`` from any thread; connections are kept and shared."""

    def __init__(self, route: Route, hints: Any) -> None:
        self._route = route
        self._lock = threading.Lock()
        self._closed = False
        self._shared = self._pool()
        self.supports_function_calling = hints.function_calling
        self.supports_reasoning = hints.reasoning
        self.supports_response_schema = hints.response_schema
        self.supported_params = hints.params

    def complete(self, request: Request) -> Response:
        """One attempt. Raises an error of DSPy's client, which shows no secret."""
        with self._lock:
            pool = self._pool() if self._closed else self._shared
            pool.calls += 1
        try:
            return pool.provider.complete(self._route.addressed(request))
        except Exception as error:
            scrub(error, self._route.secrets)
            leave_if_no_time(request, error)
            raise
        finally:
            with self._lock:
                pool.calls -= 1
                over = self._closed and not pool.calls
            if over:
                pool.transport.close()

    def close(self) -> None:
        """Closes the connections, each at the end of the call that uses it."""
        with self._lock:
            self._closed = True
            over = not self._shared.calls
        if over:
            self._shared.transport.close()

    def _pool(self) -> _Pool:
        transport = _Transport(self._route.waits)
        return _Pool(transport, self._route.provider_over(transport, LM15Engine))


class AsyncEngine:
    """``complete`` on any event loop; each loop has connections of its own."""

    def __init__(self, route: Route) -> None:
        self._route = route
        self._lock = threading.Lock()
        self._closed = False
        self._shared: dict[asyncio.AbstractEventLoop, _Pool] = {}

    async def complete(self, request: Request) -> Response:
        """One attempt. Raises an error of DSPy's client, which shows no secret; being cancelled closes the connection."""
        pool = self._pool(asyncio.get_running_loop())
        pool.calls += 1
        try:
            return await pool.provider.complete(self._route.addressed(request))
        except Exception as error:
            scrub(error, self._route.secrets)
            leave_if_no_time(request, error)
            raise
        finally:
            pool.calls -= 1
            if self._closed and not pool.calls:
                await pool.transport.aclose()

    def close(self) -> None:
        """Closes the connections, each at the end of the call that uses it. From any thread."""
        with self._lock:
            self._closed = True
            shared = list(self._shared.items())
            self._shared.clear()
        for loop, pool in shared:
            try:
                loop.call_soon_threadsafe(_close, loop, pool)
            except RuntimeError:
                # The loop is closed. Its connections are closed when the pool is collected, which is now.
                pass

    def _pool(self, loop: asyncio.AbstractEventLoop) -> _Pool:
        pool = self._shared.get(loop)
        if pool is None:
            transport = _AsyncTransport(self._route.waits)
            pool = _Pool(transport, self._route.provider_over(transport, AsyncLM15Engine))
            with self._lock:
                for other in [other for other in self._shared if other.is_closed()]:
                    del self._shared[other]
                if not self._closed:
                    self._shared[loop] = pool
        return pool


def _close(loop: asyncio.AbstractEventLoop, pool: _Pool) -> None:
    if not pool.calls:
        pool.closing = loop.create_task(pool.transport.aclose())
