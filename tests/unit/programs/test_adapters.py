"""Adapters by name."""

from __future__ import annotations

from typing import Any

import dspy
import pytest

from dspex_erl.errors import BadRequest
from dspex_erl.programs.adapters import ADAPTERS, build_adapter, check_adapter
from dspex_erl.programs.ready import dspy_module

dspy_module()


@pytest.mark.parametrize("name", ADAPTERS)
def test_each_is_made_anew(name: str) -> None:
    assert check_adapter(name) == name
    assert isinstance(build_adapter(name), dspy.Adapter)
    assert build_adapter(name) is not build_adapter(name)


def test_the_default_is_dspys_own() -> None:
    assert type(build_adapter("chat")) is dspy.ChatAdapter


@pytest.mark.parametrize("given", [None, 7, "", "Chat", "dspy.ChatAdapter", "x" * 1000, ["chat"]])
def test_refused(given: Any) -> None:
    with pytest.raises(BadRequest, match=r"chat, json, xml, completion, got .*, at options.adapter") as caught:
        check_adapter(given)
    assert len(str(caught.value)) < 200
