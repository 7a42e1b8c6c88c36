"""DSPy, imported once and set up so that nothing of it is shared between sessions and nothing is written where it should not be.

The import takes about 0.5 s and 60 MB. What is set: no disk cache and a memory cache in namespaces, no look at the network for LiteLLM's price
list, and no thread of a progress bar's, so that the process may still fork.
"""

from __future__ import annotations

import gc
import os
import threading
from typing import Any

__all__ = ["dspy_module"]

_lock = threading.Lock()
_ready: Any = None


def dspy_module() -> Any:
    """The module ``dspy``, ready for use. Raises :class:`ImportFailed` if it is not installed."""
    global _ready
    if _ready is None:
        with _lock:
            if _ready is None:
                _ready = _imported()
    return _ready


def _imported() -> Any:
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "true")
    try:
        import dspy
    except ImportError as error:
        from dspex_erl.errors import ImportFailed

        raise ImportFailed(f"expected DSPy 3.4 to be installed (pip install 'dspex_erl[dspy]'), got {error}") from error

    from dspex_erl.programs.cache import SessionCache

    with dspy._cache_lock:
        dspy.cache = SessionCache()
    _stop_progress_bars()
    # What the import made stays for good. Looking through it again and again took a sixth of the time of busy workers.
    gc.collect()
    gc.freeze()
    return dspy


def _stop_progress_bars() -> None:
    try:
        from tqdm import tqdm
    except ImportError:
        return
    # Otherwise the first bar starts a thread that watches all of them.
    tqdm.monitor_interval = 0
