"""Containers made without the checks of their constructors."""

from __future__ import annotations

import pytest

from dspex_erl.etf._containers import frozen_list, improper_list
from dspex_erl.terms import ImproperList, List


@pytest.mark.parametrize("items", [[], [1, 2], b"ab"])
def test_frozen_lists(items: list[int] | bytes) -> None:
    value = frozen_list(items)
    assert (type(value), value) == (List, list(items))


def test_improper_lists() -> None:
    inner = [1]
    value = improper_list([inner, 2, 3])
    assert type(value) is ImproperList
    assert (list(value), value.tail) == ([[1], 2], 3)
    assert value[0] is inner
