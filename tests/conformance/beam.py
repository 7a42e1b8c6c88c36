"""The oracle: an Erlang node that reads and writes external terms (see ``oracle.erl``)."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

SOURCE = Path(__file__).with_name("oracle.erl")


class Beam:
    """A running oracle. A context manager, because a node that outlives its test is a leak."""

    def __init__(self, directory: Path) -> None:
        subprocess.run(["erlc", "-o", str(directory), str(SOURCE)], check=True)
        command = ["erl", "+t", "1048576", "-noinput", "-boot", "start_clean", "-pa", str(directory), "-s", "oracle", "main"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self) -> Beam:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._process.communicate(timeout=30)
        assert self._process.returncode == 0

    def ask(self, letter: str, parts: Sequence[bytes]) -> bytes:
        """The answer to one packet."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        packet = letter.encode() + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        stdin.write(len(packet).to_bytes(4, "big") + packet)
        stdin.flush()
        head = stdout.read(4)
        assert len(head) == 4, f"the oracle is gone: {self._process.poll()}"
        return stdout.read(int.from_bytes(head, "big"))

    def random_terms(self, seed: int, count: int, *, mergeable_keys: bool) -> list[bytes]:
        """The external format of ``count`` random terms."""
        mode = b"\0" if mergeable_keys else b"\1"
        return _parts(self.ask("g", [seed.to_bytes(4, "big"), count.to_bytes(4, "big"), mode]))

    def same(self, pairs: Sequence[tuple[bytes, bytes]]) -> list[bool]:
        """For each pair, whether both are terms and ``=:=`` holds between them."""
        return [answer == 1 for answer in self.ask("e", [part for pair in pairs for part in pair])]

    def readable(self, terms: Sequence[bytes]) -> list[bool]:
        """For each, whether ``binary_to_term/1`` reads it."""
        return [answer == 1 for answer in self.ask("d", terms)]

    def rewritten(self, terms: Sequence[bytes]) -> list[bytes]:
        """Each as ``term_to_binary/1`` writes it."""
        return _parts(self.ask("r", terms))


def _parts(data: bytes) -> list[bytes]:
    parts = []
    pos = 0
    while pos < len(data):
        size = int.from_bytes(data[pos : pos + 4], "big")
        parts.append(data[pos + 4 : pos + 4 + size])
        pos += 4 + size
    return parts
