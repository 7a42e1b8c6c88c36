"""``erlport.erlproto``: terms over two pipes, whatever the pieces they come in and however the other side goes away."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from dspex_erl.compat.erlport.erlproto import Port
from dspex_erl.errors import DecodeError, EncodeError, EncodeLimitError, FrameTooLong
from dspex_erl.etf import decode, encode
from dspex_erl.terms import ByteAtom, OpaqueObject


@dataclass
class Peer:
    """Erlang's end of a port's two pipes."""

    in_d: int
    out_d: int
    of_port: tuple[int, int]

    def send(self, data: bytes) -> None:
        assert os.write(self.out_d, data) == len(data)

    def send_term(self, term: object, packet: int = 4) -> None:
        data = encode(term)
        self.send(len(data).to_bytes(packet, "big") + data)

    def receive(self) -> bytes:
        return os.read(self.in_d, 65536)

    def hang_up(self) -> None:
        os.close(self.in_d)
        os.close(self.out_d)


@pytest.fixture
def peer() -> Iterator[Peer]:
    port_in, out_d = os.pipe()
    in_d, port_out = os.pipe()
    yield Peer(in_d, out_d, (port_in, port_out))
    for descriptor in (port_in, port_out, in_d, out_d):
        try:
            os.close(descriptor)
        except OSError:
            pass


@pytest.mark.parametrize(
    ("arguments", "descriptors"),
    [({}, (0, 1)), ({"use_stdio": True}, (0, 1)), ({"use_stdio": False}, (3, 4)), ({"descriptors": (10, 20)}, (10, 20))],
)
def test_descriptors(arguments: dict[str, Any], descriptors: tuple[int, int]) -> None:
    port = Port(**arguments)
    assert (port.in_d, port.out_d) == descriptors


@pytest.mark.parametrize("arguments", [{"packet": 0}, {"packet": 3}, {"buffer_size": 0}])
def test_impossible_arguments(arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Port(**arguments)


@pytest.mark.parametrize("packet", [1, 2, 4])
@pytest.mark.parametrize("buffer_size", [1, 7, 65536])
def test_terms_come_one_by_one(peer: Peer, packet: int, buffer_size: int) -> None:
    port = Port(packet, descriptors=peer.of_port, buffer_size=buffer_size)
    terms = [ByteAtom(b"test"), [1, [2]], b"x" * 100, None]
    for term in terms:
        peer.send_term(term, packet)
    assert [port.read() for _ in terms] == terms


@pytest.mark.parametrize("packet", [1, 2, 4])
def test_what_is_written(peer: Peer, packet: int) -> None:
    port = Port(packet, descriptors=peer.of_port)
    size = port.write((ByteAtom(b"ok"), 1))
    data = peer.receive()
    assert size == len(data)
    assert data[:packet] == (size - packet).to_bytes(packet, "big")
    assert decode(data[packet:]) == (ByteAtom(b"ok"), 1)


def test_compression(peer: Peer) -> None:
    port = Port(compressed=True, descriptors=peer.of_port)
    assert port.write([[]] * 1000) < 100
    data = peer.receive()
    assert data[4:6] == b"\x83P"
    peer.send(data)
    assert port.read() == [[]] * 1000


def test_a_frame_larger_than_the_pipe(peer: Peer) -> None:
    port = Port(descriptors=peer.of_port)
    term = b"x" * 1_000_000
    writer = threading.Thread(target=port.write, args=(term,))
    writer.start()
    data = b""
    while len(data) < 4 + len(encode(term)):
        data += peer.receive()
    writer.join()
    assert decode(data[4:]) == term


def test_frames_of_several_writers_are_not_mixed(peer: Peer) -> None:
    port = Port(descriptors=peer.of_port)
    terms = [bytes([letter]) * 200_000 for letter in b"abcd"]
    writers = [threading.Thread(target=port.write, args=(term,)) for term in terms]
    for writer in writers:
        writer.start()
    reading = Port(descriptors=(peer.in_d, peer.out_d))
    assert sorted(reading.read() for _ in terms) == terms
    for writer in writers:
        writer.join()


def test_frames_are_not_torn_between_several_readers(peer: Peer) -> None:
    port = Port(descriptors=peer.of_port, buffer_size=1)
    terms = [bytes([number]) * 200 for number in range(200)]
    # All that is sent fits into the pipe, and no reader can wait for ever: the stream ends after it.
    for term in terms:
        peer.send_term(term)
    peer.hang_up()
    got: list[object] = []

    def read_to_the_end() -> None:
        try:
            while True:
                got.append(port.read())
        except Exception as error:
            got.append(type(error))

    readers = [threading.Thread(target=read_to_the_end) for _ in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert got.count(EOFError) == len(readers)
    # A reader may be held up between a term and this list, so the order is not that of the terms.
    assert sorted(term for term in got if isinstance(term, bytes)) == terms


def test_what_does_not_fit_the_packet_is_not_begun(peer: Peer) -> None:
    port = Port(1, descriptors=peer.of_port)
    with pytest.raises(EncodeLimitError):
        port.write(b"x" * 300)
    with pytest.raises(EncodeError):
        port.write(object())
    port.write(1)
    assert peer.receive() == b"\x03\x83a\x01"


def test_a_bad_frame_spoils_no_other(peer: Peer) -> None:
    port = Port(1, descriptors=peer.of_port)
    peer.send(b"\x04\x83a\x01\x00\x02no\x03\x83a\x02")
    for _ in range(2):
        with pytest.raises(DecodeError):
            port.read()
    assert port.read() == 2


def test_a_length_beyond_the_limit(peer: Peer) -> None:
    port = Port(descriptors=peer.of_port)
    peer.send(b"\xff\xff\xff\xff")
    for _ in range(2):
        with pytest.raises(FrameTooLong):
            port.read()


def test_pickles_are_refused(peer: Peer) -> None:
    port = Port(descriptors=peer.of_port)
    peer.send_term(OpaqueObject(b"N.", ByteAtom(b"python")))
    with pytest.raises(DecodeError, match="allow_pickle"):
        port.read()


def test_the_other_side_hangs_up(peer: Peer) -> None:
    port = Port(descriptors=peer.of_port)
    peer.send(b"\0\0\0\x08half")
    peer.hang_up()
    with pytest.raises(EOFError):
        port.read()
    with pytest.raises(EOFError):
        port.write(1)


def test_closing(peer: Peer) -> None:
    port = Port(descriptors=peer.of_port)
    port.close()
    assert peer.receive() == b""
    with pytest.raises(BrokenPipeError):
        peer.send(b"data")


def test_a_closed_port_leaves_alone_who_got_its_descriptors(peer: Peer) -> None:
    port = Port(descriptors=peer.of_port)
    port.close()
    # The system gives out the lowest numbers that are free: these two, or as many others.
    reused = os.pipe()
    os.write(reused[1], b"\0\0\0\x03\x83a\x01")
    port.in_d, port.out_d = reused
    with pytest.raises(EOFError):
        port.read()
    with pytest.raises(EOFError):
        port.write(1)
    port.close()
    assert os.read(reused[0], 100) == b"\0\0\0\x03\x83a\x01"
    for descriptor in reused:
        os.close(descriptor)


def failing(error: OSError) -> Callable[..., Any]:
    def call(*_arguments: object) -> Any:
        raise error

    return call


# What the system does only at its worst is done for it: a write may take few bytes or none, and any call may fail.
@pytest.mark.parametrize(("number", "kind"), [(errno.EPIPE, EOFError), (errno.EIO, OSError)])
def test_failing_system_calls(monkeypatch: pytest.MonkeyPatch, peer: Peer, number: int, kind: type[Exception]) -> None:
    port = Port(descriptors=peer.of_port)
    with monkeypatch.context() as patch:
        patch.setattr(os, "read", failing(OSError(number, "")))
        with pytest.raises(kind):
            port.read()
        patch.setattr(os, "write", failing(OSError(number, "")))
        with pytest.raises(kind):
            port.write(1)
    port.write(1)
    assert peer.receive() == b"\0\0\0\x03\x83a\x01"


def test_a_write_that_takes_few_bytes(monkeypatch: pytest.MonkeyPatch, peer: Peer) -> None:
    port = Port(descriptors=peer.of_port)
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
    assert port.write(ByteAtom(b"test")) == 12
    assert peer.receive() == b"\0\0\0\x08\x83d\0\x04test"


def test_a_write_that_takes_none(monkeypatch: pytest.MonkeyPatch, peer: Peer) -> None:
    port = Port(descriptors=peer.of_port)
    monkeypatch.setattr(os, "write", lambda _descriptor, _data: 0)
    with pytest.raises(EOFError):
        port.write(1)
