"""ErlPort's Python modules under their own names, for user code that says ``from erlport import …``.

:func:`install` puts a finder before all others, so that ErlPort's bundled package, which is first on the path that its Erlang side sets,
does not come in: it would not know of the worker that is running. The modules here offer what user code and ErlPort's own tests use.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

__all__ = ["install"]

_MODULES = {
    "erlport": "dspex_erl.compat.erlport",
    "erlport.erlang": "dspex_erl.compat.erlang",
    "erlport.erlproto": "dspex_erl.compat.erlproto",
    "erlport.erlterms": "dspex_erl.compat.erlterms",
    "erlport.stdio": "dspex_erl.compat.stdio",
}

pickle_allowed = False
"""Whether the codec of ``erlport.erlterms`` loads and makes pickles, as ErlPort's does."""


class _Finder:
    """Finds ErlPort's modules among ours."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in _MODULES:
            return None
        from importlib.machinery import ModuleSpec

        return ModuleSpec(name, _Loader(), is_package=name == "erlport")


class _Loader:
    """Gives a module of ours a second name."""

    @staticmethod
    def create_module(spec: ModuleSpec) -> ModuleType:
        from importlib import import_module

        return import_module(_MODULES[spec.name])

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        """Its body ran when it was imported under its first name."""


def install(allow_pickle: bool = False) -> None:
    """From now on ``import erlport`` finds the modules here. May be called again."""
    global pickle_allowed
    pickle_allowed = allow_pickle
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)  # type: ignore[arg-type]
