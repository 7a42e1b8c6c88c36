"""The description of a program: what is taken, what is refused and where, and that equal ones have equal fingerprints."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from dspex_erl.errors import BadRequest, BadSignature, RequestError, UnknownModule
from dspex_erl.programs import modules
from dspex_erl.programs.modules import register_module
from dspex_erl.programs.spec import MAX_DEMOS, MAX_INSTRUCTIONS, parse_spec

FULL: dict[str, Any] = {
    "signature": "question, context: list[str] -> answer, score: float",
    "instructions": "Be brief.",
    "module": "refine",
    "module_args": {"n": 2, "threshold": 0.5},
    "config": {"temperature": 0.5, "stop": ["x"]},
    "demos": [{"question": "Why?", "context": [], "answer": "So.", "score": 1.0}, {"question": "How?", "reasoning": "Well."}],
}


def test_a_text_is_a_signature() -> None:
    spec = parse_spec("question -> answer")
    assert (spec.module, spec.module_args, spec.config, spec.demos) == ("predict", {}, {}, ())
    assert spec == parse_spec({"signature": "question -> answer"})


def test_everything() -> None:
    spec = parse_spec(FULL)
    assert spec.signature is not None
    assert spec.signature.instructions == "Be brief."
    assert spec.kind.name == "refine"
    assert spec.module_args == {"module": "predict", "n": 2, "threshold": 0.5, "reward": "complete"}
    assert [demo["question"] for demo in spec.demos] == ["Why?", "How?"]


@pytest.mark.parametrize(
    "given", ["q -> a", FULL, {"inputs": [{"name": "q"}], "outputs": [{"name": "a", "type": "int", "desc": "d"}]}]
)
def test_there_and_back(given: Any) -> None:
    spec = parse_spec(given)
    plain = spec.to_plain()
    again = parse_spec(json.loads(json.dumps(plain)))
    assert again == spec
    assert again.fingerprint() == spec.fingerprint()


class TestFingerprint:
    def test_in_other_words(self) -> None:
        reordered = dict(reversed(FULL.items()))
        reordered["signature"] = "question:str,context : list[ str ]->answer, score: float"
        reordered["module_args"] = {"threshold": 0.5, "n": 2, "reward": "complete"}
        assert parse_spec(reordered).fingerprint() == parse_spec(FULL).fingerprint()

    @pytest.mark.parametrize(
        "change",
        [
            {"signature": "question, context: list[str] -> score: float, answer"},
            {"signature": "question, context: list[str] -> answer, score: int", "demos": []},
            {"instructions": "Be long."},
            {"module": "best_of_n"},
            {"module_args": {"n": 3, "threshold": 0.5}},
            {"config": {"temperature": 0.6, "stop": ["x"]}},
            {"config": {}},
            {"demos": list(reversed(FULL["demos"]))},
        ],
    )
    def test_what_makes_a_difference(self, change: dict[str, Any]) -> None:
        assert parse_spec({**FULL, **change}).fingerprint() != parse_spec(FULL).fingerprint()

    def test_the_same_in_another_process(self) -> None:
        code = "import json, sys; from dspex_erl.programs.spec import parse_spec; print(parse_spec(json.load(sys.stdin)).fingerprint())"
        made = subprocess.run(
            [sys.executable, "-c", code], input=json.dumps(FULL), capture_output=True, text=True, timeout=60, check=True
        )
        assert made.stdout.strip() == parse_spec(FULL).fingerprint()
        assert len(made.stdout.strip()) == 32

    def test_bytes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(modules, "_registered", {})
        register_module("mine", "my_app:Mine")
        made = [parse_spec({"module": "mine", "module_args": {"seed": seed}}).fingerprint() for seed in (b"\xff", b"\xfe", "ff")]
        assert len(set(made)) == 3


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        (None, BadRequest, "got NoneType, at the program's description"),
        (7, BadRequest, "got int, at the program's description"),
        ([], BadRequest, "got list, at the program's description"),
        ({}, BadSignature, "got none, at signature"),
        ({"signature": "q -> a", "colour": 1}, BadRequest, "got 'colour', at the program's description"),
        ({"signature": "q -> a", 7: 1}, BadRequest, "got '7', at the program's description"),
        ({"signature": "q -> a", "tools": [1]}, BadRequest, "at tools"),
        ({"signature": "q -> a", "module": "nothing"}, UnknownModule, "at module"),
        ({"signature": "q -> a", "module": ["predict"]}, UnknownModule, "at module"),
        ({"signature": "q -> a", "module_args": {"n": 1}}, BadRequest, "at module_args"),
        ({"signature": "q -> a", "config": {"temp": 1}}, BadRequest, "at config"),
        ({"signature": "q -> a", "instructions": 7}, BadRequest, "got int, at instructions"),
        ({"signature": "q -> a", "instructions": "x" * (MAX_INSTRUCTIONS + 1)}, BadRequest, "got 100001, at instructions"),
        ({"signature": "q -> a", "demos": {}}, BadRequest, "got dict, at demos"),
        ({"signature": "q -> a", "demos": [{"q": "x"}] * (MAX_DEMOS + 1)}, BadRequest, "at demos"),
        ({"signature": "q -> a", "demos": [{"q": "x"}, {}]}, BadRequest, "at demos[1]"),
        ({"signature": "q -> a", "demos": ["q"]}, BadRequest, "got 1, at demos[0]"),
        ({"signature": "q -> a", "demos": [{"other": "x"}]}, RequestError, "demos[0]"),
        ({"signature": "q -> a: int", "demos": [{"a": "many"}]}, RequestError, "demos[0]"),
        ({"signature": "q -> a", "demos": [{7: "x"}]}, RequestError, "demos[0]"),
        ({"signature": "question, trajectory -> a", "module": "react"}, BadSignature, "got 'trajectory', at signature"),
        ("question", BadSignature, ""),
    ],
)
def test_refused(given: Any, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind) as caught:
        parse_spec(given)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 400


def test_as_many_as_there_may_be() -> None:
    given = {"signature": "q -> a", "instructions": "x" * MAX_INSTRUCTIONS, "demos": [{"q": "x"}] * MAX_DEMOS}
    assert len(parse_spec(given).demos) == MAX_DEMOS


def test_a_class_of_the_users_needs_no_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modules, "_registered", {})
    register_module("mine", "my_app:Mine")
    spec = parse_spec({"module": "mine", "module_args": {"depth": 2}, "demos": [{"anything": 1}]})
    assert spec.signature is None
    assert parse_spec(spec.to_plain()) == spec
    assert parse_spec({"module": "mine", "signature": "q -> a"}).signature is not None
    for demo in ({7: 1}, {}, "x"):
        with pytest.raises(BadRequest, match=r"at demos\[0\]"):
            parse_spec({"module": "mine", "demos": [demo]})
    with pytest.raises(BadRequest, match="plain terms"):
        parse_spec({"module": "mine", "module_args": {"depth": object()}})
