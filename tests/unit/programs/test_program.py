"""A description becomes a module, once; what cannot be built says so."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from dspex_erl.errors import BadRequest, ImportFailed, SnapshotInvalid
from dspex_erl.programs import modules
from dspex_erl.programs.modules import register_module, register_reward
from dspex_erl.programs.program import build, built, state_of
from dspex_erl.programs.spec import parse_spec
from dspex_erl.sessions import Program

HERE = "tests.unit.programs.user_programs"


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modules, "_registered", {})
    monkeypatch.setattr(modules, "_rewards", {})


def described(module: str, **more: Any) -> Any:
    return parse_spec({"signature": "question -> answer", "module": module, **more})


def program(spec: Any, state: Any = None) -> Program:
    return Program("p", spec, spec.fingerprint(), 0.0, state=state)


class TestKinds:
    @pytest.mark.parametrize(
        ("module", "kind"),
        [
            ("predict", "Predict"),
            ("chain_of_thought", "ChainOfThought"),
            ("react", "ReAct"),
            ("react_v2", "ReActV2"),
            ("best_of_n", "BestOfN"),
            ("refine", "Refine"),
            ("multi_chain_comparison", "ChainComparison"),
        ],
    )
    def test_built_in(self, module: str, kind: str) -> None:
        ready = build(described(module))
        assert type(ready.module).__name__ == kind
        assert all(predictor.lm is None for _, predictor in ready.module.named_predictors())

    def test_arguments_arrive(self) -> None:
        assert build(described("react", module_args={"max_iters": 7})).module.max_iters == 7
        attempts = build(described("best_of_n", module_args={"n": 4, "threshold": 0.5, "module": "chain_of_thought"})).module
        assert (attempts.N, attempts.threshold, type(attempts.module).__name__) == (4, 0.5, "ChainOfThought")

    @pytest.mark.parametrize("module", ["program_of_thought", "rlm"])
    def test_a_program_that_is_not_installed(self, monkeypatch: pytest.MonkeyPatch, module: str) -> None:
        monkeypatch.setenv("PATH", "")
        with pytest.raises(ImportFailed, match=f"'deno', which the module {module} runs"):
            build(described(module))

    @pytest.mark.parametrize(("module", "shared"), [("predict", True), ("react", True), ("best_of_n", False), ("refine", False)])
    def test_what_spends_itself_is_built_for_each_run(self, module: str, shared: bool) -> None:
        ready = build(described(module))
        assert (ready.fresh() is ready.fresh()) is shared
        if not shared:
            first = ready.fresh()
            first.fail_count = 0
            assert ready.fresh().fail_count == ready.module.fail_count == 3


class TestUsersClasses:
    def test_the_signature_and_the_arguments_arrive(self) -> None:
        register_module("shout", f"{HERE}:Shout")
        made = build(described("shout", module_args={"mark": "?!"})).module
        assert made.mark == "?!"
        assert set(made.predict.signature.output_fields) == {"answer"}

    @pytest.mark.parametrize(
        ("path", "arguments", "kind", "said"),
        [
            ("no_such_module:X", {}, ImportFailed, "no_such_module"),
            (f"{HERE}:NoSuch", {}, ImportFailed, "NoSuch"),
            (f"{HERE}:not_a_module", {}, BadRequest, "a class of dspy.Module, got str"),
            (f"{HERE}:shortest", {}, BadRequest, "a class of dspy.Module, got function"),
            ("pathlib:Path", {}, BadRequest, "a class of dspy.Module, got type"),
            (f"{HERE}:Shout", {"colour": 1}, BadRequest, "colour"),
            (f"{HERE}:Failing", {}, BadRequest, "how"),
            (f"{HERE}:NotBuildable", {}, BadRequest, "ValueError: cannot be made"),
        ],
    )
    def test_refused(self, path: str, arguments: dict[str, Any], kind: type[Exception], said: str) -> None:
        register_module("mine", path)
        with pytest.raises(kind, match=said):
            build(described("mine", module_args=arguments))

    def test_a_signature_that_it_needs_and_has_not(self) -> None:
        register_module("shout", f"{HERE}:Shout")
        with pytest.raises(BadRequest, match="signature"):
            build(parse_spec({"module": "shout"}))

    def test_a_reward_that_cannot_be_imported(self) -> None:
        register_reward("mine", "no_such_module:reward")
        with pytest.raises(ImportFailed, match="no_such_module"):
            build(described("best_of_n", module_args={"reward": "mine"}))


class TestDemos:
    def test_every_predictor_has_them(self) -> None:
        ready = build(described("chain_of_thought", demos=[{"question": "Why?", "answer": "So."}, {"question": "How?"}]))
        for _, predictor in ready.module.named_predictors():
            assert [dict(demo.items()) for demo in predictor.demos] == [{"question": "Why?", "answer": "So."}, {"question": "How?"}]
            assert set(predictor.demos[0].inputs().keys()) == {"question"}

    def test_programs_do_not_share_them(self) -> None:
        spec = described("predict", demos=[{"question": "Why?", "answer": "So."}])
        first, second = build(spec).module, build(spec).module
        first.demos.append("another")
        assert len(second.demos) == len(spec.demos) == 1

    def test_what_is_built_for_each_run_has_them_too(self) -> None:
        ready = build(described("best_of_n", demos=[{"question": "Why?", "answer": "So."}]))
        assert [len(predictor.demos) for _, predictor in ready.fresh().named_predictors()] == [1]


class TestState:
    def test_there_and_back(self) -> None:
        module = build(described("predict")).module
        module.signature = module.signature.with_instructions("Think first.")
        state = module.dump_state()
        ready = build(described("predict"), state)
        assert ready.module.signature.instructions == "Think first."
        assert state_of(program(described("predict"), state)) is state

    @pytest.mark.parametrize("state", [7, [], {}, {"demos": []}, {"signature": {}}, "state"])
    def test_what_does_not_fit(self, state: Any) -> None:
        with pytest.raises(SnapshotInvalid, match="a state that fits"):
            build(described("predict"), state)

    def test_a_model_is_not_taken_from_it(self) -> None:
        state = {**build(described("predict")).module.dump_state(), "lm": {"model": "openai/m", "api_base": "http://elsewhere"}}
        with pytest.raises(SnapshotInvalid):
            build(described("predict"), state)

    def test_another_kinds(self) -> None:
        with pytest.raises(SnapshotInvalid):
            build(described("react"), build(described("predict")).module.dump_state())


class TestOnce:
    def test_two_that_come_at_once(self) -> None:
        given = program(described("react"))
        gate = threading.Barrier(8)

        def take(_: int) -> Any:
            gate.wait(30)
            return built(given)

        with ThreadPoolExecutor(8) as threads:
            made = list(threads.map(take, range(8)))
        assert all(one is made[0] for one in made)

    def test_one_that_failed_is_tried_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        register_module("mine", "no_such_module:X")
        given = program(described("mine", module_args={"mark": "."}))
        for _ in range(2):
            with pytest.raises(ImportFailed):
                built(given)
        monkeypatch.setattr(modules, "_registered", {})
        register_module("mine", f"{HERE}:Shout")
        assert built(given) is built(given)
