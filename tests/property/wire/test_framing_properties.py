"""Framing does not depend on how the stream was cut, nor on the size of the buffer, nor on who copies the bytes in."""

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from dspex_erl.errors import FrameTooLong
from dspex_erl.wire import NEED_DATA, FrameReader
from tests.wire_helpers import framed, frames

PACKETS = st.sampled_from([1, 2, 4])
relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def payloads(draw: st.DrawFn, longest: int = 700) -> bytes:
    """Often short, sometimes longer than the buffer; made from a few bytes so that failing examples stay readable."""
    length = draw(st.one_of(st.integers(0, min(12, longest)), st.integers(0, longest)))
    return (draw(st.binary(min_size=1, max_size=4)) * length)[:length]


def pieces(data: bytes, sizes: list[int]) -> list[bytes]:
    """``data`` cut at ``sizes``, again and again; a size of 0 gives an empty piece."""
    found = []
    start = turn = 0
    while start < len(data):
        size = sizes[turn % len(sizes)] if turn < 1000 else len(data)
        found.append(data[start : start + size])
        start += size
        turn += 1
    return found


def fetched(reader: FrameReader) -> list[bytes]:
    """The next frame, if there is one."""
    frame = reader.next_frame()
    return [] if frame is NEED_DATA else [bytes(frame)]  # type: ignore[arg-type]


CUTS = st.lists(st.integers(0, 300), min_size=1, max_size=8).filter(any)


@relaxed
@given(st.data(), PACKETS, CUTS, st.integers(1, 400), st.booleans())
def test_frames_come_whole_and_in_order_and_junk_after_them_stays(
    data: st.DataObject, packet: int, cuts: list[int], buffer_size: int, at_once: bool
) -> None:
    sent = data.draw(st.lists(payloads(255 if packet == 1 else 700), max_size=12))
    whole = b"".join(framed(payload, packet) for payload in sent)
    # The start of one more frame, never all of it.
    unfinished = framed(data.draw(payloads(255)), packet)
    junk = unfinished[: data.draw(st.integers(0, len(unfinished) - 1))]
    reader = FrameReader(packet, buffer_size=buffer_size)
    got = []
    fed = 0
    for piece in pieces(whole + junk, cuts):
        reader.feed(piece)
        fed += len(piece)
        new = frames(reader, at_once)
        got += new
        # Nothing that is whole is held back, and nothing is lost.
        assert not reader.has_frame()
        assert fed - reader.pending() == sum(packet + len(payload) for payload in got)
    assert got == sent
    assert reader.pending() == len(junk)
    reader.feed(unfinished[len(junk) :])
    assert frames(reader) == [unfinished[packet:]]


@relaxed
@given(st.data(), PACKETS, CUTS, st.integers(1, 400))
def test_it_does_not_matter_whether_frames_are_fetched_as_they_come_or_at_the_end(
    data: st.DataObject, packet: int, cuts: list[int], buffer_size: int
) -> None:
    sent = data.draw(st.lists(payloads(255 if packet == 1 else 700), max_size=12))
    stream = b"".join(framed(payload, packet) for payload in sent)
    reader = FrameReader(packet, buffer_size=buffer_size)
    got = []
    for piece in pieces(stream, cuts):
        reader.feed(piece)
        if data.draw(st.booleans(), label="fetch one"):
            frame = reader.next_frame()
            if frame is not NEED_DATA:
                got.append(bytes(frame))  # type: ignore[arg-type]
    assert got + frames(reader) == sent


@relaxed
@given(st.data(), PACKETS, st.integers(1, 400))
def test_a_user_may_fill_the_buffer_with_any_part_of_what_it_has_room_for(
    data: st.DataObject, packet: int, buffer_size: int
) -> None:
    sent = data.draw(st.lists(payloads(255 if packet == 1 else 700), max_size=6))
    stream = b"".join(framed(payload, packet) for payload in sent)
    reader = FrameReader(packet, buffer_size=buffer_size)
    got = []
    while stream:
        target = reader.buffer()
        assert len(target) > 0
        count = min(data.draw(st.integers(1, len(target))), len(stream))
        target[:count] = stream[:count]
        reader.received(count)
        stream = stream[count:]
        got += frames(reader)
    assert got == sent


@relaxed
@given(st.data(), PACKETS, CUTS, st.integers(1, 400), st.integers(0, 200), st.booleans())
def test_a_frame_too_long_is_refused_at_the_same_place_however_the_stream_is_cut(
    data: st.DataObject, packet: int, cuts: list[int], buffer_size: int, limit: int, at_once: bool
) -> None:
    good = data.draw(st.lists(payloads(limit), max_size=5))
    excess = data.draw(st.integers(limit + 1, 255))
    stream = b"".join(framed(payload, packet) for payload in good) + framed(bytes(excess), packet)
    reader = FrameReader(packet, max_frame=limit, buffer_size=buffer_size)
    got = []
    refused = None
    for piece in pieces(stream, cuts):
        reader.feed(piece)
        try:
            while new := frames(reader, True) if at_once else fetched(reader):
                got += new
        except FrameTooLong as error:
            refused = error.length, error.maximum
            break
    assert refused == (excess, limit)
    assert reader.has_frame()
    assert got == good


@relaxed
@given(st.binary(max_size=2000), PACKETS, CUTS, st.integers(1, 64), st.booleans())
def test_any_bytes_are_frames_or_too_long_and_nothing_else(
    junk: bytes, packet: int, cuts: list[int], buffer_size: int, at_once: bool
) -> None:
    reader = FrameReader(packet, max_frame=300, buffer_size=buffer_size)
    got = b""
    try:
        for piece in pieces(junk, cuts):
            reader.feed(piece)
            got += b"".join(framed(frame, packet) for frame in frames(reader, at_once))
    except FrameTooLong:
        event("too long")
    else:
        assert len(got) + reader.pending() == len(junk)
    assert junk.startswith(got)


@pytest.mark.parametrize("packet", [2, 4])
@relaxed
@given(cuts=st.lists(st.integers(1, 100_000), min_size=1, max_size=4))
def test_frames_larger_than_the_buffer_come_whole(packet: int, cuts: list[int]) -> None:
    sent = [bytes([number]) * 65_000 for number in range(5)] + [b"", b"end"]
    reader = FrameReader(packet, buffer_size=4096)
    got = []
    for piece in pieces(b"".join(framed(payload, packet) for payload in sent), cuts):
        reader.feed(piece)
        got += frames(reader)
    assert got == sent
