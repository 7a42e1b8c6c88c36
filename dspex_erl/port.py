"""``python3 -m dspex_erl.port``: the Python side of a port, in the place of ErlPort's.

.. code-block:: elixir

    {:ok, py} = :python.start(python: ~c"python3 -m dspex_erl.port")
    :python.call(py, :math, :sqrt, [16])
"""

from __future__ import annotations

import sys

from dspex_erl import compat
from dspex_erl.runtime import options, worker

__all__ = ["main"]


def main() -> int:
    """Serves until the connection ends; returns the exit status."""
    parsed = options.parse(sys.argv[1:])
    compat.install(allow_pickle=parsed.allow_pickle)
    return worker.serve(parsed)


if __name__ == "__main__":
    sys.exit(main())
