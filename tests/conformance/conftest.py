"""The oracle, one for the whole run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.beam import Beam


@pytest.fixture(scope="session")
def beam(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beam]:
    with Beam(tmp_path_factory.mktemp("oracle")) as running:
        yield running
