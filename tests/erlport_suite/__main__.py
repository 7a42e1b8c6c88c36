"""Runs them. Exit status 1 unless exactly the tests in ``DIFFERENT`` fail, and as many ran as there are."""

import importlib
import importlib.util
import sys
import unittest
from pathlib import Path

from dspex_erl import compat, etf

TESTS = {"erlterms_tests": 49, "erlproto_tests": 24, "stdio_tests": 7}
"""The modules, and how many tests each has: a run that finds fewer proves less than it seems to."""

DIFFERENT = {
    "erlterms_tests.DecodeTestCase.test_decode_atom": (
        "expects the bytes of an atom as they came, so that one atom of Erlang's is two of Python's: one sent in Latin-1, one in"
        " UTF-8; here an atom is the same atom however it was sent"
    ),
    "erlterms_tests.EncodeTestCase.test_encode_python_opaque_object": (
        "expects a dict to be sent as a pickle, as before ErlPort knew maps; here, as in ErlPort since 0.10, it is sent as a map"
    ),
}
"""The tests that are meant to fail, and why."""


def folder() -> str:
    """Where the tests are. Their packages are not imported for it: those would bring in ErlPort's own modules."""
    spec = importlib.util.find_spec("emqx")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("expected the package emqx-erlport to be installed, got none: run `tox -e erlport`")
    return str(Path(next(iter(spec.submodule_search_locations)), "erlport", "tests"))


def run() -> tuple[dict[str, int], dict[str, str]]:
    """How many tests ran in each module, and the traceback of each that failed."""
    ran = {}
    failed = {}
    for name in TESTS:
        suite = unittest.defaultTestLoader.loadTestsFromModule(importlib.import_module(name))
        result = unittest.TestResult()
        suite.run(result)
        ran[name] = result.testsRun - len(result.skipped)
        failed |= {test.id(): text for test, text in result.failures + result.errors}
    return ran, failed


def faults(ran: dict[str, int], failed: dict[str, str]) -> list[str]:
    """What is not as the two tables say, one text each."""
    found = [f"{name} has {count} tests, but {ran[name]} ran" for name, count in TESTS.items() if ran[name] != count]
    found += [f"{name} failed\n{failed[name]}" for name in sorted(failed.keys() - DIFFERENT.keys())]
    found += [f"{name} is expected to fail, but passed" for name in sorted(DIFFERENT.keys() - failed.keys())]
    return found


def main() -> int:
    # Some of the tests are about pickles, and all input here is theirs.
    compat.install(allow_pickle=True)
    import erlport

    # Otherwise it would be ErlPort that passes its tests.
    assert Path(erlport.__path__[0]).parent == Path(compat.__path__[0]), erlport.__path__
    sys.path.append(folder())
    ran, failed = run()
    found = faults(ran, failed)
    for name, reason in DIFFERENT.items():
        print(f"meant to fail: {name} {reason}")
    for fault in found:
        print(f"fault: {fault}")
    print(
        f"{etf.IMPLEMENTATION} coder: {sum(ran.values())} of ErlPort's tests ran, {len(failed)} failed, {len(found)} faults found"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
