"""Classes and rewards as users write them, good ones and others. Tests register them by their paths."""

from __future__ import annotations

import sys
from typing import Any

import dspy

from dspex_erl.errors import BadInput


class Shout(dspy.Module):  # type: ignore[misc]
    """Asks once, on a thread, and says it louder."""

    def __init__(self, signature: Any, mark: str = "!") -> None:
        super().__init__()
        self.predict = dspy.Predict(signature)
        self.mark = mark

    def forward(self, **inputs: Any) -> Any:
        return dspy.Prediction(answer=self.predict(**inputs).answer.upper() + self.mark)


class AsyncShout(Shout):
    """The same on an event loop."""

    async def aforward(self, **inputs: Any) -> Any:
        return dspy.Prediction(answer=(await self.predict.acall(**inputs)).answer.upper() + self.mark)


class OwnSignature(dspy.Module):  # type: ignore[misc]
    """Needs no signature: whatever comes in goes out."""

    def forward(self, **inputs: Any) -> Any:
        return dspy.Prediction(**inputs)


class Thrice(dspy.Module):  # type: ignore[misc]
    """Asks three times, one after the other."""

    def __init__(self, signature: Any) -> None:
        super().__init__()
        self.predict = dspy.Predict(signature)

    def forward(self, **inputs: Any) -> Any:
        answers = [self.predict(**inputs, config={"rollout_id": turn, "temperature": 1.0}).answer for turn in range(1, 4)]
        return dspy.Prediction(answer=" ".join(answers))


class Mute(Exception):
    """Cannot be said."""

    def __str__(self) -> str:
        raise RuntimeError("not even this")

    __repr__ = __str__


class Failing(dspy.Module):  # type: ignore[misc]
    """Fails as it is told to by ``how``."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def forward(self, **inputs: Any) -> Any:
        if self.how == "sys.exit":
            sys.exit(3)
        if self.how == "nothing":
            return None
        if self.how == "no prediction":
            return 7
        raise FAILURES[self.how]

    async def aforward(self, **inputs: Any) -> Any:
        return self.forward(**inputs)


class NotBuildable(dspy.Module):  # type: ignore[misc]
    """Fails when it is made."""

    def __init__(self) -> None:
        raise ValueError("cannot be made")


FAILURES: dict[str, BaseException] = {
    "ValueError": ValueError("a value is wrong"),
    "KeyboardInterrupt": KeyboardInterrupt(),
    "GeneratorExit": GeneratorExit(),
    "Mute": Mute(),
    "RecursionError": RecursionError("too deep"),
    "MemoryError": MemoryError(),
    "ours": BadInput("expected another input"),
}


def shortest(inputs: dict[str, Any], prediction: Any) -> float:
    """A reward: the shorter the answer the better, as long as it repeats no input."""
    return -float(len(prediction.answer)) if prediction.answer not in inputs.values() else -1e6


def broken(inputs: dict[str, Any], prediction: Any) -> float:
    """A reward that fails."""
    raise ValueError("no reward")


not_a_module = "a text"
