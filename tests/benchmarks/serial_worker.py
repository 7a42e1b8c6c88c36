"""Serving as stock ErlPort does, on our codec: read, decode, call, encode, write; one call at a time, one write for each answer.

The yardstick for throughput. It has nothing else that a worker needs: no errors, no messages, no threads. It ignores ErlPort's
arguments.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from operator import attrgetter
from typing import Any

from dspex_erl.etf import decode, encode
from dspex_erl.terms import ByteAtom

BUFFER_SIZE = 65536

_RESULT = ByteAtom(b"r")


def main() -> None:
    for frame in frames():
        _, id_, module, function, arguments = decode(frame)
        answer = encode((_RESULT, id_, _function(module, function)(*arguments)))
        _write(len(answer).to_bytes(4, "big") + answer)


def frames() -> Iterator[bytes]:
    """The payloads of the frames on descriptor 0, until its end."""
    buffer = b""
    while True:
        start = 0
        while len(buffer) - start >= 4:
            end = start + 4 + int.from_bytes(buffer[start : start + 4], "big")
            if end > len(buffer):
                break
            yield buffer[start + 4 : end]
            start = end
        data = os.read(0, BUFFER_SIZE)
        if not data:
            return
        buffer = buffer[start:] + data


def _function(module: bytes, function: bytes) -> Any:
    name = module.decode()
    return attrgetter(function.decode())(sys.modules.get(name) or importlib.import_module(name))


def _write(data: bytes) -> None:
    written = os.write(1, data)
    while written < len(data):
        data = data[written:]
        written = os.write(1, data)


if __name__ == "__main__":
    main()
