"""The worker's command line: our options, then what ErlPort's Erlang side appends to every command.

ErlPort appends ``-u -m erlport.cli --packet=N --use_stdio|--nouse_stdio --compressed=L --buffer_size=B``, always these. They are read
here by hand; our own go through :mod:`argparse`, which is imported only if there are any, for it takes as long as starting Python.
"""

from __future__ import annotations

import os
import sys

from dspex_erl.wire import BUFFER_SIZE, MAX_FRAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal, NoReturn

__all__ = ["Options", "parse"]

MODES = ("standalone", "pool-worker")

_ERLPORT = ["-u", "-m", "erlport.cli"]


class Options:
    """How one worker serves. Filled by :func:`parse` and not changed afterwards."""

    def __init__(self) -> None:
        self.packet = 4
        self.use_stdio = True
        self.compressed = 0
        self.buffer_size = BUFFER_SIZE
        self.concurrency = 1
        self.strings: Literal["bytes", "str"] = "bytes"
        self.max_frame = MAX_FRAME
        self.max_depth = 10_000
        self.max_atoms = 65_536
        self.log_level = "warning"
        self.allow_pickle = False
        self.session_id: str | None = None
        self.mode: str | None = None
        self.modules: str | None = None


def parse(arguments: Sequence[str]) -> Options:
    """The options that ``arguments`` (without the program's name) ask for. Exits with status 2 and a sentence if they are wrong."""
    options = Options()
    own = list(arguments)
    for start in range(len(own) - len(_ERLPORT) + 1):
        if own[start : start + len(_ERLPORT)] == _ERLPORT:
            for argument in own[start + len(_ERLPORT) :]:
                _erlport_option(options, argument)
            del own[start:]
            break
    if own:
        _own_options(options, own)
    return options


def _erlport_option(options: Options, argument: str) -> None:
    name, _, value = argument.partition("=")
    if name == "--use_stdio" or name == "--nouse_stdio":
        options.use_stdio = name == "--use_stdio"
    elif name == "--packet" and value in ("1", "2", "4"):
        options.packet = int(value)
    elif name == "--compressed" and len(value) == 1 and "0" <= value <= "9":
        options.compressed = int(value)
    elif name == "--buffer_size" and value.isdecimal() and int(value) > 0:
        # A pipe never gives more than a megabyte at once, and the memory is taken at the start.
        options.buffer_size = min(int(value), 1024 * 1024)
    else:
        _refuse(f"expected an option of ErlPort, got {argument!r}")


def _own_options(options: Options, arguments: list[str]) -> None:
    import argparse

    from dspex_erl.runtime.log import LEVELS

    parser = argparse.ArgumentParser(
        prog="python3 -m dspex_erl.port",
        description="Serves Python to Erlang over a port, in ErlPort's protocol, on the descriptors 0 and 1.",
    )
    add = parser.add_argument
    add(
        "--concurrency",
        type=_positive,
        metavar="N",
        default=options.concurrency,
        help="calls that may run at once (default 1, in order)",
    )
    add(
        "--strings", choices=("bytes", "str"), default=options.strings, help="what binaries become (default bytes, as with ErlPort)"
    )
    add("--max-frame", type=_positive, metavar="BYTES", default=options.max_frame, help="the longest message accepted or sent")
    add("--max-depth", type=_positive, metavar="N", default=options.max_depth, help="how deep terms may nest")
    add("--max-atoms", type=_positive, metavar="N", default=options.max_atoms, help="how many new atoms one message may hold")
    add("--log-level", choices=LEVELS, default=options.log_level, help="what is written to stderr (default warning)")
    add("--allow-pickle", action="store_true", help="send and load pickles, as ErlPort does: the caller can then run any code")
    add("--packet", type=int, choices=(1, 2, 4), default=options.packet, help="the size of a message's length (default 4)")
    add("--nouse_stdio", "--nouse-stdio", dest="use_stdio", action="store_false", help="serve on the descriptors 3 and 4")
    add("--use_stdio", "--use-stdio", dest="use_stdio", action="store_true", default=options.use_stdio, help="serve on 0 and 1")
    add("--compressed", type=int, choices=range(10), metavar="0-9", default=options.compressed, help="compression of what is sent")
    add(
        "--buffer_size",
        "--buffer-size",
        type=_positive,
        metavar="BYTES",
        default=options.buffer_size,
        help="how much to read at once",
    )
    add("--session-id", metavar="ID", help="the session of commands that name none (default: DSPEX_SESSION_ID, else 'default')")
    add("--mode", choices=MODES, help="what the worker says it is, in its statistics (default: DSPEX_MODE, else standalone)")
    add("--modules", type=_modules, metavar="[NAME=]PACKAGE.MODULE:CLASS,…", help="classes that programs may be made of")
    parser.parse_args(arguments, namespace=options)
    _announce(options)


def _announce(options: Options) -> None:
    """Puts what is not for this layer into the environment, where the layer that it is for finds it."""
    for variable, value in (
        ("DSPEX_SESSION_ID", options.session_id),
        ("DSPEX_MODE", options.mode),
        ("DSPEX_MODULES", options.modules),
    ):
        if value is not None:
            os.environ[variable] = value


def _modules(text: str) -> str:
    import re

    if not all(re.fullmatch(r"([a-z][a-z0-9_]*=)?[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", entry) for entry in text.split(",")):
        raise ValueError
    return text


_modules.__name__ = "list of classes"


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise ValueError
    return int(text)


_positive.__name__ = "whole number from 1"  # what argparse calls it in its sentence


def _refuse(sentence: str) -> NoReturn:
    sys.stderr.write(f"dspex_erl.port: {sentence}\n")
    sys.exit(2)
