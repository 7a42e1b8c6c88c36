"""The module registry: what there is, what each kind takes, and what users add."""

from __future__ import annotations

import math
from typing import Any

import pytest

from dspex_erl.errors import BadRequest, ImportFailed, UnknownModule
from dspex_erl.programs import modules
from dspex_erl.programs.modules import (
    check_arguments,
    find_module,
    load_path,
    module_names,
    register_module,
    register_reward,
    reward_path,
)

BUILT_IN = [
    "best_of_n",
    "chain_of_thought",
    "multi_chain_comparison",
    "predict",
    "program_of_thought",
    "react",
    "react_v2",
    "refine",
    "rlm",
]


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the test's own: what is registered stays for the life of the process."""
    monkeypatch.setattr(modules, "_registered", {})
    monkeypatch.setattr(modules, "_rewards", {})


def test_what_there_is() -> None:
    assert module_names() == BUILT_IN
    assert [find_module(name).name for name in BUILT_IN] == BUILT_IN


@pytest.mark.parametrize("name", ["", "Predict", "os.system", "dspy.Predict", "x" * 1000, None, 7, b"predict", ["predict"], {}])
def test_what_there_is_not(name: Any) -> None:
    with pytest.raises(UnknownModule, match=r"best_of_n, chain_of_thought, .* at module") as caught:
        find_module(name)
    assert len(str(caught.value)) < 300


class TestArguments:
    def test_defaults(self) -> None:
        assert check_arguments(find_module("predict"), None) == {}
        assert check_arguments(find_module("react"), {}) == {"max_iters": 20}
        assert check_arguments(find_module("best_of_n"), {"n": 5}) == {
            "module": "predict",
            "n": 5,
            "threshold": 1.0,
            "reward": "complete",
        }

    @pytest.mark.parametrize(
        ("name", "argument", "least", "most"),
        [
            (kind, name, argument.least, argument.most)
            for kind in BUILT_IN
            for name, argument in find_module(kind).arguments.items()
            if argument.type in ("int", "float")
        ],
    )
    def test_bounds(self, name: str, argument: str, least: float, most: float) -> None:
        kind = find_module(name)
        for value in (least, most):
            whole = int(value) if kind.arguments[argument].type == "int" else value
            assert check_arguments(kind, {argument: whole})[argument] == value
        for value in (least - 1, most + 1, math.nan, math.inf, 10**400, True, "3", None, [3]):
            with pytest.raises(BadRequest, match=rf"at module_args\.{argument}") as caught:
                check_arguments(kind, {argument: value})
            assert len(str(caught.value)) < 300

    def test_what_is_counted_is_whole(self) -> None:
        with pytest.raises(BadRequest, match=r"expected int from 1 to 100, got 2.0, at module_args\.n"):
            check_arguments(find_module("refine"), {"n": 2.0})

    @pytest.mark.parametrize("given", [7, "n", [("n", 3)], {7: 3}, {b"n": 3}])
    def test_no_map_of_texts(self, given: Any) -> None:
        with pytest.raises(BadRequest, match="at module_args"):
            check_arguments(find_module("best_of_n"), given)

    def test_unknown_ones(self) -> None:
        with pytest.raises(BadRequest, match=r"best_of_n \(module, n, threshold, reward\), got 'N', at module_args"):
            check_arguments(find_module("best_of_n"), {"N": 3})
        with pytest.raises(BadRequest, match=r"predict \(none\), got 'n', at module_args"):
            check_arguments(find_module("predict"), {"n": 3})

    def test_a_module_inside(self) -> None:
        register_module("mine", "my_app:Mine")
        assert check_arguments(find_module("refine"), {"module": "chain_of_thought"})["module"] == "chain_of_thought"
        for name in ("best_of_n", "refine", "mine"):
            with pytest.raises(BadRequest, match=r"at module_args\.module"):
                check_arguments(find_module("refine"), {"module": name})
        for unknown in ("nothing", None, 7, ["predict"]):
            with pytest.raises(UnknownModule):
                check_arguments(find_module("refine"), {"module": unknown})

    def test_a_reward(self) -> None:
        register_reward("short", "my_app:short")
        for name in ("complete", "short"):
            assert check_arguments(find_module("best_of_n"), {"reward": name})["reward"] == name
        for unknown in ("long", "my_app:short", None, 7):
            with pytest.raises(BadRequest, match=r"a reward out of complete, short, got .*, at module_args\.reward"):
                check_arguments(find_module("best_of_n"), {"reward": unknown})

    def test_a_class_of_the_users_takes_any(self) -> None:
        register_module("mine", "my_app:Mine")
        given = {"colour": ["red"], "depth": None}
        checked = check_arguments(find_module("mine"), given)
        assert checked == given
        assert checked is not given


class TestRegistering:
    def test_a_module(self) -> None:
        register_module("mine", "my_app.rag:Outer.Inner", asynchronous=True)
        kind = find_module("mine")
        assert (kind.path, kind.asynchronous, kind.needs_signature) == ("my_app.rag:Outer.Inner", True, False)
        assert module_names() == sorted([*BUILT_IN, "mine"])
        register_module("mine", "my_app.rag:Outer.Inner", asynchronous=True)
        for other in (("mine", "my_app.rag:Other", True), ("mine", "my_app.rag:Outer.Inner", False), ("predict", "a:B", False)):
            with pytest.raises(BadRequest, match="no other module has"):
                register_module(*other)

    def test_a_reward(self) -> None:
        register_reward("short", "my_app:short")
        register_reward("short", "my_app:short")
        assert reward_path("short") == "my_app:short"
        assert reward_path("complete") is None
        for name, path in (("short", "my_app:long"), ("complete", "my_app:short")):
            with pytest.raises(BadRequest, match="no other reward has"):
                register_reward(name, path)

    def test_names_as_erlang_sends_them(self) -> None:
        register_module(b"mine", b"my_app:Mine")  # type: ignore[arg-type]
        assert find_module("mine").path == "my_app:Mine"

    @pytest.mark.parametrize("register", [register_module, register_reward])
    @pytest.mark.parametrize(
        ("name", "path"),
        [
            ("", "a:B"),
            ("A", "a:B"),
            ("1a", "a:B"),
            ("a" * 65, "a:B"),
            ("a\n", "a:B"),
            (None, "a:B"),
            (b"\xff", "a:B"),
            ("ok", ""),
            ("ok", "a"),
            ("ok", "a:"),
            ("ok", ":B"),
            ("ok", "a:B\n"),
            ("ok", "a:B()"),
            ("ok", "../a:B"),
            ("ok", "a b:C"),
            ("ok", None),
            ("ok", 7),
        ],
    )
    def test_refused(self, register: Any, name: Any, path: Any) -> None:
        with pytest.raises(BadRequest):
            register(name, path)
        assert module_names() == BUILT_IN

    def test_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DSPEX_MODULES", "my_app.rag:MultiHopRAG,,short=my_app:Outer.Inner,my_app:Outer.QABot2")
        modules._register_from_environment()
        assert {name: find_module(name).path for name in module_names() if name not in BUILT_IN} == {
            "multi_hop_rag": "my_app.rag:MultiHopRAG",
            "short": "my_app:Outer.Inner",
            "qa_bot2": "my_app:Outer.QABot2",
        }


class TestLoading:
    def test_what_is_there(self) -> None:
        assert load_path("math:pi") == math.pi
        assert load_path("pathlib:Path.cwd")() == __import__("pathlib").Path.cwd()

    @pytest.mark.parametrize("path", ["no_such_module:X", "math:no_such_name", "math:pi.no", "os.no:x", "math..x:y"])
    def test_what_is_not(self, path: str) -> None:
        with pytest.raises(ImportFailed, match="to be importable, got"):
            load_path(path)

    def test_a_module_that_fails(self, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "failing_at_import.py").write_text(f"raise ValueError({'long ' * 1000!r})", encoding="utf-8")
        monkeypatch.syspath_prepend(str(tmp_path))
        with pytest.raises(ImportFailed, match="got ValueError") as caught:
            load_path("failing_at_import:X")
        assert len(str(caught.value)) < 300
