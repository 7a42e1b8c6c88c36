"""How each kind of program is made of DSPy's modules. Imported when the first program is built, for it imports DSPy.

A builder takes a DSPy signature and the checked arguments of its kind, and returns a ``dspy.Module`` that holds no language model.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import dspy

from dspex_erl.errors import BadRequest
from dspex_erl.programs.modules import ModuleKind, find_module, load_path, reward_path

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["build_module"]


def build_module(kind: ModuleKind, signature: Any, arguments: dict[str, Any]) -> dspy.Module:
    """A module of that kind. Raises :class:`ImportFailed`, or :class:`BadRequest` if a user's class does not take its arguments."""
    if kind.path is not None:
        return _custom(kind, signature, arguments)
    return _BUILDERS[kind.builder](signature, **arguments)


def _predict(signature: Any) -> dspy.Module:
    return dspy.Predict(signature)


def _chain_of_thought(signature: Any) -> dspy.Module:
    return dspy.ChainOfThought(signature)


def _react(signature: Any, max_iters: int) -> dspy.Module:
    return dspy.ReAct(signature, tools=[], max_iters=max_iters)


def _react_v2(signature: Any, max_iters: int) -> dspy.Module:
    return dspy.ReActV2(signature, tools=[], max_iters=max_iters)


def _program_of_thought(signature: Any, max_iters: int) -> dspy.Module:
    return dspy.ProgramOfThought(signature, max_iters=max_iters)


def _rlm(signature: Any, max_iters: int, max_llm_calls: int) -> dspy.Module:
    return dspy.RLM(signature, max_iters=max_iters, max_llm_calls=max_llm_calls)


def _best_of_n(signature: Any, module: str, n: int, threshold: float, reward: str) -> dspy.Module:
    return dspy.BestOfN(_inner(module, signature), N=n, reward_fn=_reward(reward), threshold=threshold)


def _refine(signature: Any, module: str, n: int, threshold: float, reward: str) -> dspy.Module:
    return dspy.Refine(_inner(module, signature), N=n, reward_fn=_reward(reward), threshold=threshold)


class ChainComparison(dspy.Module):  # type: ignore[misc]
    """Thinks ``m`` times and compares: what ``dspy.MultiChainComparison`` does with attempts that its caller must bring."""

    def __init__(self, signature: Any, m: int) -> None:
        super().__init__()
        self.chain = dspy.ChainOfThought(signature)
        self.compare = dspy.MultiChainComparison(signature, M=m)

    def forward(self, **inputs: Any) -> Any:
        """One prediction out of the attempts for ``inputs``, each at its own place in the cache."""
        attempts = [
            self.chain(**inputs, config={"temperature": 0.7, "rollout_id": attempt}) for attempt in range(1, self.compare.M + 1)
        ]
        return self.compare(attempts, **inputs)


def _multi_chain_comparison(signature: Any, m: int) -> dspy.Module:
    return ChainComparison(signature, m)


def _inner(name: str, signature: Any) -> dspy.Module:
    kind = find_module(name)
    return build_module(kind, signature, {key: argument.default for key, argument in kind.arguments.items()})


def _reward(name: str) -> Any:
    path = reward_path(name)
    return _complete if path is None else load_path(path)


def _complete(inputs: dict[str, Any], prediction: Any) -> float:
    """The share of a prediction's fields that are not empty."""
    values = list(prediction.values())
    return sum(value not in (None, "", [], {}) for value in values) / len(values) if values else 0.0


def _custom(kind: ModuleKind, signature: Any, arguments: dict[str, Any]) -> dspy.Module:
    factory = load_path(kind.path or "")
    if not (inspect.isclass(factory) and issubclass(factory, dspy.Module)):
        raise BadRequest(f"expected {kind.path!r} to be a class of dspy.Module, got {type(factory).__name__}")
    # Of the class itself it would be the signature of DSPy's metaclass, which takes anything.
    takes = inspect.signature(factory.__init__)
    if signature is not None and "signature" in takes.parameters:
        arguments = {**arguments, "signature": signature}
    try:
        takes.bind(None, **arguments)
    except TypeError as error:
        raise BadRequest(f"expected the arguments of {kind.path!r}, but {error}, at module_args") from None
    return factory(**arguments)


_BUILDERS: dict[str, Callable[..., dspy.Module]] = {
    "predict": _predict,
    "chain_of_thought": _chain_of_thought,
    "react": _react,
    "react_v2": _react_v2,
    "best_of_n": _best_of_n,
    "refine": _refine,
    "multi_chain_comparison": _multi_chain_comparison,
    "program_of_thought": _program_of_thought,
    "rlm": _rlm,
}
