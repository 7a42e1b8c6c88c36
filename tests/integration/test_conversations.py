"""What stock ErlPort's two sides once said to each other, replayed against our worker.

``erlport_conversations.jsonl`` holds the frames of ErlPort 0.11.0 (Erlang/OTP 25, CPython 3.11), scenario by scenario, in the order seen on
the pipe. Allowed to differ: the ids of calls that Python makes, the texts of tracebacks, how many frames a print takes, and which
of its two tags an atom has.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dspex_erl.etf import Codec
from dspex_erl.terms import Atom
from tests.peer import Peer, text

CODEC = Codec(max_depth=100_000)
RECORDED = Path(__file__).with_name("erlport_conversations.jsonl")
MARKER = b"$erlport.opaque"

OPTIONS: dict[str, dict[str, Any]] = {"compressed": {"compressed": 9}, "opaque_python_object": {}}
ARGUMENTS = {"opaque_python_object": ["--allow-pickle"]}


def conversations() -> dict[str, list[tuple[str, bytes]]]:
    found: dict[str, list[tuple[str, bytes]]] = {}
    for line in RECORDED.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        if "scenario" in entry:
            current = found.setdefault(entry["scenario"], [])
        else:
            current.append((entry["dir"], bytes.fromhex(entry["hex"])))
    return found


CONVERSATIONS = conversations()


def understood(payload: bytes) -> tuple[Any, ...]:
    """The message in a frame. Wrapped terms stay in their wrappers, which are given another name so that they are no wrappers."""
    compressed = payload[1:2] == b"P"
    term = CODEC.decode(payload if compressed else payload.replace(MARKER, MARKER.upper()))
    assert isinstance(term, tuple)
    return term


def exact(term: Any) -> bytes:
    """Bytes that are equal for equal terms only: Python thinks that 1, 1.0 and True are the same."""
    return CODEC.encode(term)


@dataclass
class Replay:
    """One conversation under way, with what is to be compared at its next step."""

    peer: Peer
    ids: dict[int, int] = field(default_factory=dict)
    printed: str = ""
    to_print: str = ""

    def to_python(self, payload: bytes) -> None:
        """Says what was recorded; an answer goes to the call that our side made in the place of the recorded one."""
        if payload[1:6] in (b"h\x03d\0\1", b"h\x03w\1r", b"h\x03w\1e"):
            start = 7 if payload[3:4] == b"d" else 6
            id, end = CODEC.decode_from(b"\x83" + payload[start:])
            payload = payload[:start] + CODEC.encode(self.ids.pop(id))[1:] + payload[start + end - 1 :]
        self.peer.write_frame(payload)

    def to_erlang(self, payload: bytes) -> None:
        """Compares what was recorded with what our side says."""
        expected = understood(payload)
        if text(expected[0]) == "P":
            self.to_print += text(expected[1])
            return
        while text((got := understood(self.peer.next_frame()))[0]) == "P":
            self.printed += text(got[1])
        assert self.printed == self.to_print
        tag = text(expected[0])
        assert (text(got[0]), len(got)) == (tag, len(expected)), got
        if tag == "C":
            self.ids[expected[1]] = got[1]
            assert exact(got[2:]) == exact(expected[2:])
        elif tag == "e":
            self.compare_errors(got, expected)
        else:
            assert exact(got) == exact(expected)

    def compare_errors(self, got: tuple[Any, ...], expected: tuple[Any, ...]) -> None:
        assert got[1] == expected[1]
        *described, trace = got[2]
        assert exact(described) == exact(list(expected[2][:3]))
        assert len(trace) > 0
        for frame in trace:
            assert "File " in text(frame)


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_recorded_conversation_goes_the_same_way(name: str) -> None:
    with Peer(*ARGUMENTS.get(name, []), raw=True, **OPTIONS.get(name, {})) as peer:
        replay = Replay(peer)
        for direction, payload in CONVERSATIONS[name]:
            getattr(replay, direction)(payload)
        assert replay.ids == {}
        assert replay.printed == replay.to_print


def test_all_scenarios_are_there() -> None:
    assert len(CONVERSATIONS) == 21
    assert sum(map(len, CONVERSATIONS.values())) == 252 - 21


def test_a_python_object_is_refused_unless_pickles_are_allowed() -> None:
    (_, make), _, (_, use), _ = CONVERSATIONS["opaque_python_object"]
    with Peer(raw=True) as peer:
        for payload, error, mention in ((make, "EncodeError", "golden_mod.Custom"), (use, "DecodeError", "pickle")):
            peer.write_frame(payload)
            tag, id, (language, kind, message, _) = understood(peer.next_frame())
            assert (text(tag), id, text(language)) == ("e", 1, "python")
            assert text(kind) == f"dspex_erl.errors.{error}"
            assert mention in text(message)
        peer.write_frame(CODEC.encode((Atom("C"), 1, Atom("golden_mod"), Atom("add"), [2, 2])))
        assert understood(peer.next_frame()) == (Atom("r").encode(), 1, 4)
