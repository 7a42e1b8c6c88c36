"""What the pure decoder is given, as something that can be indexed and sliced with no copy that matters.

``bytes`` are the quickest to slice, so that small buffers of other types are copied into them: O(size) for those, O(1) for the rest.
"""

from __future__ import annotations

from dspex_erl.etf._options import LARGE_BINARY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def readable(data: Any, uncopied: bool) -> bytes | memoryview:
    """``data`` as ``bytes`` if that costs nothing or, unless it must stay ``uncopied``, little; else as a flat ``memoryview``.

    Raises ``TypeError`` if it has no contiguous buffer.
    """
    if type(data) is bytes:
        return data
    try:
        view = memoryview(data)
    except TypeError:
        raise TypeError(f"expected bytes or another object with a buffer, got {type(data).__name__}") from None
    if not view.c_contiguous:
        raise TypeError("expected a contiguous buffer, got one with gaps")
    if type(view.obj) is bytes and view.nbytes == len(view.obj):
        return view.obj
    if view.format != "B" or view.ndim != 1 or view.nbytes < LARGE_BINARY and not uncopied:
        return view.tobytes()
    return view.toreadonly()


def cut(data: Any, start: int, end: int, text: bool, threshold: int) -> Any:
    """A large binary, copied once at most: a view of ``data`` from ``threshold`` bytes on (0 for never), else text if it can be that, or bytes."""
    view = memoryview(data)[start:end]
    if 0 < threshold <= end - start:
        return view
    if text:
        try:
            return str(view, "utf-8")
        except UnicodeDecodeError:
            pass
    return bytes(view)
