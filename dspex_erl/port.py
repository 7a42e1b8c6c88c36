"""``python3 -m dspex_erl.port``: the Python side of a port, in the place of ErlPort's.

.. code-block:: elixir

    {:ok, py} = :python.start(python: ~c"python3 -m dspex_erl.port")
    :python.call(py, :math, :sqrt, [16])
"""

from __future__ import annotations

# Before all else, as what comes next takes a while: Ctrl-C in a terminal is for the shell that Erlang runs in, though the whole foreground
# group gets it. A handler and not SIG_IGN, which children would inherit. And _signal, because signal adds enumerations to it, which
# take a quarter as long to import as Python to start.
import _signal  # type: ignore[import-not-found]

_signal.signal(_signal.SIGINT, lambda _number, _frame: None)

# Nothing that is made while modules are imported is garbage, and looking for some takes as long as a tenth of that.
import gc  # noqa: E402

gc.disable()  # worker.serve() enables it again

import sys  # noqa: E402

from dspex_erl import compat  # noqa: E402
from dspex_erl.runtime import options, worker  # noqa: E402

__all__ = ["main"]


def main() -> int:
    """Serves until the connection ends; returns the exit status."""
    parsed = options.parse(sys.argv[1:])
    compat.install(allow_pickle=parsed.allow_pickle)
    return worker.serve(parsed)


if __name__ == "__main__":
    sys.exit(main())
