"""Payloads for a checkout that lacks the shared ones: other values, but the same shapes, sizes and kinds of text."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from dspex_erl.terms import Atom

_WORDS = ["prompt", "naïve", "predict", "данные", "東京", "évaluation", "😀", "of", "metric", "chain", "retrieval", "answer", "the"]
_random = random.Random(20)


def _text(words: int) -> str:
    return " ".join(_random.choices(_WORDS, k=words)) + " "


def _call() -> Any:
    inputs = {"context": "Paris is the capital and most populous city of France.", "question": "What is the capital of France?"}
    options = {
        Atom("inputs"): inputs,
        Atom("max_tokens"): 256,
        Atom("model"): "openai/gpt-4o-mini",
        Atom("seed"): Atom("undefined"),
        Atom("signature"): "question, context -> answer: str",
        Atom("stream"): False,
        Atom("temperature"): 0.7,
    }
    return (Atom("C"), 42, Atom("dspex_worker"), Atom("predict"), ["sess-0f9c1c1a-5d2b-4a2f-9a41-8f0f0a8b2c11", options])


def _example(number: int) -> dict[str, str]:
    lengths = {"answer": 8, "context": 55, "question": 12, "rationale": 20, "source": 4}
    return {"id": f"ex-{number:08}", **{field: _text(length) for field, length in lengths.items()}}


def _leaf() -> dict[Atom, Any]:
    tags = [Atom("a"), Atom("b"), "c"]
    return {Atom("n"): _random.randrange(100_000), Atom("name"): _text(2), Atom("tags"): tags, Atom("value"): _random.random()}


def _tree(depth: int) -> dict[Atom, Any]:
    if not depth:
        return _leaf()
    branches = {Atom(f"c{number}"): _tree(depth - 1) for number in range(1, 5)}
    return {**branches, Atom("depth"): depth, Atom("name"): _text(2), Atom("ok"): True, Atom("weight"): _random.random()}


def _option() -> Any:
    name = Atom(f"option_name_{_random.randrange(200)}")
    other = Atom(f"option_name_{_random.randrange(200)}")
    return _random.choice([(name, other), (name, True), (name, _random.randrange(1000)), (name, [other, False, name])])


MAKERS: dict[str, Callable[[], Any]] = {
    "call": _call,
    "dspy_examples": lambda: [_example(number) for number in range(1000)],
    "nested_map": lambda: _tree(6),
    "proplist": lambda: [_option() for _ in range(1800)],
    "ints_100k": lambda: [_random.randrange(50_000) for _ in range(100_000)],
    "smallints_100k": lambda: [_random.randrange(256) for _ in range(100_000)],
    "floats_130x768": lambda: [[_random.gauss(0, 0.04) for _ in range(768)] for _ in range(130)],
    "bigints": lambda: [_random.choice((-1, 1)) * _random.getrandbits(_random.randrange(64, 2400)) for _ in range(1000)],
}
