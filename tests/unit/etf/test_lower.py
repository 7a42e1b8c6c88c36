"""What is sent for Python values that have no Erlang counterpart of their own."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import math
import sys
import types
import uuid
from typing import Any

import numpy
import pydantic
import pytest

from dspex_erl.errors import EncodeError
from dspex_erl.etf._lower import DIRECT, lower
from dspex_erl.etf._options import Options
from dspex_erl.terms import Atom, ByteAtom, ImproperList, List, Map, OpaqueObject

BYTES = Options()
STR = Options(strings="str")


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 9


class Loud(str):
    def __str__(self) -> str:
        return "LOUD"


class Tricky(bytes):
    def __bytes__(self) -> bytes:
        return b"trick"


class Counting(dict):  # type: ignore[type-arg]
    def copy(self) -> Any:
        raise AssertionError("its own method")


class Numbers(list):  # type: ignore[type-arg]
    def __iter__(self) -> Any:
        raise AssertionError("its own method")


class MyAtom(Atom):
    pass


class MyByteAtom(ByteAtom):
    pass


class MyImproper(ImproperList):
    pass


@dataclasses.dataclass
class Point:
    x: int
    y: Any = dataclasses.field(default=(), repr=False)
    total: Any = dataclasses.field(init=False, default=7)


class Model(pydantic.BaseModel):
    a: int
    b: Any = None


def exact(value: Any, other: Any) -> bool:
    return type(value) is type(other) and bool(value == other)


LOWERED: list[tuple[Any, Any]] = [
    (Colour.RED, "red"),
    (Level.HIGH, 9),
    (type("Whole", (int,), {"__int__": lambda self: 0})(5), 5),
    (type("Real", (float,), {"__float__": lambda self: 0.0})(5.5), 5.5),
    (type("Real", (float,), {})("nan"), Atom("nan")),
    (math.nan, Atom("nan")),
    (math.inf, Atom("infinity")),
    (-math.inf, Atom("neg_infinity")),
    (Loud("quiet"), "quiet"),
    (Tricky(b"plain"), b"plain"),
    (bytearray(b"ab"), b"ab"),
    (Counting(a=1), {"a": 1}),
    (collections.OrderedDict(a=1), {"a": 1}),
    (collections.defaultdict(int, a=1), {"a": 1}),
    (collections.Counter("aa"), {"a": 2}),
    (Numbers([1, 2]), [1, 2]),
    (collections.namedtuple("P", "x y")(1, 2), (1, 2)),
    (MyAtom("a"), Atom("a")),
    (str.__new__(MyAtom, "a"), Atom("a")),
    (bytes.__new__(MyByteAtom, b"a"), ByteAtom(b"a")),
    (type("L", (List,), {})([1]), [1]),
    (type("M", (Map,), {})({1: 2}), {1: 2}),
    (MyImproper([1], 2), ImproperList([1], 2)),
    ({5}, [5]),
    (frozenset({5}), [5]),
    (datetime.date(2024, 2, 29), b"2024-02-29"),
    (datetime.datetime(2024, 2, 29, 1, 2, 3, tzinfo=datetime.timezone.utc), b"2024-02-29T01:02:03+00:00"),
    (datetime.time(1, 2, 3), b"01:02:03"),
    (decimal.Decimal("1.50"), b"1.50"),
    (uuid.UUID(int=1), b"00000000-0000-0000-0000-000000000001"),
    (numpy.int64(5), 5),
    (numpy.float32(0.5), 0.5),
    (numpy.float64(0.5), 0.5),
    (numpy.bool_(True), True),
    (numpy.str_("a"), "a"),
    (numpy.bytes_(b"a"), b"a"),
    (numpy.datetime64("2024-02-29"), b"2024-02-29"),
    (numpy.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
    (numpy.array(5), 5),
    (numpy.array([]), []),
]


@pytest.mark.parametrize(("value", "plain"), LOWERED, ids=[f"{index}-{type(row[0]).__name__}" for index, row in enumerate(LOWERED)])
@pytest.mark.parametrize("options", [BYTES, STR], ids=["bytes", "str"])
def test_values(value: Any, plain: Any, options: Options) -> None:
    found = lower(value, options)
    assert exact(found, plain)
    assert type(found) in DIRECT


@pytest.mark.parametrize(("options", "name"), [(BYTES, lambda text: text.encode()), (STR, str)])
def test_fields(options: Options, name: Any) -> None:
    assert lower(Point(1, 2), options) == {name("x"): 1, name("y"): 2, name("total"): 7}
    assert lower(Model(a=1), options) == {name("a"): 1, name("b"): None}


def test_views() -> None:
    flat = memoryview(b"abcd")
    assert lower(flat, BYTES) is flat
    assert lower(flat[::2], BYTES) == b"ac"
    assert lower(memoryview(b"abcd").cast("I"), BYTES) == b"abcd"
    assert lower(memoryview(b"abcd").cast("B", (2, 2)), BYTES) == b"abcd"


class Base:
    pass


class Derived(Base):
    pass


class TestEncoders:
    def test_the_narrowest_class_wins(self) -> None:
        given = {Base: lambda value: "base", Derived: lambda value: "derived"}
        assert lower(Derived(), Options(encoders=given)) == "derived"
        assert lower(Base(), Options(encoders=given)) == "base"
        del given[Derived]
        assert lower(Derived(), Options(encoders=given)) == "base"

    def test_before_everything_else(self) -> None:
        assert lower(Point(1), Options(encoders={Point: lambda point: point.x})) == 1
        assert lower(Level.HIGH, Options(encoders={enum.Enum: lambda value: value.name})) == "HIGH"
        assert lower(math.nan, Options(encoders={float: lambda value: None})) == Atom("nan")

    def test_the_answer_may_need_another(self) -> None:
        assert lower(Base(), Options(encoders={Base: lambda value: Colour.RED})) == "red"
        assert lower(Base(), Options(encoders={Base: lambda value: float("inf")})) == Atom("infinity")

    def test_no_answer_that_ends(self) -> None:
        with pytest.raises(EncodeError, match="Base"):
            lower(Base(), Options(encoders={Base: lambda value: value}))

    @pytest.mark.parametrize("kind", [ValueError, RecursionError, StopIteration])
    def test_that_raise(self, kind: type[Exception]) -> None:
        def hook(value: Any) -> Any:
            raise kind("secret")

        with pytest.raises(EncodeError) as caught:
            lower(Base(), Options(encoders={Base: hook}))
        assert type(caught.value.__cause__) is kind
        assert "secret" not in str(caught.value)
        assert "Base" in str(caught.value)

    def test_what_passes(self) -> None:
        def hook(value: Any) -> Any:
            raise MemoryError

        with pytest.raises(MemoryError):
            lower(Base(), Options(encoders={Base: hook}))


class Pretender:
    @property
    def __class__(self) -> Any:
        raise RuntimeError("secret")


@pytest.mark.parametrize("value", [1j, object(), range(3), iter([]), Base, Point, print, sys, numpy.complex128(1j), {}.keys()])
def test_no_counterpart(value: Any) -> None:
    with pytest.raises(EncodeError) as caught:
        lower(value, BYTES)
    assert caught.value.path == "$"
    assert "secret" not in str(caught.value)


def test_a_pretender() -> None:
    with pytest.raises(EncodeError) as caught:
        lower(Pretender(), BYTES)
    assert type(caught.value.__cause__) is RuntimeError
    assert "secret" not in str(caught.value)


def test_half_a_dataclass() -> None:
    broken = Point.__new__(Point)
    with pytest.raises(EncodeError, match="Point") as caught:
        lower(broken, BYTES)
    assert type(caught.value.__cause__) is AttributeError


@pytest.mark.parametrize("missing", ["numpy", "pydantic", "uuid", "decimal"])
def test_modules_that_were_never_imported(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.delitem(sys.modules, missing)
    with pytest.raises(EncodeError):
        lower(1j, BYTES)
    monkeypatch.setitem(sys.modules, missing, types.ModuleType(missing))
    with pytest.raises(EncodeError):
        lower(1j, BYTES)


def test_pickles_only_where_allowed() -> None:
    found = lower(1j, Options(allow_pickle=True))
    assert type(found) is OpaqueObject
    assert (found.language, found.data[:2]) == (b"python", b"\x80\x02")
    with pytest.raises(EncodeError, match="function"):
        lower(lambda: 1, Options(allow_pickle=True))
