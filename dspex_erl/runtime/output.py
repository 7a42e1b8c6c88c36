"""``print`` in a worker: text goes to the Erlang side, which prints it where its group leader says.

The worker's descriptor 1 never carries it: that one is the same as stderr, so that subprocesses and C code may print as they like.
"""

from __future__ import annotations

import codecs
import io
import sys

from dspex_erl.errors import DspexError
from dspex_erl.wire import Output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ClosedInput", "ForwardedOutput", "redirect"]

CHUNK = 32768
"""The longest text, in bytes, that one frame carries, unless the packet size allows less."""


class _Frames(io.RawIOBase):
    """A raw stream whose every write becomes frames of whole characters."""

    def __init__(self, send: Callable[[Output], None], chunk: int) -> None:
        self._send = send
        self._chunk = chunk
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode

    def writable(self) -> bool:
        return True

    def write(self, data: bytes | bytearray | memoryview) -> int:  # type: ignore[override]
        text = self._decode(bytes(data))
        # A character is at most four bytes of UTF-8, in a frame that is limited in bytes.
        for start in range(0, len(text), self._chunk // 4):
            try:
                self._send(Output(text[start : start + self._chunk // 4].encode("utf-8")))
            except DspexError:
                # Nobody is left to read it; user code that prints while it ends must not fail for that.
                break
        return len(data)


class ForwardedOutput(io.TextIOWrapper):
    """A ``sys.stdout`` that sends each line, or what a call leaves behind at its end, as one frame."""

    def __init__(self, send: Callable[[Output], None], chunk: int = CHUNK) -> None:
        buffer = io.BufferedWriter(_Frames(send, chunk), CHUNK)  # type: ignore[type-var]
        super().__init__(buffer, encoding="utf-8", errors="backslashreplace", newline="\n", line_buffering=True)
        self.unsent = False

    def write(self, text: str) -> int:
        self.unsent = True
        return super().write(text)

    def fileno(self) -> int:
        return 1

    @property
    def name(self) -> str:
        return "<stdout>"


class ClosedInput(io.TextIOBase):
    """A ``sys.stdin`` that says plainly that nothing can be read: the process's input is the wire."""

    def __init__(self) -> None:
        self.close()

    def fileno(self) -> int:
        return 0

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "UTF-8"

    @property
    def name(self) -> str:
        return "<stdin>"

    @property
    def mode(self) -> str:
        return "r"


def redirect(send: Callable[[Output], None], chunk: int) -> ForwardedOutput:
    """Puts :class:`ForwardedOutput` and :class:`ClosedInput` in the place of ``sys.stdout`` and ``sys.stdin``."""
    stdout = ForwardedOutput(send, chunk)
    sys.stdout = stdout
    sys.stdin = ClosedInput()
    return stdout
