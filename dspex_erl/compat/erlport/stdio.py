"""``erlport.stdio``: text files over a port, as ErlPort puts them in the place of ``sys.stdin`` and ``sys.stdout``.

A worker has its own, in :mod:`dspex_erl.runtime.output`; these are for programs with a port of their own.
"""

from __future__ import annotations

import io

from dspex_erl.runtime.output import ClosedInput
from dspex_erl.terms import ByteAtom

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Protocol

    class Writable(Protocol):
        """What has the method ``write`` of :class:`erlport.erlproto.Port`."""

        def write(self, term: Any, /) -> Any: ...


__all__ = ["RedirectedStdin", "RedirectedStdout"]

_PRINT = ByteAtom(b"P")


class RedirectedStdin(ClosedInput):
    """A file that is closed, as the input belongs to the port. Says that it is a terminal, as ErlPort's does."""

    def isatty(self) -> bool:
        return True


class RedirectedStdout(io.TextIOBase):
    """A file whose every text goes to ``port`` as the message that Erlang prints. Says that it is a terminal, as ErlPort's does."""

    def __init__(self, port: Writable) -> None:
        self._port = port

    def write(self, text: str) -> Any:
        """Sends ``text`` and returns what the port's ``write`` does. Raises ``TypeError`` for no text, ``ValueError`` once closed."""
        if self.closed:
            raise ValueError("expected an open file, got a closed one")
        if not isinstance(text, str):
            raise TypeError(f"expected text, got {type(text).__name__}")
        return self._port.write((_PRINT, text))

    def writelines(self, lines: Iterable[str]) -> Any:  # type: ignore[override]
        """Sends all ``lines`` as one text; as :meth:`write`."""
        return self.write("".join(lines))

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return 1

    def isatty(self) -> bool:
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "UTF-8"

    @property
    def name(self) -> str:
        return "<stdout>"

    @property
    def mode(self) -> str:
        return "w"
