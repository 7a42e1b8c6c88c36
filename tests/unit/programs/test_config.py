"""What may be asked of a language model beyond the prompt, and what may not."""

from __future__ import annotations

import math
from typing import Any

import pytest

from dspex_erl.errors import BadRequest
from dspex_erl.programs.config import CONFIG, check_config


def test_nothing_is_an_empty_map() -> None:
    assert check_config(None, "config") == {}
    assert check_config({}, "config") == {}


def test_what_was_given_is_not_shared() -> None:
    given = {"temperature": 0.5}
    checked = check_config(given, "config")
    assert checked == given
    checked["seed"] = 1
    assert given == {"temperature": 0.5}


@pytest.mark.parametrize("name", CONFIG)
def test_bounds(name: str) -> None:
    types, least, most = CONFIG[name]
    for value in (least, most):
        assert check_config({name: value}, "config") == {name: value}
    step = 1 if float not in types else 0.001
    for value in (least - step, most + step, math.inf, -math.inf, math.nan, 10**400, True, False, "1", None, [1], {}):
        with pytest.raises(BadRequest, match=rf"at config\.{name}") as caught:
            check_config({name: value}, "config")
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize("name", [name for name in CONFIG if float not in CONFIG[name][0]])
def test_what_is_counted_is_whole(name: str) -> None:
    with pytest.raises(BadRequest, match="an integer from"):
        check_config({name: 1.0}, "config")


@pytest.mark.parametrize("value", ["x", ["x"], ["x", "\n\n"], ["x"] * 16, "x" * 199])
def test_stop(value: Any) -> None:
    assert check_config({"stop": value}, "config") == {"stop": value}


@pytest.mark.parametrize("value", ["", [], [""], ["x"] * 17, "x" * 200, ["x", 7], 7, None, {"x": 1}, b"x", ("x",)])
def test_no_stop(value: Any) -> None:
    with pytest.raises(BadRequest, match=r"at options\.config\.stop"):
        check_config({"stop": value}, "options.config")


@pytest.mark.parametrize(
    "given", [7, "temperature", [("temperature", 1)], {"temp": 1}, {7: 1}, {"api_key": "sk-12345678"}, {"x" * 1000: 1}]
)
def test_refused(given: Any) -> None:
    with pytest.raises(BadRequest, match="at lm") as caught:
        check_config(given, "lm")
    assert "12345678" not in str(caught.value)
    assert len(str(caught.value)) < 300
