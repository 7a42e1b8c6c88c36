"""Frames: lengths of 1, 2 and 4 bytes, streams cut anywhere, and the limits."""

import pytest

from dspex_erl.errors import EncodeLimitError, FrameTooLong
from dspex_erl.wire.framing import BUFFER_SIZE, MAX_FRAME, NEED_DATA, FrameReader, NeedData, frame_header
from tests.wire_helpers import framed, frames

PACKETS = [1, 2, 4]
LONGEST = {1: 0xFF, 2: 0xFFFF, 4: 0xFFFFFFFF}


AT_ONCE = pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "at once"])


def fill(reader: FrameReader, data: bytes) -> int:
    """Writes as much of ``data`` as fits into the reader's own memory, as ``readv`` would. Returns how much that was."""
    target = reader.buffer()
    count = min(len(target), len(data))
    target[:count] = data[:count]
    reader.received(count)
    return count


def assert_too_long(reader: FrameReader, length: int, maximum: int) -> None:
    with pytest.raises(FrameTooLong) as caught:
        reader.next_frame()
    assert (caught.value.length, caught.value.maximum) == (length, maximum)
    assert str(caught.value) == f"expected a frame of at most {maximum} bytes (max_frame), got a length of {length}"
    assert caught.value.reason == "limit_exceeded"


# -- headers ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packet", PACKETS)
def test_a_header_is_the_length_big_endian(packet: int) -> None:
    for length in (0, 1, 0xFE, LONGEST[packet]):
        assert frame_header(length, packet) == length.to_bytes(packet, "big")


def test_a_header_has_four_bytes_if_nothing_is_said() -> None:
    assert frame_header(5) == b"\0\0\0\5"


@pytest.mark.parametrize("packet", PACKETS)
def test_a_length_that_does_not_fit_is_refused(packet: int) -> None:
    with pytest.raises(EncodeLimitError) as caught:
        frame_header(LONGEST[packet] + 1, packet)
    assert (caught.value.limit, caught.value.maximum) == ("packet", LONGEST[packet])
    assert str(LONGEST[packet] + 1) in str(caught.value)


@pytest.mark.parametrize("packet", [0, 3, 8, -1])
def test_other_sizes_of_header_are_refused(packet: int) -> None:
    with pytest.raises(ValueError, match="expected packet to be 1, 2 or 4"):
        frame_header(1, packet)
    with pytest.raises(ValueError, match="expected packet to be 1, 2 or 4"):
        FrameReader(packet)


def test_a_buffer_has_at_least_a_byte() -> None:
    with pytest.raises(ValueError, match="expected buffer_size to be at least 1, got 0"):
        FrameReader(buffer_size=0)


# -- reading ---------------------------------------------------------------------------------------------------------------------


def test_a_reader_without_bytes_needs_data() -> None:
    reader = FrameReader()
    assert reader.next_frame() is NEED_DATA
    assert not reader.has_frame()
    assert reader.pending() == 0
    assert repr(NEED_DATA) == "NEED_DATA"
    assert isinstance(NEED_DATA, NeedData)


@pytest.mark.parametrize("packet", PACKETS)
@pytest.mark.parametrize("payload", [b"", b"x", b"hello", bytes(255)], ids=["empty", "one byte", "word", "255 bytes"])
def test_a_whole_frame_is_given_out(packet: int, payload: bytes) -> None:
    reader = FrameReader(packet)
    reader.feed(framed(payload, packet))
    assert reader.has_frame()
    assert reader.pending() == packet + len(payload)
    assert reader.next_frame() == payload
    assert reader.next_frame() is NEED_DATA
    assert not reader.has_frame()
    assert reader.pending() == 0


@AT_ONCE
@pytest.mark.parametrize("packet", PACKETS)
def test_a_frame_that_comes_byte_by_byte_is_given_out_with_its_last(packet: int, at_once: bool) -> None:
    reader = FrameReader(packet)
    data = framed(b"hello", packet)
    for position, byte in enumerate(data):
        assert not reader.has_frame()
        assert reader.next_frame() is NEED_DATA
        assert reader.pending() == position
        reader.feed(bytes([byte]))
    assert reader.has_frame()
    assert frames(reader, at_once) == [b"hello"]


@AT_ONCE
@pytest.mark.parametrize("packet", PACKETS)
def test_what_follows_a_frame_stays_for_the_next(packet: int, at_once: bool) -> None:
    reader = FrameReader(packet)
    reader.feed(framed(b"a", packet) + framed(b"", packet) + framed(b"bc", packet)[:-1])
    assert frames(reader, at_once) == [b"a", b""]
    assert reader.pending() == packet + 1
    reader.feed(b"c")
    assert frames(reader, at_once) == [b"bc"]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_bytes_like_object_can_be_fed(kind: type) -> None:
    reader = FrameReader()
    reader.feed(kind(framed(b"hello")))
    assert frames(reader) == [b"hello"]


def test_a_small_frame_does_not_change_with_the_buffer() -> None:
    reader = FrameReader(buffer_size=16)
    reader.feed(framed(b"first"))
    first = reader.next_frame()
    reader.feed(framed(b"other"))
    assert reader.next_frame() == b"other"
    assert first == b"first"


@AT_ONCE
@pytest.mark.parametrize("size", [1, 5, 16, 4096, BUFFER_SIZE])
def test_the_buffer_may_be_filled_from_outside(size: int, at_once: bool) -> None:
    reader = FrameReader(buffer_size=size)
    payloads = [bytes([number % 256]) * (number * 7 % 300) for number in range(100)]
    stream = b"".join(map(framed, payloads))
    got = []
    while stream:
        assert len(reader.buffer()) > 0
        stream = stream[fill(reader, stream) :]
        got += frames(reader, at_once)
    assert got == payloads


@AT_ONCE
def test_a_buffer_that_is_full_of_whole_frames_grows(at_once: bool) -> None:
    reader = FrameReader(buffer_size=8)
    payloads = [bytes([number]) * 3 for number in range(50)]
    for payload in payloads:
        reader.feed(framed(payload))
    assert reader.pending() == 7 * 50
    assert frames(reader, at_once) == payloads


def test_a_buffer_is_used_again_from_its_start() -> None:
    reader = FrameReader(buffer_size=64)
    for number in range(1000):
        reader.feed(framed(bytes([number % 256]) * 11))
        assert len(frames(reader)) == 1
    assert len(reader.buffer()) == 64


@AT_ONCE
def test_a_frame_cut_by_the_end_of_the_buffer_moves_to_its_start(at_once: bool) -> None:
    reader = FrameReader(buffer_size=16)
    data = framed(b"1234567") + framed(b"abcdefgh")
    used = fill(reader, data)
    assert used == 16
    assert frames(reader, at_once) == [b"1234567"]
    fill(reader, data[used:])
    assert frames(reader, at_once) == [b"abcdefgh"]


# -- frames larger than the buffer -----------------------------------------------------------------------------------------------


@AT_ONCE
@pytest.mark.parametrize("packet", [2, 4])
@pytest.mark.parametrize("step", [1000, 65536, 10**9])
def test_a_large_frame_comes_in_pieces(packet: int, step: int, at_once: bool) -> None:
    payload = bytes(range(256)) * 255
    data = framed(payload, packet) + framed(b"after", packet)
    reader = FrameReader(packet, buffer_size=512)
    got = []
    for start in range(0, len(data), step):
        reader.feed(data[start : start + step])
        got += frames(reader, at_once)
    assert got == [payload, b"after"]
    assert reader.pending() == 0


@AT_ONCE
def test_a_large_frame_is_received_into_memory_of_its_own_size(at_once: bool) -> None:
    payload = bytes(1_000_000)
    reader = FrameReader(buffer_size=100)
    reader.feed(framed(payload)[:50])
    assert reader.next_frame() is NEED_DATA
    assert len(reader.buffer()) == 1_000_000 - 46
    assert not reader.has_frame()
    assert reader.pending() == 50
    rest = framed(payload)[50:]
    assert fill(reader, rest) == len(rest)
    assert reader.has_frame()
    assert reader.pending() == 1_000_004
    # Whole and not fetched yet: the next bytes belong to the next frame.
    reader.feed(framed(b"next"))
    assert frames(reader, at_once) == [payload, b"next"]


def test_a_large_frame_of_which_only_the_header_came() -> None:
    reader = FrameReader(buffer_size=8)
    reader.feed(framed(bytes(100))[:4])
    assert reader.next_frame() is NEED_DATA
    assert len(reader.buffer()) == 100


# -- frames too long -------------------------------------------------------------------------------------------------------------


def test_the_longest_frame_is_a_quarter_of_a_gigabyte_if_nothing_is_said() -> None:
    reader = FrameReader()
    reader.feed(frame_header(MAX_FRAME + 1))
    assert_too_long(reader, MAX_FRAME + 1, 256 * 1024 * 1024)


@AT_ONCE
def test_a_frame_of_the_longest_length_passes(at_once: bool) -> None:
    reader = FrameReader(max_frame=10)
    reader.feed(framed(bytes(10)))
    assert frames(reader, at_once) == [bytes(10)]


def test_a_length_beyond_the_limit_is_refused_before_anything_is_allocated() -> None:
    reader = FrameReader(max_frame=10)
    size = len(reader.buffer())
    reader.feed(frame_header(0xFFFFFFFF))
    assert_too_long(reader, 0xFFFFFFFF, 10)
    assert len(reader.buffer()) == size - 4


def test_a_length_beyond_the_limit_is_refused_for_good() -> None:
    reader = FrameReader(max_frame=10)
    reader.feed(framed(b"good") + frame_header(11))
    assert reader.next_frame() == b"good"
    for _ in range(3):
        assert reader.has_frame()
        assert_too_long(reader, 11, 10)
        reader.feed(b"more")


@pytest.mark.parametrize("came", range(12))
def test_a_frame_too_long_is_refused_however_much_of_it_came(came: int) -> None:
    reader = FrameReader(max_frame=10)
    reader.feed(framed(bytes(11))[: 4 + came])
    assert_too_long(reader, 11, 10)


def test_frames_before_one_too_long_come_first_at_once_too() -> None:
    reader = FrameReader(max_frame=10)
    reader.feed(framed(b"a") + framed(b"b") + framed(bytes(11)) + framed(b"c"))
    assert reader.frames() == [b"a", b"b"]
    for _ in range(2):
        with pytest.raises(FrameTooLong):
            reader.frames()


def test_a_single_frame_too_long_is_refused_at_once() -> None:
    reader = FrameReader(max_frame=10)
    reader.feed(framed(bytes(11)))
    with pytest.raises(FrameTooLong):
        reader.frames()


def test_frames_in_the_buffer_before_one_too_long_come_first_at_once() -> None:
    reader = FrameReader(max_frame=10)
    fill(reader, framed(b"a") + framed(b"b") + framed(bytes(11)))
    assert reader.frames() == [b"a", b"b"]
    with pytest.raises(FrameTooLong):
        reader.frames()


def test_what_was_fed_whole_may_be_followed_by_what_is_filled_in() -> None:
    reader = FrameReader(buffer_size=16)
    reader.feed(framed(b"first") + framed(b"second")[:5])
    assert reader.next_frame() == b"first"
    fill(reader, framed(b"second")[5:])
    assert frames(reader) == [b"second"]


def test_more_than_the_buffer_holds_may_be_fed_before_it_is_filled() -> None:
    reader = FrameReader(buffer_size=16)
    reader.feed(framed(b"x" * 10) * 20 + b"\0\0")
    fill(reader, b"\0\5h")
    fill(reader, b"ello")
    assert frames(reader) == [b"x" * 10] * 20 + [b"hello"]


def test_a_limit_below_what_fits_the_packet_holds_for_small_packets() -> None:
    reader = FrameReader(packet=1, max_frame=100)
    reader.feed(framed(bytes(101), 1))
    assert_too_long(reader, 101, 100)
