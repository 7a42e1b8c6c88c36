"""Containers that Python lacks: lists and maps that cannot change, improper lists, and keys that Python would merge.

``List``, ``Map`` and ``ImproperList`` are ErlPort's classes, with its names and its refusal to be changed. They are also what a
list or a map becomes when it is itself a key of a map, in either mapping.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, NoReturn


class MutationError(TypeError):
    """An attempt to change a term that came from Erlang. Copy it first: ``list(term)``, ``dict(term)``."""


def _refuse(self: object, *_args: object, **_kwargs: object) -> NoReturn:
    kind = type(self).__name__
    raise MutationError(f"expected no change to a {kind}, which is immutable; copy it with list() or dict() first")


def frozen(value: Any) -> Any:
    """``value`` with plain lists and dicts in it replaced by :class:`List` and :class:`Map`; O(size)."""
    kind = type(value)
    if kind is list:
        return List(value)
    if kind is dict:
        return Map(value)
    return value


class List(list):  # type: ignore[type-arg]
    """A list that cannot be changed, and can therefore be a key.

    >>> List([72, 105]).to_string()
    'Hi'
    """

    __slots__ = ()

    def __new__(cls, items: Iterable[Any] = ()) -> List:
        new = list.__new__(cls)
        list.extend(new, map(frozen, items))
        return new

    def __init__(self, items: Iterable[Any] = ()) -> None:
        # list.__init__ would empty and refill what __new__ has built.
        pass

    append = extend = insert = pop = remove = reverse = sort = clear = _refuse
    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse

    def to_string(self) -> str:
        """The text that this list of code points spells. Raises ``TypeError`` if an item is no code point."""
        return "".join(map(chr, self))

    def __repr__(self) -> str:
        return f"List({super().__repr__()})"

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return List, (list(self),)


class Map(dict):  # type: ignore[type-arg]
    """A map that cannot be changed, and can therefore be a key.

    >>> Map({"a": 1})["a"]
    1
    """

    __slots__ = ()

    def __new__(cls, *args: Any, **kwargs: Any) -> Map:
        new = dict.__new__(cls)
        for key, value in dict(*args, **kwargs).items():
            dict.__setitem__(new, frozen(key), frozen(value))
        return new

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    clear = pop = popitem = setdefault = update = _refuse
    __setitem__ = __delitem__ = __ior__ = _refuse

    def __repr__(self) -> str:
        return f"Map({super().__repr__()})"

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[Any, ...]:
        return Map, (dict(self),)


class ImproperList(list):  # type: ignore[type-arg]
    """``[a, b | tail]``: a list that ends in something other than the empty list.

    Raises ``TypeError`` when ``items`` is no list or ``tail`` is one, ``ValueError`` when ``items`` is empty.

    >>> ImproperList([1, 2], 3).tail
    3
    """

    __slots__ = ("tail",)
    tail: Any

    def __new__(cls, items: list[Any], tail: Any) -> ImproperList:
        if not isinstance(items, list):
            raise TypeError(f"expected a list of items, got {type(items).__name__}")
        if not items:
            raise ValueError("expected at least one item before the tail, got an empty list")
        if isinstance(tail, list) and not isinstance(tail, ImproperList):
            raise TypeError("expected a tail that is no list, got a list")
        new = list.__new__(cls)
        list.extend(new, map(frozen, items))
        object.__setattr__(new, "tail", frozen(tail))
        return new

    def __init__(self, items: list[Any], tail: Any) -> None:
        pass

    append = extend = insert = pop = remove = reverse = sort = clear = _refuse
    __setitem__ = __delitem__ = __iadd__ = __imul__ = __setattr__ = __delattr__ = _refuse

    def __repr__(self) -> str:
        return f"ImproperList({super().__repr__()}, {self.tail!r})"

    def __eq__(self, other: object) -> bool:
        return type(other) is ImproperList and list.__eq__(self, other) and bool(self.tail == other.tail)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:  # type: ignore[override]
        return hash((tuple(self), self.tail))

    def __reduce__(self) -> tuple[Any, ...]:
        return ImproperList, (list(self), self.tail)


class ExactKey:
    """A map key that Python would merge with another key of the same map.

    Erlang tells ``1``, ``1.0`` and ``true`` apart, and ``a`` from ``<<"a">>``; a ``dict`` does not. In ErlPort's mapping the
    first such key of a map arrives as itself, and every further one wrapped in an ``ExactKey``; both are sent back as they were.
    Two exact keys are equal when Erlang's ``=:=`` says so.

    >>> ExactKey(1) == ExactKey(1.0), ExactKey(1.0) == ExactKey(1.0)
    (False, True)
    """

    __slots__ = ("_identity", "value")
    value: Any

    def __init__(self, value: Any) -> None:
        object.__setattr__(self, "value", value)
        object.__setattr__(self, "_identity", identity(value))

    __setattr__ = __delattr__ = _refuse

    def __eq__(self, other: object) -> bool:
        return type(other) is ExactKey and self._identity == other._identity  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash(self._identity)  # type: ignore[attr-defined]

    def __repr__(self) -> str:
        return f"ExactKey({self.value!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return ExactKey, (self.value,)


def identity(term: Any) -> Any:
    """A hashable stand-in that is equal for two terms exactly when Erlang's ``=:=`` holds between them. O(size)."""
    kind = type(term)
    if kind is ExactKey:
        return term._identity
    if kind is float:
        # 0.0 and -0.0 are one key for Python and, from OTP 27 on, two for Erlang.
        return float, term.hex()
    if isinstance(term, ImproperList):
        return ImproperList, tuple(map(identity, term)), identity(term.tail)
    if isinstance(term, list):
        return list, tuple(map(identity, term))
    if isinstance(term, tuple):
        return tuple, tuple(map(identity, term))
    if isinstance(term, dict):
        return dict, frozenset((identity(key), identity(value)) for key, value in term.items())
    return kind, term
