"""From a description to a model that answers. Imports DSPy, so it is itself imported when the first model is needed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import dspy

from dspex_erl.errors import BadRequest, LMAuth
from dspex_erl.programs.lms.calls import Remember
from dspex_erl.programs.lms.spec import LMSpec

__all__ = ["Model", "build_model"]

_CONFIGURED = 64
"""How many variants of a model (with other temperatures, say) are kept ready."""


@dataclass
class Model:
    """A model of one session. ``lm`` is DSPy's handle; ``secrets`` are the texts that no error may show.

    ``adapter`` is the name of the adapter that suits it unless the session chose another; ``identity`` tells its answers
    in a cache from those of another address or key.
    """

    lm: Any
    adapter: str = "chat"
    secrets: tuple[str, ...] = field(default=(), repr=False)
    callbacks: tuple[Any, ...] = ()
    closers: tuple[Callable[[], None], ...] = ()
    _variants: dict[tuple[tuple[str, Any], ...], Any] = field(default_factory=dict, repr=False)

    def configured(self, config: dict[str, Any]) -> Any:
        """The handle with other settings than its own; itself if there are none."""
        if not config:
            return self.lm
        key = tuple((name, tuple(value) if isinstance(value, list) else value) for name, value in sorted(config.items()))
        variant = self._variants.get(key)
        if variant is None:
            variant = self.lm.copy(**config)
            if len(self._variants) < _CONFIGURED:
                self._variants[key] = variant
        return variant

    def close(self) -> None:
        """Lets go of connections. A call that has begun comes to its end."""
        for close in self.closers:
            close()


def build_model(spec: LMSpec) -> Model:
    """The model of a description. Raises :class:`LMAuth` for a key that is not there, :class:`BadRequest` for a model nobody serves."""
    if spec.model == "echo":
        from dspex_erl.programs.lms.offline import Echo

        return _offline(spec, Echo())
    if spec.model == "scripted":
        from dspex_erl.programs.lms.offline import Scripted

        return _offline(spec, Scripted(spec.answers))
    if spec.model == "local":
        from dspex_erl.programs.lms.local import local_engines

        engine, asynchronous = local_engines()
        lm = _lm(spec, "local/smollm2", engine, asynchronous)
        return Model(lm, adapter="completion", callbacks=(Remember(),))
    return _remote(spec)


def _offline(spec: LMSpec, engine: Any) -> Model:
    from dspex_erl.programs.lms.offline import AsyncOffline

    return Model(_lm(spec, f"dspex/{spec.model}", engine, AsyncOffline(engine)), callbacks=(Remember(),))


def _remote(spec: LMSpec) -> Model:
    from dspy.clients.capabilities import capabilities
    from dspy.lm15 import LM15Error

    from dspex_erl.programs.lms.engine import AsyncEngine, Engine, Route

    key = _key(spec)
    try:
        route = Route(spec.model, spec.api_base, key, spec.timeout_s)
        hints = capabilities(dspy.LM(spec.model, engine="lm15"))
        engine = Engine(route, hints)
    except (LM15Error, dspy.LMError, ValueError) as error:
        raise _unbuildable(spec, error, key) from None
    asynchronous = AsyncEngine(route)
    secrets = (key,) if key else ()
    return Model(_lm(spec, spec.model, engine, asynchronous), secrets=secrets, closers=(engine.close, asynchronous.close))


def _lm(spec: LMSpec, name: str, engine: Any, asynchronous: Any) -> Any:
    return dspy.LM(name, cache=spec.cache, num_retries=spec.num_retries, engine=engine, async_engine=asynchronous, **spec.config)


def _key(spec: LMSpec) -> str | None:
    if spec.api_key is not None:
        return spec.api_key.reveal()
    if spec.api_key_env is None:
        return None
    key = os.environ.get(spec.api_key_env)
    if not key:
        raise LMAuth(f"expected a key in the environment variable {spec.api_key_env[:64]}, got none")
    return key


def _unbuildable(spec: LMSpec, error: Exception, key: str | None) -> Exception:
    from dspex_erl.programs.lms.faults import as_error, scrubbed

    made = as_error(error, (key,) if key else ())
    if isinstance(made, LMAuth):
        return made
    return BadRequest(
        f"expected a model that DSPy's client can reach, got {spec.model[:64]!r}: {scrubbed(str(error), (key,) if key else ())}"
    )
