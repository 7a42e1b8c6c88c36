"""Options: checked once, and then fixed."""

from typing import Any

import pytest

from dspex_erl.etf._options import Options

LIMITS = ["max_bytes", "max_depth", "max_elements", "max_atoms", "max_digits", "max_inflated", "view_threshold"]


def test_defaults() -> None:
    options = Options()
    assert (options.strings, options.compressed, options.allow_pickle) == ("bytes", 0, False)
    assert (options.structs, options.encoders) == ({}, {})
    assert all(type(getattr(options, name)) is int for name in LIMITS)


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("value", [-1, 2**62, 1.0, "1", None, True])
def test_limits_are_whole_numbers(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        Options(**{name: value})
    assert getattr(Options(**{name: 0}), name) == 0
    assert getattr(Options(**{name: 2**62 - 1}), name) == 2**62 - 1


@pytest.mark.parametrize("value", ["text", b"str", None])
def test_mappings(value: Any) -> None:
    with pytest.raises(ValueError, match="strings"):
        Options(strings=value)


@pytest.mark.parametrize("value", [-1, 10, True, "9"])
def test_levels(value: Any) -> None:
    with pytest.raises(ValueError, match="compressed"):
        Options(compressed=value)
    assert Options(compressed=9).compressed == 9


def test_cannot_be_changed() -> None:
    options = Options(structs={"A": dict})
    with pytest.raises(AttributeError, match="max_depth"):
        options.max_depth = 5
    given: dict[Any, Any] = {}
    assert Options(encoders=given).encoders is not given
