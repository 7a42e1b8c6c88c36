"""Fixtures of all tests."""

from __future__ import annotations

import pytest

from tests.coders import NAMES, Coder
from tests.coders import coder as coder_named


def pytest_report_header() -> str:
    return "coders under test: " + ", ".join(NAMES)


@pytest.fixture(params=NAMES)
def coder(request: pytest.FixtureRequest) -> Coder:
    """Each implementation of the codec that was built. ``DSPEX_ERL_REQUIRE_C=1`` makes a missing C coder fail."""
    return coder_named(request.param)


@pytest.fixture(params=["bytes", "str"])
def strings(request: pytest.FixtureRequest) -> str:
    """Each mapping of strings."""
    mapping: str = request.param
    return mapping
