"""A worker from its first call to its end: what may happen to one, and that nothing of it stays."""

import os
import signal
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from dspex_erl.etf import Codec
from dspex_erl.terms import Atom, ByteAtom, ImproperList
from dspex_erl.wire import Call, Event, Failure, HandlerFailure, Message, Result, Send, frame_header
from tests.peer import END, Peer, RemoteError, WorkerGone, answers, text

SERIAL: list[str] = []
CONCURRENT = ["--concurrency", "4"]
MODES = pytest.mark.parametrize("mode", [SERIAL, CONCURRENT], ids=["serial", "concurrent"])


def assert_works(peer: Peer) -> None:
    assert peer.call("operator", "add", [2, 2]) == 4


def warmed_up(peer: Peer) -> Peer:
    """With the module of the tests already imported."""
    assert peer.call("port_mod", "echo", [1]) == 1
    return peer


def begun(peer: Peer) -> None:
    """Waits until a call has said that it runs."""
    event = peer.take(lambda event: isinstance(event, Send), "a call to begin")
    assert text(event.destination) == "test"  # type: ignore[attr-defined]


def is_zombie(pid: int) -> bool:
    """Whether the process has ended, and only nobody has asked how."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


def assert_ends(peer: Peer) -> None:
    """Once the wire is gone the worker ends, and everything that it started ends with it."""
    peer.close()
    peer.wait_until_all_are_gone(END)


# -- the end of the wire ---------------------------------------------------------------------------------------------------------


@MODES
@pytest.mark.parametrize("use_stdio", [True, False], ids=["stdio", "nouse_stdio"])
def test_an_idle_worker_ends_with_the_wire(mode: list[str], use_stdio: bool) -> None:
    with Peer(*mode, use_stdio=use_stdio) as peer:
        assert_works(peer)
        peer.close()
        assert peer.wait(END) == 0
        assert peer.stderr == ""


@MODES
def test_a_worker_that_was_never_spoken_to_ends_with_the_wire(mode: list[str]) -> None:
    with Peer(*mode) as peer:
        peer.close()
        assert peer.wait() == 0
        assert peer.stderr == ""


@MODES
def test_calls_that_came_before_the_end_are_answered_once_at_most(mode: list[str]) -> None:
    with Peer(*mode) as peer:
        warmed_up(peer)
        ids = [peer.send_call("port_mod", "echo", [number]) for number in range(100)]
        peer.close()
        answered = list(answers(peer.rest()))
        assert len(set(answered)) == len(answered)
        assert set(answered) <= set(ids)
        assert peer.wait(END) == 0
        assert "Traceback" not in peer.stderr


@MODES
def test_a_worker_whose_peer_is_killed_ends(mode: list[str]) -> None:
    with Peer(*mode, clean=False) as peer:
        warmed_up(peer)
        for number in range(10):
            peer.send_call("port_mod", "echo", [number])
        peer.hang_up()
        peer.wait_until_all_are_gone()
        assert "Traceback" not in peer.stderr


@MODES
def test_a_worker_that_prints_to_nobody_ends(mode: list[str]) -> None:
    with Peer(*mode, clean=False) as peer:
        peer.send_call("port_mod", "print_for_ever")
        begun(peer)
        peer.hang_up()
        peer.wait_until_all_are_gone()


BUSY = ["python", "sum", "sleep", "regex", "power", "lock", "stubborn", "child", "threads"]


@MODES
@pytest.mark.parametrize("how", BUSY)
def test_a_busy_worker_ends_with_the_wire(mode: list[str], how: str) -> None:
    with Peer(*mode, clean=False) as peer:
        peer.send_call("port_mod", "busy", [how.encode()])
        begun(peer)
        assert_ends(peer)


@MODES
def test_a_worker_that_waits_for_erlang_ends_with_the_wire(mode: list[str]) -> None:
    with Peer(*mode, erlang=None, clean=False) as peer:
        peer.send_call("port_mod", "end_later")
        begun(peer)
        assert isinstance(peer.receive(), Call)
        peer.close()
        peer.until_stderr("ended by ConnectionLost")
        assert peer.wait(END) == 0
        assert "Traceback" not in peer.stderr


@MODES
def test_a_call_that_ends_after_the_wire_does_no_harm(mode: list[str]) -> None:
    with Peer(*mode) as peer:
        warmed_up(peer)
        peer.send_call("port_mod", "take_about", [0.2])
        peer.close()
        assert peer.wait(END) == 0
        assert "Traceback" not in peer.stderr


@MODES
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_children_end_with_the_worker(mode: list[str], busy: bool) -> None:
    with Peer(*mode, clean=False) as peer:
        children = peer.call("port_mod", "start_children")
        for child in children:
            os.kill(child, 0)
        if busy:
            peer.send_call("port_mod", "busy", [b"python"])
            begun(peer)
        assert_ends(peer)


@MODES
def test_children_end_with_a_worker_that_is_busy_in_c(mode: list[str]) -> None:
    with Peer(*mode, clean=False) as peer:
        peer.call("port_mod", "start_children")
        peer.send_call("port_mod", "busy", [b"sum"])
        begun(peer)
        assert_ends(peer)


@MODES
def test_a_thread_that_runs_on_does_not_keep_the_worker(mode: list[str]) -> None:
    with Peer(*mode, clean=False) as peer:
        assert peer.call("port_mod", "linger") is True
        assert_ends(peer)


@MODES
def test_nothing_stays_when_a_worker_is_killed(mode: list[str]) -> None:
    with Peer(*mode, clean=False) as peer:
        warmed_up(peer)
        peer.kill(signal.SIGKILL)
        assert peer.wait() == -signal.SIGKILL
        peer.wait_until_all_are_gone()
        with pytest.raises(WorkerGone):
            peer.call("operator", "add", [2, 2])


DEATHS = {
    "killed": lambda peer: peer.kill(signal.SIGKILL),
    "terminated": lambda peer: peer.kill(signal.SIGTERM),
    "left": lambda peer: peer.send_call("os", "_exit", [3]),
    "crashed": lambda peer: peer.send_call("os", "abort"),
}


@pytest.mark.parametrize("how", DEATHS)
def test_children_do_not_outlive_a_worker_however_it_went(how: str) -> None:
    with Peer(clean=False) as peer:
        children = [*peer.call("port_mod", "start_children"), *peer.call("port_mod", "start_hard_children")]
        for child in children:
            os.kill(child, 0)
        DEATHS[how](peer)
        assert peer.wait() != 0
        peer.wait_until_all_are_gone()
        assert [child for child in children if Path(f"/proc/{child}").exists() and not is_zombie(child)] == []


def test_what_a_worker_did_not_start_is_left_alone() -> None:
    with Peer(clean=False) as peer, Peer() as other, subprocess.Popen(["sleep", "1000"]) as child:
        assert_works(peer)
        assert_works(other)
        peer.kill(signal.SIGKILL)
        peer.wait_until_all_are_gone()
        assert_works(other)
        assert child.poll() is None
        child.kill()


# -- signals ---------------------------------------------------------------------------------------------------------------------


@MODES
def test_an_interrupt_does_not_end_an_idle_worker(mode: list[str]) -> None:
    with Peer(*mode) as peer:
        assert_works(peer)
        for _ in range(5):
            peer.kill(signal.SIGINT)
            assert_works(peer)
        assert peer.stderr == ""


@MODES
def test_an_interrupt_does_not_end_a_call(mode: list[str]) -> None:
    with Peer(*mode) as peer:
        id = warmed_up(peer).send_call("port_mod", "take_about", [0.2])
        waiting = peer.send_call("port_mod", "echo", [1])
        for _ in range(5):
            peer.kill(signal.SIGINT)
        assert peer.answer(id) is True
        assert peer.answer(waiting) == 1


INTERRUPTED_EARLY = """
import os, runpy, signal, sys

class Interrupter:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "dspex_erl.runtime":
            sys.meta_path.remove(Interrupter)
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupter)
runpy.run_module("dspex_erl.port", run_name="__main__", alter_sys=True)
"""


def test_an_interrupt_does_not_end_a_worker_that_is_starting() -> None:
    """It comes when the worker's own modules are about to be imported."""
    with Peer(python=["-c", INTERRUPTED_EARLY]) as peer:
        assert_works(peer)


def test_an_interrupt_still_ends_what_a_worker_starts() -> None:
    """Children inherit the ordinary way to die, and not a worker's deafness."""
    program = "import os, signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    with Peer() as peer:
        assert peer.call("subprocess", "getoutput", [f'{sys.executable} -c "{program}"'.encode()]) == list(map(ord, "True"))


# -- prints ----------------------------------------------------------------------------------------------------------------------


@MODES
@pytest.mark.parametrize("words", ["hello", "", "caf\u00e9 \u2603 \U0001f600", "two\nlines", "x" * 100_000])
def test_what_is_printed_comes_before_the_answer(mode: list[str], words: str) -> None:
    with Peer(*mode) as peer:
        for end in ("", "\n"):
            peer.printed = ""
            assert peer.call("port_mod", "say" if end else "say_without_end", [words.encode()]) is True
            assert peer.printed == words + end


def test_lines_come_in_order() -> None:
    with Peer() as peer:
        assert peer.call("port_mod", "say_a_lot", [5000]) == 5000
        assert peer.printed.splitlines() == [f"line {number}" for number in range(5000)]


@MODES
def test_lines_of_several_threads_stay_whole(mode: list[str]) -> None:
    with Peer(*mode) as peer:
        assert peer.call("port_mod", "start_background_prints", [50]) is True
        assert sorted(peer.printed.split("\n")) == sorted(["", *(f"thread {number}" for number in range(50))])


@MODES
def test_input_is_closed_and_says_so(mode: list[str]) -> None:
    with Peer(*mode) as peer:
        with pytest.raises(RemoteError):
            peer.call("port_mod", "read_input")
        assert_works(peer)


# -- errors ----------------------------------------------------------------------------------------------------------------------

ERRORS = {
    "value": ("builtins.ValueError", "no such thing: \u2603"),
    "custom": ("port_mod.Custom", "mine"),
    "exit": ("builtins.SystemExit", "3"),
    "interrupt": ("builtins.KeyboardInterrupt", ""),
    "generator_exit": ("builtins.GeneratorExit", ""),
    "base": ("builtins.BaseException", "base"),
    "eof": ("builtins.EOFError", ""),
    "memory": ("builtins.MemoryError", ""),
}


@MODES
@pytest.mark.parametrize("function", ["fail", "fail_later"])
@pytest.mark.parametrize("name", ERRORS)
def test_whatever_a_function_raises_is_an_answer(mode: list[str], function: str, name: str) -> None:
    with Peer(*mode) as peer:
        for _ in range(2):
            with pytest.raises(RemoteError) as caught:
                peer.call("port_mod", function, [name.encode()])
            assert (caught.value.type, caught.value.message) == ERRORS[name]
            assert caught.value.trace
        assert_works(peer)


def test_a_trace_begins_where_the_error_was_raised() -> None:
    with Peer() as peer:
        with pytest.raises(RemoteError) as caught:
            peer.call("port_mod", "fail_at_depth", [2])
        trace = caught.value.trace
        assert 'raise ValueError("down here")' in trace[0]
        assert sum("fail_at_depth" in frame for frame in trace) == 3


def test_a_trace_says_what_repeats_after_it() -> None:
    with Peer() as peer:
        with pytest.raises(RemoteError) as caught:
            peer.call("port_mod", "fail_at_depth", [50])
        lines = caught.value.trace
        (repeated,) = [number for number, line in enumerate(lines) if "Previous line repeated" in line]
        assert 'raise ValueError("down here")' in lines[0]
        assert all("fail_at_depth(levels - 1)" in line for line in lines[1:repeated])
        assert "fail_at_depth(levels - 1)" not in lines[repeated + 1]
        assert f"repeated {50 - (repeated - 1)} more times" in lines[repeated]


def test_a_message_grows_by_as_much_with_each_language_that_it_passes() -> None:
    """Python calls Erlang, which calls Python, and so on; at the bottom something fails."""
    lengths = []
    with Peer(erlang=None) as peer:
        for levels in range(1, 8):
            error: Any = (Atom("erlang"), Atom("error"), Atom("badarg"), [])
            for _ in range(levels):
                id = peer.send_call("port_mod", "call_erlang", [Atom("m"), Atom("f"), []])
                question = peer.receive()
                assert isinstance(question, Call)
                peer.send(Failure(question.id, error))
                with pytest.raises(RemoteError) as caught:
                    peer.answer(id)
                error = caught.value.error
            message = caught.value.message
            assert "badarg" in message
            lengths.append(len(message))
    steps = {after - before for before, after in zip(lengths, lengths[1:])}
    assert len(steps) == 1, lengths
    assert max(steps) < 10_000  # the trace of a level, whose length is that of some paths


@MODES
def test_endless_recursion_is_an_answer(mode: list[str]) -> None:
    with Peer(*mode) as peer:
        with pytest.raises(RemoteError) as caught:
            peer.call("port_mod", "recurse_for_ever")
        assert caught.value.type == "builtins.RecursionError"
        assert_works(peer)


@MODES
@pytest.mark.parametrize(
    ("module", "function", "kind"),
    [
        ("no_such_mod", "f", "builtins.ModuleNotFoundError"),
        ("no_such_mod.inner", "f", "builtins.ModuleNotFoundError"),
        ("", "f", "builtins.ValueError"),
        ("port_mod", "no_such_fun", "builtins.AttributeError"),
        ("port_mod", "", "builtins.AttributeError"),
        ("port_mod", "..", "builtins.AttributeError"),
        ("port_mod", "Shelf.label", "builtins.TypeError"),
        ("port_mod", "add", "builtins.TypeError"),
    ],
)
def test_names_that_lead_nowhere_are_errors(mode: list[str], module: str, function: str, kind: str) -> None:
    with Peer(*mode) as peer:
        with pytest.raises(RemoteError) as caught:
            peer.call(module, function)
        assert caught.value.type == kind
        assert_works(peer)


@pytest.mark.parametrize("function", ["nothing_like_it", "lock_inside"])
@pytest.mark.parametrize("strings", ["bytes", "str"])
def test_a_result_without_a_counterpart_is_an_error_that_says_where_it_is(function: str, strings: str) -> None:
    with Peer("--strings", strings) as peer:
        with pytest.raises(RemoteError) as caught:
            peer.call("port_mod", function)
        assert caught.value.type == "dspex_erl.errors.EncodeError"
        assert ("object" if function == "nothing_like_it" else "lock") in caught.value.message
        assert ("$[1]" if function == "lock_inside" else "$") in caught.value.message
        assert_works(peer)


# -- bad input -------------------------------------------------------------------------------------------------------------------


def with_nan(term: Any) -> bytes:
    return Codec().encode(term).replace(struct.pack(">d", 1.5), struct.pack(">d", float("nan")))


GARBAGE = {
    "nothing": b"",
    "text": b"hello, world",
    "cut": b"\x83h\x05d",
    "a number": Codec().encode(5),
    "unknown tag": Codec().encode((Atom("X"), 1, 2)),
    "a list": Codec().encode([Atom("C"), 1, Atom("m"), Atom("f"), []]),
    "a map": Codec().encode({0: Atom("M"), 1: 2}),
    "a call without an id": Codec().encode((Atom("C"), Atom("m"), Atom("f"), [])),
    "an answer to nothing": Codec().encode((Atom("r"), 1, 2)),
    "nan as a message": with_nan((Atom("M"), 1.5)),
    "Python's own message": Codec().encode((Atom("P"), b"text")),
}


@MODES
@pytest.mark.parametrize("name", GARBAGE)
def test_a_bad_frame_is_logged_and_the_worker_goes_on(mode: list[str], name: str) -> None:
    with Peer(*mode) as peer:
        for _ in range(3):
            peer.write_frame(GARBAGE[name])
        assert_works(peer)
        peer.close()
        assert peer.rest() == []
        assert peer.wait() == 0
        lines = peer.stderr.splitlines()
        assert len(lines) == 3
        for line in lines:
            assert "ignored a frame: expected " in line


BAD_CALLS = {
    "undecodable": (with_nan((Atom("C"), 700, Atom("m"), Atom("f"), [1.5])), "DecodeError"),
    "without arguments": (Codec().encode((Atom("C"), 700, Atom("m"), Atom("f"))), "RemoteProtocolError"),
    "module as a binary": (Codec().encode((Atom("C"), 700, b"m", Atom("f"), [])), "RemoteProtocolError"),
    "improper arguments": (Codec().encode((Atom("C"), 700, Atom("m"), Atom("f"), ImproperList([1], 2))), "RemoteProtocolError"),
}


@MODES
@pytest.mark.parametrize("name", BAD_CALLS)
def test_a_bad_call_is_answered(mode: list[str], name: str) -> None:
    payload, kind = BAD_CALLS[name]
    with Peer(*mode, raw=True) as peer:
        peer.write_frame(payload)
        tag, id, error = Codec().decode(peer.next_frame())
        assert (text(tag), id, text(error[1])) == ("e", 700, f"dspex_erl.errors.{kind}")
        peer.until_stderr("refused a call: expected ")


@MODES
def test_an_undecodable_answer_is_an_error_of_the_call_that_asked(mode: list[str]) -> None:
    with Peer(*mode, erlang=None) as peer:
        id = peer.send_call("port_mod", "call_erlang", [Atom("m"), Atom("f"), []])
        question = peer.receive()
        assert isinstance(question, Call)
        # The engine is told that it has answered; what the worker gets is something else.
        peer.connection.send(Result(question.id, None))
        peer.write_frame(with_nan((Atom("r"), question.id, 1.5)))
        with pytest.raises(RemoteError) as caught:
            peer.answer(id)
        assert caught.value.type == "dspex_erl.errors.DecodeError"
        assert_works(peer)


@MODES
def test_a_frame_too_long_ends_the_worker_with_one_sentence(mode: list[str]) -> None:
    with Peer(*mode, "--max-frame", "1000") as peer:
        assert peer.call("port_mod", "size", [bytes(900)]) == 900
        peer.write(frame_header(1001))
        assert peer.wait() == 1
        (line,) = peer.stderr.splitlines()
        assert "expected a frame of at most 1000 bytes" in line
        assert "got a length of 1001" in line


@MODES
def test_a_frame_too_long_ends_a_worker_that_is_busy(mode: list[str]) -> None:
    with Peer(*mode, "--max-frame", "1000", erlang=None) as peer:
        warmed_up(peer)
        peer.send_call("port_mod", "take_about", [0.1])
        peer.send_call("port_mod", "echo", [1])
        peer.write(frame_header(1001))
        assert peer.wait() == 1
        (line,) = peer.stderr.splitlines()
        assert "expected a frame of at most 1000 bytes" in line


@MODES
def test_calls_that_run_are_answered_when_a_frame_too_long_ends_the_worker(mode: list[str]) -> None:
    with Peer(*mode, "--max-frame", "1000", erlang=None) as peer:
        warmed_up(peer)
        running = [peer.send_call("port_mod", "begin_and_take_about", [0.1])]
        begun(peer)
        # More than there are places.
        running += [peer.send_call("port_mod", "begin_and_take_about", [0.01]) for _ in range(9)]
        peer.write(frame_header(1001))
        answered = [event for event in peer.rest() if isinstance(event, (Result, Failure))]
        assert sorted(event.id for event in answered) == sorted(running)
        assert all(isinstance(event, Result) for event in answered)
        assert peer.wait() == 1
        (line,) = peer.stderr.splitlines()
        assert "expected a frame of at most 1000 bytes" in line


def test_calls_that_wait_for_erlang_fail_when_a_frame_too_long_ends_the_worker() -> None:
    with Peer(*CONCURRENT, "--max-frame", "1000", erlang=None) as peer:
        warmed_up(peer)
        ids = [peer.send_call("port_mod", "call_erlang", [Atom("m"), Atom("f"), []]) for _ in range(3)]
        for _ in ids:
            peer.take(lambda event: isinstance(event, Call), "a question")
        peer.write(frame_header(1001))
        failures = [event for event in peer.rest() if isinstance(event, Failure)]
        assert sorted(event.id for event in failures) == sorted(ids)
        assert {text(event.error[1]) for event in failures} == {"dspex_erl.errors.ConnectionLost"}
        assert peer.wait() == 1
        (line,) = peer.stderr.splitlines()
        assert "expected a frame of at most 1000 bytes" in line


def test_the_only_call_that_waits_for_erlang_fails_when_a_frame_too_long_ends_the_worker() -> None:
    """Here the thread that finds out is the one that must answer."""
    with Peer(*CONCURRENT, "--max-frame", "1000", erlang=None) as peer:
        id = warmed_up(peer).send_call("port_mod", "call_erlang", [Atom("m"), Atom("f"), []])
        assert isinstance(peer.receive(), Call)
        peer.write(frame_header(1001))
        with pytest.raises(RemoteError) as caught:
            peer.answer(id)
        assert caught.value.type == "dspex_erl.errors.ConnectionLost"
        assert peer.wait() == 1


@pytest.mark.parametrize("how", ["sleep", "python", "threads"])
def test_calls_that_never_end_do_not_keep_a_worker_that_a_frame_too_long_ends(how: str) -> None:
    with Peer(*CONCURRENT, "--max-frame", "1000") as peer:
        peer.send_call("port_mod", "busy", [how.encode()])
        begun(peer)
        peer.write(frame_header(1001))
        assert peer.wait(END) == 1
        assert "expected a frame of at most 1000 bytes" in peer.stderr


@MODES
def test_a_thread_that_runs_on_does_not_keep_a_worker_that_a_frame_too_long_ends(mode: list[str]) -> None:
    with Peer(*mode, "--max-frame", "1000") as peer:
        assert peer.call("port_mod", "linger") is True
        peer.write(frame_header(1001))
        assert peer.wait(END) == 1


def test_a_compressed_bomb_is_refused_and_answered() -> None:
    with Peer("--max-frame", "100000", compressed=9) as peer:
        with pytest.raises(RemoteError) as caught:
            peer.call("port_mod", "size", [bytes(100_000_000)])
        assert caught.value.type == "dspex_erl.errors.DecodeLimitError"
        assert_works(peer)


@pytest.mark.parametrize(
    ("options", "argument"),
    [(["--max-depth", "10"], [[[[[[[[[[[[1]]]]]]]]]]]]), (["--max-atoms", "5"], list(map(Atom, "abcdefgh")))],
)
def test_limits_can_be_set(options: list[str], argument: Any) -> None:
    with Peer(*options) as peer:
        with pytest.raises(RemoteError) as caught:
            peer.call("port_mod", "echo", [argument])
        assert caught.value.type == "dspex_erl.errors.DecodeLimitError"
        assert_works(peer)


# -- shutdown --------------------------------------------------------------------------------------------------------------------


@MODES
def test_shutdown_says_so_and_ends_the_worker(mode: list[str]) -> None:
    with Peer(*mode) as peer:
        assert peer.call("dspex_erl", "shutdown") == {ByteAtom("status"): b"stopping"}
        assert peer.wait() == 0
        assert peer.stderr == ""


def test_shutdown_finishes_what_runs_and_refuses_what_comes() -> None:
    with Peer(*CONCURRENT) as peer:
        warmed_up(peer)
        running = [peer.send_call("port_mod", function, [number]) for number, function in enumerate(GATES)]
        for _ in running:
            begun(peer)
        assert peer.call("dspex_erl", "shutdown") == {ByteAtom("status"): b"stopping"}
        late = peer.send_call("operator", "add", [2, 2])
        with pytest.raises(RemoteError) as caught:
            peer.answer(late)
        assert caught.value.type == "dspex_erl.errors.WorkerStopping"
        peer.send(Message(Atom("open")))
        assert [peer.answer(id) for id in running] == list(range(len(GATES)))
        assert peer.wait() == 0


def test_shutdown_waits_for_calls_that_wait_for_erlang() -> None:
    with Peer(*CONCURRENT, erlang=None) as peer:
        warmed_up(peer)
        ids = [peer.send_call("port_mod", "call_erlang", [Atom("m"), Atom("f"), [number]]) for number in range(3)]
        questions = [peer.take(lambda event: isinstance(event, Call), "a question") for _ in ids]
        assert peer.call("dspex_erl", "shutdown") == {ByteAtom("status"): b"stopping"}
        for _ in range(100):
            with pytest.raises(RemoteError, match="WorkerStopping"):
                peer.call("operator", "add", [2, 2])
        for question in questions:
            peer.send(Result(question.id, question.args[0]))  # type: ignore[attr-defined]
        assert [peer.answer(id) for id in ids] == [0, 1, 2]
        assert peer.wait() == 0


GATES = ["wait_for_a_message", "wait_for_a_message_async"]


def test_shutdown_answers_what_came_before_it() -> None:
    with Peer() as peer:
        before = [peer.send_call("port_mod", "echo", [number]) for number in range(50)]
        stop = peer.send_call("dspex_erl", "shutdown")
        after = [peer.send_call("port_mod", "echo", [number]) for number in range(50)]
        events = {event.id: event for event in peer.rest() if isinstance(event, (Result, Failure))}
        assert all(isinstance(events[id], Result) for id in [*before, stop])
        # What came later was refused, or not even read.
        assert not any(isinstance(events.get(id), Result) for id in after)
        assert peer.wait() == 0


@MODES
def test_a_running_call_may_use_erlang_while_the_worker_stops(mode: list[str]) -> None:
    with Peer(*mode) as peer:
        assert peer.call("port_mod", "shut_down_and_call_erlang", [-5]) == 5
        assert peer.wait() == 0


def test_shutdown_outside_a_worker_is_an_error() -> None:
    program = "import dspex_erl\ntry: dspex_erl.shutdown()\nexcept dspex_erl.errors.WorkerError as error: print(error)"
    run = subprocess.run([sys.executable, "-c", "import dspex_erl.errors\n" + program], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("expected ")


# -- one at a time ---------------------------------------------------------------------------------------------------------------


def test_serial_calls_run_in_order_on_the_main_thread() -> None:
    with Peer() as peer:
        ids = [peer.send_call("port_mod", "note", [number]) for number in range(200)]
        order = peer.send_call("port_mod", "noted")
        main = peer.send_call("port_mod", "thread_is_main")
        assert peer.answer(order) == list(range(200))
        assert peer.answer(main) is True
        assert [peer.answer(id) for id in ids] == list(range(200))


def test_serial_answers_come_in_order() -> None:
    with Peer() as peer:
        ids = [peer.send_call("port_mod", "take_about", [0.003 * (number % 3)]) for number in range(60)]
        assert list(answers(take_all(peer, 60))) == ids


def test_serial_coroutines_run_in_order() -> None:
    with Peer() as peer:
        ids = [peer.send_call("port_mod", "echo_async", [number]) for number in range(50)]
        assert [peer.answer(id) for id in ids] == list(range(50))


def test_messages_and_calls_are_taken_in_order() -> None:
    with Peer() as peer:
        peer.call("port_mod", "on_messages", [b"function"])
        for number in range(100):
            peer.cast(number)
        assert peer.call("port_mod", "take_messages", [100]) == list(range(100))


@MODES
def test_calls_that_last_about_a_tick_are_all_answered(mode: list[str]) -> None:
    """Between one millisecond and two the worker changes who reads: thousands of chances to lose somebody."""
    with Peer(*mode) as peer:
        warmed_up(peer)
        for number in range(300):
            ids = [peer.send_call("port_mod", "take_about", [0.0005 + 0.0005 * (number % 5)]) for _ in range(1 + number % 3)]
            assert all(peer.answer(id) for id in ids)


@MODES
def test_calls_back_that_last_about_a_tick_are_all_answered(mode: list[str]) -> None:
    with Peer(*mode, erlang=None) as peer:
        warmed_up(peer)
        for number in range(200):
            id = peer.send_call("port_mod", "call_erlang", [Atom("m"), Atom("f"), [number]])
            question = peer.take(lambda event: isinstance(event, Call), "a question")
            if number % 2:
                # A call in between, which a serial worker serves nested.
                assert peer.call("port_mod", "take_about", [0.0005 * (number % 7)]) is True
            peer.send(Result(question.id, number))  # type: ignore[attr-defined]
            assert peer.answer(id) == number


@MODES
def test_more_than_the_pipes_hold_goes_both_ways(mode: list[str]) -> None:
    with Peer(*mode) as peer:
        warmed_up(peer)
        datas = [bytes([number]) * (256 * 1024) for number in range(50)]
        ids = [peer.send_call("port_mod", "echo", [data]) for data in datas]
        for id, data in zip(ids, datas, strict=True):
            assert peer.answer(id) == data


@MODES
def test_a_backlog_of_many_small_calls_is_answered(mode: list[str]) -> None:
    with Peer(*mode) as peer:
        slow = peer.send_call("port_mod", "take_about", [0.1])
        ids = [peer.send_call("operator", "add", [number, 1]) for number in range(25_000)]
        assert peer.answer(slow) is True
        got = {event.id: event.value for event in take_all(peer, len(ids))}  # type: ignore[attr-defined]
        assert [got[id] for id in ids] == [number + 1 for number in range(25_000)]


def take_all(peer: Peer, count: int) -> Sequence[Event]:
    return [peer.receive() for _ in range(count)]


# -- many at once ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", ["meet", "meet_async"])
def test_thirty_two_calls_run_at_once(function: str) -> None:
    with Peer("--concurrency", "32") as peer:
        warmed_up(peer)
        ids = [peer.send_call("port_mod", function, [32]) for _ in range(32)]
        assert all(peer.answer(id) for id in ids)


@pytest.mark.parametrize("concurrency", [2, 3, 10])
def test_as_many_calls_run_at_once_as_were_asked_for(concurrency: int) -> None:
    with Peer("--concurrency", str(concurrency)) as peer:
        warmed_up(peer)
        for _ in range(3):
            ids = [peer.send_call("port_mod", "meet", [concurrency]) for _ in range(4 * concurrency)]
            assert all(peer.answer(id) for id in ids)


def test_no_more_calls_run_at_once_than_were_asked_for() -> None:
    with Peer("--concurrency", "3") as peer:
        warmed_up(peer)
        ids = [peer.send_call("port_mod", "count_in", []) for _ in range(50)]
        assert max(peer.answer(id) for id in ids) <= 3


@pytest.mark.parametrize("gate", ["wait_at_the_gate", "wait_at_the_gate_async"])
def test_answers_come_out_of_order(gate: str) -> None:
    with Peer("--concurrency", "8") as peer:
        warmed_up(peer)
        waiting = [peer.send_call("port_mod", gate, [number]) for number in range(5)]
        for _ in waiting:
            begun(peer)
        quick = [peer.send_call("port_mod", "echo", [number]) for number in range(100)]
        assert [peer.answer(id) for id in quick] == list(range(100))
        assert peer.call("port_mod", "open_the_gate") is True
        assert [peer.answer(id) for id in waiting] == list(range(5))


def test_first_calls_into_one_module_may_come_at_once() -> None:
    with Peer("--concurrency", "8") as peer:
        ids = [peer.send_call("slow_mod", "answer") for _ in range(50)]
        assert [peer.answer(id) for id in ids] == [42] * 50


@MODES
def test_background_threads_call_erlang_while_calls_run(mode: list[str]) -> None:
    with Peer(*mode) as peer:
        warmed_up(peer)
        for _ in range(10):
            ids = [peer.send_call("port_mod", "call_erlang_from_threads", [10]) for _ in range(3)]
            others = [peer.send_call("port_mod", "echo", [number]) for number in range(20)]
            assert all(peer.answer(id) == list(range(11)) for id in ids)
            assert [peer.answer(id) for id in others] == list(range(20))


def test_concurrent_calls_call_erlang() -> None:
    with Peer("--concurrency", "8") as peer:
        warmed_up(peer)
        ids = [peer.send_call("port_mod", "call_erlang", [Atom("erlang"), Atom("abs"), [-number]]) for number in range(500)]
        assert [peer.answer(id) for id in ids] == list(range(500))


def test_more_calls_wait_for_erlang_than_there_are_places() -> None:
    """Whoever waits for Erlang leaves its place to others, or nested calls could never be served."""
    with Peer("--concurrency", "2", erlang=None) as peer:
        warmed_up(peer)
        ids = [peer.send_call("port_mod", "call_erlang", [Atom("m"), Atom("f"), [number]]) for number in range(20)]
        questions = [peer.take(lambda event: isinstance(event, Call), "a question") for _ in ids]
        assert_works(peer)
        for question in reversed(questions):
            peer.send(Result(question.id, question.args[0]))  # type: ignore[attr-defined]
        assert [peer.answer(id) for id in ids] == list(range(20))


def test_coroutines_call_erlang() -> None:
    with Peer("--concurrency", "4") as peer:
        warmed_up(peer)
        ids = [peer.send_call("port_mod", "call_erlang_async", [-number]) for number in range(50)]
        assert [peer.answer(id) for id in ids] == list(range(50))


@MODES
def test_handlers_that_fail_are_reported_each_time(mode: list[str]) -> None:
    with Peer(*mode) as peer:
        peer.call("port_mod", "fail_on_messages")
        for number in range(5):
            peer.cast(number)
        for _ in range(5):
            assert isinstance(peer.receive(), HandlerFailure)
        assert_works(peer)


@MODES
def test_garbage_is_collected(mode: list[str]) -> None:
    """It is not while a worker starts."""
    with Peer(*mode) as peer:
        assert peer.call("gc", "isenabled") is True


# -- its place in the world ------------------------------------------------------------------------------------------------------


def test_children_inherit_nothing_of_the_wire() -> None:
    with Peer() as peer:
        own = {os.readlink(f"/proc/{peer.process.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{peer.process.pid}/fd")}
        theirs = peer.call("port_mod", "descriptors_of_a_child")
        wire = {f"pipe:[{os.fstat(fd).st_ino}]" for fd in (peer._read_fd, peer._write_fd) if fd is not None}
        assert wire <= own
        assert not wire & set(map(text, theirs))


def test_the_worker_needs_no_stderr() -> None:
    with Peer(
        python=[
            "-c",
            "import os, sys; os.close(2); os.execv(sys.executable, [sys.executable, '-m', 'dspex_erl.port', *sys.argv[1:]])",
        ]
    ) as peer:
        assert_works(peer)
        assert peer.call("port_mod", "write_behind_the_back") is True
        assert_works(peer)


@pytest.mark.parametrize(
    "python", [["-m", "dspex_erl.port"], ["-u", "-m", "dspex_erl.port"], ["-B", "-X", "utf8", "-m", "dspex_erl.port"]]
)
def test_the_interpreters_own_options_do_no_harm(python: list[str]) -> None:
    with Peer(python=python) as peer:
        assert_works(peer)


@pytest.mark.parametrize("size", [1, 7, 1000, 10_000_000])
def test_any_buffer_size_will_do(size: int) -> None:
    data = bytes(range(256)) * 100
    with Peer(buffer_size=size) as peer:
        assert peer.call("port_mod", "echo", [data]) == data


@pytest.mark.parametrize("environment", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C"}, {"PYTHONUTF8": "0", "LANG": "C"}], ids=str)
def test_prints_do_not_depend_on_the_locale(environment: dict[str, str]) -> None:
    with Peer(env=environment) as peer:
        assert peer.call("port_mod", "say", ["caf\u00e9 \u2603".encode()]) is True
        assert peer.printed == "caf\u00e9 \u2603\n"
