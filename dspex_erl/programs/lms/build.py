"""From a description to a model that answers. Imports DSPy, so it is itself imported when the first model is needed."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import dspy

from dspex_erl.errors import BadRequest, LMAuth, LMUnavailable
from dspex_erl.programs.lms.calls import Remember

if TYPE_CHECKING:
    from collections.abc import Callable

    from dspex_erl.programs.lms.spec import LMSpec

__all__ = ["Model", "build_model"]

_CONFIGURED = 64
"""How many variants of a model (with other temperatures, say) are kept ready."""


@dataclass
class Model:
    """A model of one session. ``lm`` is DSPy's handle; ``secrets`` are the texts that no error may show.

    ``adapter`` is the name of the adapter that suits it unless the session chose another.
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
    """The model of a description.

    Raises :class:`LMAuth` for a key that is not there, :class:`BadRequest` for a model that nobody serves or that does not take
    what is asked of it, and :class:`LMUnavailable` for one that needs something to be installed.
    """
    if spec.model == "echo":
        from dspex_erl.programs.lms.offline import Echo

        return _offline(spec, Echo())
    if spec.model == "scripted":
        from dspex_erl.programs.lms.offline import Scripted

        return _offline(spec, Scripted(spec.answers))
    if spec.model == "local":
        from dspex_erl.programs.lms.local import local_engines

        return Model(_lm(spec, "local/smollm2", *local_engines()), adapter="completion")
    return _remote(spec, _key(spec))


def _offline(spec: LMSpec, engine: Any) -> Model:
    from dspex_erl.programs.lms.offline import AsyncOffline

    return Model(_lm(spec, f"dspex/{spec.model}", engine, AsyncOffline(engine)), callbacks=(Remember(),))


@functools.lru_cache(maxsize=256)
def _hints(model: str) -> Any:
    """What DSPy knows a model to be capable of. It looks through some 3000 entries for it, which takes 2 ms."""
    from dspy.clients.capabilities import capabilities

    return capabilities(dspy.LM(model, engine="lm15"))


def _remote(spec: LMSpec, key: str | None) -> Model:
    from dspy.lm15 import LM15Error, UnknownModelError, UnsupportedFeatureError

    from dspex_erl.programs.lms.engine import AsyncEngine, Engine, Route

    secrets: tuple[str, ...] = () if key is None else (key,)
    try:
        route = Route(spec.model, spec.api_base, key, spec.timeout_s)
        secrets = route.secrets
        engine = Engine(route, _hints(spec.model))
        asynchronous = AsyncEngine(route)
    except (UnknownModelError, UnsupportedFeatureError):
        return _through_litellm(spec, key)
    except (LM15Error, dspy.LMError, ValueError) as error:
        raise _unbuildable(spec, error, secrets) from None
    lm = _lm(spec, spec.model, engine, asynchronous)
    return Model(lm, secrets=secrets, closers=(engine.close, asynchronous.close))


def _through_litellm(spec: LMSpec, key: str | None) -> Model:
    """A model that only LiteLLM can reach: 3 s and 130 MB the first time, 10 times the work for each call, and no deadline on a thread."""
    try:
        from dspy.clients.lm import _get_litellm

        litellm = _get_litellm()
    except ImportError:
        raise LMUnavailable(
            f"expected LiteLLM to be installed for {spec.model[:64]!r} (pip install litellm), got no such module"
        ) from None
    try:
        litellm.get_llm_provider(spec.model)
    except Exception:
        raise BadRequest(f"expected a model that somebody is known to serve, got {spec.model[:64]!r}, at lm.model") from None
    given = {"api_key": key, "api_base": spec.api_base, "timeout": spec.timeout_s}
    options = {name: value for name, value in given.items() if value is not None}
    return Model(_lm(spec, spec.model, "litellm", None, **options), secrets=() if key is None else (key,))


def _lm(spec: LMSpec, name: str, engine: Any, asynchronous: Any, **options: Any) -> Any:
    made = {**spec.config, **options}
    try:
        return dspy.LM(name, cache=spec.cache, num_retries=spec.num_retries, engine=engine, async_engine=asynchronous, **made)
    except dspy.LMConfigurationError as error:
        raise BadRequest(f"expected settings that {spec.model[:64]!r} takes, got others: {error.message[:150]}") from None


def _key(spec: LMSpec) -> str | None:
    if spec.api_key is not None:
        return spec.api_key.reveal()
    if spec.api_key_env is None:
        return None
    key = os.environ.get(spec.api_key_env, "").strip()
    if not key or not key.isascii() or not key.isprintable():
        got = "something else" if key else "none"
        raise LMAuth(f"expected a key in the environment variable {spec.api_key_env[:64]!r}, got {got}")
    return key


def _unbuildable(spec: LMSpec, error: Exception, secrets: tuple[str, ...]) -> Exception:
    from dspy.clients.errors import wrap_error

    from dspex_erl.programs.lms.faults import as_error, scrubbed

    made = as_error(wrap_error(error, model=spec.model), secrets)
    if isinstance(made, LMAuth):
        return made
    return BadRequest(f"expected a model that DSPy's client can reach, got {spec.model[:64]!r}: {scrubbed(str(error), secrets)}")
