"""Erlang's External Term Format: bytes to Python values and back.

>>> decode(encode({"a": [1, 2.5, None]}, strings="str"), strings="str")
{'a': [1, 2.5, None]}

Two coders with one behaviour stand behind this page: ``_speedups``, in C, and the pure ones. ``IMPLEMENTATION`` says which is in
use, ``"c"`` or ``"pure"``; ``DSPEX_ERL_PURE=1`` in the environment chooses the pure ones.

Both take time and memory linear in the size of the input, keep their stack on the heap (depth costs memory, never the
C stack), and check every limit before they allocate. Nothing is executed or unpickled, whatever the bytes say.

Source: Erlang/OTP, ERTS User's Guide, "External Term Format".
"""

from __future__ import annotations

from dspex_erl.etf._codec import IMPLEMENTATION, Codec, decode, decode_from, encode, encode_iovec
from dspex_erl.etf._options import LARGE_BINARY

__all__ = ["IMPLEMENTATION", "LARGE_BINARY", "Codec", "decode", "decode_from", "encode", "encode_iovec"]
