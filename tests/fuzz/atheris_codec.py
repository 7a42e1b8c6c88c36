"""Fuzzing by coverage: atheris measures the pure decoder, and every coder must agree with it.

``python -m tests.fuzz.atheris_codec`` runs for ``FUZZ_SECONDS`` (default 60), starting from ``corpus``, the conformance corpus and the
examples of its vectors. Further arguments are libFuzzer's. What it finds is written to a temporary directory; an input that fails is
left in the working directory as ``crash-…``, to be moved into ``corpus`` once it is understood.

Needs atheris 3, and so CPython 3.11 or newer with a wheel of it.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["dspex_erl.etf"], exclude=["dspex_erl.etf._speedups"]):
    from dspex_erl.etf import _foreign, _pure_decoder, _rare  # noqa: F401

from tests.conformance.test_corpus import CORPUS, VECTORS
from tests.fuzz.agreement import OPTION_SETS, check

HERE = Path(__file__).resolve().parent


def one_input(data: bytes) -> None:
    """The first byte chooses the options, the others are the bytes after the version."""
    if data:
        check(b"\x83" + data[1:], OPTION_SETS[data[0] % len(OPTION_SETS)])


def write_seeds(directory: Path) -> None:
    inputs = [path.read_bytes() for path in sorted((HERE / "corpus").glob("*.bin"))]
    inputs += [entry.data for entry in CORPUS] + list(VECTORS.values())
    for number, data in enumerate(inputs):
        for choice in range(len(OPTION_SETS)):
            if data[:1] == b"\x83" and len(data) < 4096:
                (directory / f"{number}-{choice}").write_bytes(bytes([choice]) + data[1:])


def main() -> None:
    with tempfile.TemporaryDirectory() as found:
        write_seeds(Path(found))
        seconds = os.environ.get("FUZZ_SECONDS", "60")
        arguments = [sys.argv[0], found, f"-max_total_time={seconds}", "-max_len=4096", "-timeout=30", *sys.argv[1:]]
        atheris.Setup(arguments, one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
