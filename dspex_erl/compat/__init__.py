"""ErlPort's Python modules under their own names, for user code that says ``from erlport import …``.

:func:`install` puts a finder before all others, so that ErlPort's bundled package, which is first on the path that its Erlang side sets,
does not come in: it would not know of the worker that is running. The package ``erlport`` in this folder offers what user code
imports.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

__all__ = ["install"]

pickle_allowed = False
"""Whether the codec of ``erlport.erlterms`` loads and makes pickles, as ErlPort's does."""


class _Finder:
    """Finds ``erlport`` here; its submodules are then found below it as usual."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != "erlport":
            return None
        from importlib.util import spec_from_file_location

        folder = f"{__path__[0]}/erlport"
        return spec_from_file_location(name, f"{folder}/__init__.py", submodule_search_locations=[folder])


def install(allow_pickle: bool = False) -> None:
    """From now on ``import erlport`` finds the package here. May be called again."""
    global pickle_allowed
    pickle_allowed = allow_pickle
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)
