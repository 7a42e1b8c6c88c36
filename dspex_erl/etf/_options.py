"""What a codec may be told, checked once so that the coders need not check again."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Literal, NoReturn

LARGE_BINARY = 65536
"""From this many bytes on, ``encode_iovec`` passes a binary on by reference."""


class Options:
    """The arguments of :class:`dspex_erl.etf.Codec`, where each is explained. Immutable."""

    __slots__ = (
        "allow_pickle",
        "compressed",
        "encoders",
        "max_atoms",
        "max_bytes",
        "max_depth",
        "max_digits",
        "max_elements",
        "max_inflated",
        "strings",
        "structs",
        "view_threshold",
    )
    strings: Literal["bytes", "str"]
    max_bytes: int
    max_depth: int
    max_elements: int
    max_atoms: int
    max_digits: int
    max_inflated: int
    view_threshold: int
    structs: Mapping[str, Callable[[dict[Any, Any]], Any]]
    encoders: Mapping[type, Callable[[Any], Any]]
    allow_pickle: bool
    compressed: int

    def __init__(
        self,
        *,
        strings: Literal["bytes", "str"] = "bytes",
        max_bytes: int = 256 * 1024 * 1024,
        max_depth: int = 10_000,
        max_elements: int = 10_000_000,
        max_atoms: int = 65_536,
        max_digits: int = 524_288,
        max_inflated: int = 256 * 1024 * 1024,
        view_threshold: int = 0,
        structs: Mapping[str, Callable[[dict[Any, Any]], Any]] | None = None,
        encoders: Mapping[type, Callable[[Any], Any]] | None = None,
        allow_pickle: bool = False,
        compressed: int = 0,
    ) -> None:
        if strings not in ("bytes", "str"):
            raise ValueError(f"expected strings to be 'bytes' or 'str', got {strings!r}")
        if type(compressed) is not int or not 0 <= compressed <= 9:
            raise ValueError(f"expected compressed to be a level from 0 to 9, got {compressed!r}")
        given = {
            "strings": strings,
            "max_bytes": max_bytes,
            "max_depth": max_depth,
            "max_elements": max_elements,
            "max_atoms": max_atoms,
            "max_digits": max_digits,
            "max_inflated": max_inflated,
            "view_threshold": view_threshold,
            "structs": dict(structs or {}),
            "encoders": dict(encoders or {}),
            "allow_pickle": bool(allow_pickle),
            "compressed": compressed,
        }
        for name, value in given.items():
            whole = name.startswith("max_") or name == "view_threshold"
            if whole and (type(value) is not int or not 0 <= value < 2**62):
                raise ValueError(f"expected {name} to be a whole number from 0, got {value!r}")
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"expected no change to codec options, got a new {name}")
