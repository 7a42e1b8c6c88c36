"""The judge of ``tox -e erlport`` is judged: whatever is not as its tables say is a fault."""

from __future__ import annotations

import pytest

from tests.erlport_suite import __main__ as suite

AS_EXPECTED = dict.fromkeys(suite.DIFFERENT, "traceback")


def test_no_fault_is_invented() -> None:
    assert suite.faults(dict(suite.TESTS), AS_EXPECTED) == []


def test_a_further_failure() -> None:
    (fault,) = suite.faults(dict(suite.TESTS), AS_EXPECTED | {"stdio_tests.Case.test": "Traceback of it"})
    assert fault == "stdio_tests.Case.test failed\nTraceback of it"


@pytest.mark.parametrize("name", suite.DIFFERENT)
def test_a_failure_that_is_gone(name: str) -> None:
    failed = {other: text for other, text in AS_EXPECTED.items() if other != name}
    assert suite.faults(dict(suite.TESTS), failed) == [f"{name} is expected to fail, but passed"]


@pytest.mark.parametrize("name", suite.TESTS)
@pytest.mark.parametrize("change", [-1, 1])
def test_another_number_of_tests(name: str, change: int) -> None:
    count = suite.TESTS[name]
    assert suite.faults(suite.TESTS | {name: count + change}, AS_EXPECTED) == [
        f"{name} has {count} tests, but {count + change} ran"
    ]
