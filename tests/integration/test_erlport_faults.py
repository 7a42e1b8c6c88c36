"""The faults that were found in stock ErlPort, each with the proof that this worker does not have it.

The numbers are those of the list *Found here* in the project's notes on ErlPort.
"""

import pickle
import struct
from pathlib import Path
from typing import Any

import pytest

from dspex_erl.errors import DecodeError, EncodeLimitError
from dspex_erl.etf import Codec
from dspex_erl.terms import Atom, ByteAtom, List, Map
from dspex_erl.wire import Call, HandlerFailure, Result, Send
from tests.peer import END, SELF, Peer, RemoteError, WorkerGone, text

MODES = pytest.mark.parametrize("mode", [[], ["--concurrency", "4"]], ids=["serial", "concurrent"])


def assert_works(peer: Peer) -> None:
    """The worker still answers, and correctly."""
    assert peer.call("operator", "add", [2, 2]) == 4


def assert_fails(peer: Peer, kind: str, module: str, function: str, args: list[Any]) -> RemoteError:
    """The call gets an error of that class, and the worker works on."""
    with pytest.raises(RemoteError) as caught:
        peer.call(module, function, args)
    assert caught.value.type == kind
    assert_works(peer)
    return caught.value


class Bomb:
    """Its pickle calls ``port_mod.unpickled`` when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return unpickled, (str(self.path),)


def unpickled(path: str) -> None:
    raise AssertionError("the test unpickled its own bomb")


def bomb(path: Path) -> bytes:
    return pickle.dumps(Bomb(path), protocol=2).replace(unpickled.__module__.encode(), b"port_mod")


@MODES
def test_fault_01_a_tuple_of_binaries_is_not_unpickled(mode: list[str], tmp_path: Path) -> None:
    evil = bomb(tmp_path / "evidence")
    assert b"port_mod\nunpickled\n" in evil
    with Peer(*mode) as peer:
        for value in ((b"$erlport.opaque", b"python", evil), [(b"$erlport.opaque", b"python", evil)]):
            assert peer.call("port_mod", "echo", [value]) == value
        error = assert_fails(
            peer, DecodeError.__module__ + ".DecodeError", "port_mod", "echo", [(Atom("$erlport.opaque"), Atom("python"), evil)]
        )
        assert "pickle" in error.message
    assert not (tmp_path / "evidence").exists()


def test_fault_01_the_bomb_is_live(tmp_path: Path) -> None:
    """What the test above throws does go off where pickles are allowed, so it proves something."""
    with Peer("--allow-pickle") as peer:
        peer.call("port_mod", "echo", [(Atom("$erlport.opaque"), Atom("python"), bomb(tmp_path / "evidence"))])
    assert (tmp_path / "evidence").read_text() == "unpickled"


def test_fault_02_lists_of_booleans_stay_booleans() -> None:
    with Peer() as peer:
        bools = peer.call("port_mod", "bools", [])
        assert [type(item) for item in bools] == [bool] * 3
        assert list(bools) == [True, False, True]
        mixed = peer.call("port_mod", "echo", [[True, 1, False, 0]])
        assert [type(item) for item in mixed] == [bool, int, bool, int]


def test_fault_02_a_number_is_the_same_alone_and_in_a_list() -> None:
    with Peer() as peer:
        two, true, plain = peer.call("port_mod", "numbers_in_disguise", [])
        assert (type(two), two) == (int, 2)
        assert true is True
        assert plain == 2
        assert peer.call("port_mod", "Number.TWO.__index__", []) == 2


@MODES
def test_fault_03_nan_and_infinities_are_atoms(mode: list[str]) -> None:
    with Peer(*mode) as peer:
        assert [text(item) for item in peer.call("port_mod", "floats", [])[:3]] == ["nan", "infinity", "neg_infinity"]
        assert text(peer.call("port_mod", "not_a_number", [])) == "nan"
        assert_works(peer)


def test_fault_03_nan_as_bits_is_refused() -> None:
    with Peer() as peer:
        data = Codec().encode((Atom("C"), 77, Atom("port_mod"), Atom("echo"), [1.5]))
        peer.write_frame(data.replace(struct.pack(">d", 1.5), struct.pack(">d", float("nan"))))
        peer.until_stderr("refused a call")
        assert_works(peer)


KEYS: list[list[Any]] = [
    [ByteAtom("a"), b"a"],
    [1, True],
    [1, 1.0],
    [0, False, 0.0],
    [(1, ByteAtom("a")), (1.0, b"a"), (True, b"a")],
    [Map({ByteAtom("a"): 1, 2: b"b", b"c": List([1.5])}), List([ByteAtom("a"), 1, b"x"])],
]


def map_bytes(keys: list[Any]) -> bytes:
    """A map with these keys, which no dict could hold, each with its position as value."""
    pairs = b"".join(Codec().encode(key)[1:] + b"a" + bytes([position]) for position, key in enumerate(keys))
    return b"t" + struct.pack(">I", len(keys)) + pairs


@pytest.mark.parametrize("keys", KEYS, ids=repr)
def test_fault_04_no_entry_of_a_map_is_lost(keys: list[Any]) -> None:
    with Peer(raw=True) as peer:
        mark = Codec().encode(b"the map")[1:]
        peer.write_frame(
            Codec().encode((Atom("C"), 1, Atom("port_mod"), Atom("echo"), [b"the map"])).replace(mark, map_bytes(keys))
        )
        got = peer.next_frame()
        assert got == Codec().encode((Atom("r"), 1, b"the map")).replace(mark, map_bytes(keys))


@MODES
def test_fault_05_a_call_to_erlang_that_is_never_answered_holds_up_nobody(mode: list[str]) -> None:
    with Peer(*mode, erlang=None, clean=False) as peer:
        peer.send_call("port_mod", "call_erlang", [Atom("m"), Atom("f"), []])
        assert isinstance(peer.receive(), Call)
        # What ErlPort's Erlang side sends instead of an answer when its call_timeout passes.
        peer.cast((Atom("EXIT"), SELF, Atom("timeout")))
        assert_works(peer)
        assert_works(peer)
        peer.close()
        peer.wait_until_all_are_gone(END)


def test_fault_05_messages_that_nobody_handles_are_ignored() -> None:
    with Peer() as peer:
        for _ in range(1000):
            peer.cast(Atom("tick"))
        assert_works(peer)


@MODES
def test_fault_06_a_call_that_its_caller_gave_up_is_answered_once_and_by_its_own_id(mode: list[str]) -> None:
    with Peer(*mode) as peer:
        peer.call("port_mod", "echo", [1])
        given_up = peer.send_call("port_mod", "take_about", [0.05])
        others = [peer.send_call("port_mod", "echo", [number]) for number in range(20)]
        assert [peer.answer(id) for id in others] == list(range(20))
        assert peer.answer(given_up) is True
        peer.close()
        assert peer.rest() == []


@MODES
def test_fault_07_an_error_in_a_message_handler_fails_no_other_call(mode: list[str]) -> None:
    with Peer(*mode) as peer:
        peer.call("port_mod", "fail_on_messages", [])
        ids = [peer.send_call("port_mod", "echo", [number]) for number in range(10)]
        peer.cast(1)
        ids += [peer.send_call("port_mod", "echo", [number]) for number in range(10, 20)]
        failure = peer.take(lambda event: isinstance(event, HandlerFailure), "the handler's failure")
        language, kind, message, trace = failure.error  # type: ignore[attr-defined]
        assert (text(language), text(kind), text(message)) == ("python", "port_mod.Custom", "the handler failed")
        assert len(trace) > 0
        assert [peer.answer(id) for id in ids] == list(range(20))
        assert "the message handler failed with Custom" in peer.stderr


@MODES
def test_fault_07_an_error_of_one_call_fails_no_other(mode: list[str]) -> None:
    with Peer(*mode) as peer:
        peer.call("port_mod", "echo", [1])
        ids = [peer.send_call("port_mod", *(("fail", [b"value"]) if number % 2 else ("echo", [number]))) for number in range(20)]
        for number, id in enumerate(ids):
            if number % 2:
                with pytest.raises(RemoteError, match="ValueError"):
                    peer.answer(id)
            else:
                assert peer.answer(id) == number


@MODES
@pytest.mark.parametrize("use_stdio", [True, False], ids=["stdio", "nouse_stdio"])
def test_fault_08_writes_to_descriptor_1_leave_the_wire_alone(mode: list[str], use_stdio: bool) -> None:
    with Peer(*mode, use_stdio=use_stdio) as peer:
        assert peer.call("port_mod", "write_behind_the_back") is True
        for wanted in ("from os.write", "from C", "from a child", "from __stdout__", "from a shell"):
            peer.until_stderr(wanted)
        assert_works(peer)


@MODES
def test_fault_08_reads_from_descriptor_0_take_nothing_off_the_wire(mode: list[str]) -> None:
    with Peer(*mode) as peer:
        peer.call("port_mod", "echo", [1])
        id = peer.send_call("port_mod", "read_behind_the_back")
        others = [peer.send_call("port_mod", "echo", [number]) for number in range(10)]
        assert peer.answer(id) == [b"", b""]
        assert [peer.answer(other) for other in others] == list(range(10))


def test_fault_08_stdout_is_a_whole_stream_that_tells_the_truth() -> None:
    with Peer(raw=True) as peer:

        def ask(function: str, args: list[Any]) -> list[tuple[str, Any]]:
            peer.write_frame(Codec().encode((Atom("C"), 1, Atom("port_mod"), Atom(function), args)))
            found = []
            while not found or found[-1][0] != "r":
                tag, *rest = Codec().decode(peer.next_frame())
                found.append((text(tag), rest[-1]))
            return found

        assert ask("about_stdout", [])[-1][1] == [False, 0, True, b"utf-8"]
        # One frame for a print.
        assert [(tag, text(value)) for tag, value in ask("say", [b"hello"])[:-1]] == [("P", "hello\n")]
        (bytes_printed, _) = ask("say_in_bytes", [])
        assert text(bytes_printed[1]) == "bytes \u2603 and \ufffd\n"


@MODES
def test_fault_09_a_background_thread_may_call_erlang(mode: list[str]) -> None:
    with Peer(*mode) as peer:
        for number in range(20):
            assert peer.call("port_mod", "call_erlang_in_the_background", [-number]) is True
            assert peer.call("port_mod", "background_result") == number
        assert peer.call("port_mod", "call_erlang_from_threads", [50]) == list(range(51))


@MODES
@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        (b"broken_str", "port_mod.BrokenStr", "BrokenStr"),
        (b"exiting_str", "port_mod.ExitingStr", "ExitingStr"),
        (b"number_str", "port_mod.NumberStr", "NumberStr"),
        (b"long_name", "port_mod." + "L" * 246, "long"),
        (b"wide_name", "port_mod." + "名" * 246, "wide"),
        (b"surrogate_name", "a\\ud800b.Odd", "odd"),
        (b"no_module", "None.Odd", "odd"),
        (b"surrogate_text", "builtins.ValueError", "a\\ud800b"),
        (b"long_text", "builtins.ValueError", "xxxx"),
    ],
)
def test_fault_10_an_exception_that_cannot_be_described_is_described(mode: list[str], name: bytes, kind: str, message: str) -> None:
    with Peer(*mode) as peer:
        error = assert_fails(peer, kind, "port_mod", "fail", [name])
        assert message in error.message
        assert len(error.message) <= 65536


@MODES
def test_fault_10_a_surrogate_is_printed_as_an_escape(mode: list[str]) -> None:
    with Peer(*mode) as peer:
        assert peer.call("port_mod", "say_surrogate") is True
        assert peer.printed == "a\\ud800b\n"
        # In ErlPort's mapping a text is a list of code points, of which a surrogate is one.
        assert peer.call("port_mod", "surrogate") == [97, 0xD800, 98]


def test_fault_10_a_surrogate_in_a_result_is_refused_as_str_too() -> None:
    with Peer("--strings", "str") as peer:
        assert_fails(peer, "dspex_erl.errors.EncodeError", "port_mod", "surrogate", [])


@MODES
@pytest.mark.parametrize("how", ["function", "method", "lambda", "more parameters", "builtin"])
def test_fault_11_anything_that_takes_one_argument_is_a_handler(mode: list[str], how: str) -> None:
    with Peer(*mode) as peer:
        assert peer.call("port_mod", "on_messages", [how.encode()]) is True
        peer.cast(5)
        ids = [peer.send_call("port_mod", "take_messages", [1])]
        expected = (ByteAtom("kept"), 5) if how == "method" else 5
        assert peer.answer(ids[0]) == [expected]


def test_fault_11_what_is_no_handler_is_refused_with_a_sentence() -> None:
    with Peer() as peer:
        for which in (b"message", b"encoder", b"decoder"):
            assert peer.call("port_mod", "set_bad_handler", [which]) is True


def test_fault_12_arguments_say_how_they_can_be_changed() -> None:
    with Peer() as peer:
        error = assert_fails(peer, "dspex_erl.terms._containers.MutationError", "port_mod", "change_the_arguments", [[5]])
        assert "copy it with list() or dict()" in error.message
        assert peer.call("port_mod", "copy_and_change_the_arguments", [[5]]) == [5, 1]


def test_fault_12_arguments_can_be_changed_in_our_mapping() -> None:
    with Peer("--strings", "str") as peer:
        assert peer.call("port_mod", "change_the_arguments", [[5]]) == [5, 1]


def test_fault_12_a_subclass_of_dict_is_a_map() -> None:
    with Peer() as peer:
        assert peer.call("port_mod", "subclass_of_dict") == {List([97]): 1}


@pytest.mark.parametrize(
    ("options", "mentions"),
    [
        (["--concurrency", "none"], ["--concurrency", "none"]),
        (["--concurrency", "0"], ["--concurrency", "0"]),
        (["--strings", "binary"], ["--strings", "binary", "bytes", "str"]),
        (["--max-frame", "-1"], ["--max-frame"]),
        (["--no-such-option"], ["--no-such-option"]),
    ],
    ids=" ".join,
)
def test_fault_13_wrong_options_are_refused_with_a_sentence_that_names_them(options: list[str], mentions: list[str]) -> None:
    with Peer(*options) as peer:
        assert peer.wait() == 2
        assert "Traceback" not in peer.stderr
        for mention in mentions:
            assert mention in peer.stderr


def test_fault_14_a_call_written_before_python_runs_is_answered() -> None:
    with Peer() as peer:
        # Popen returns before the interpreter has read a line of ours.
        assert_works(peer)


def test_fault_14_a_worker_that_cannot_start_ends_without_being_called() -> None:
    with Peer(python=["-m", "dspex_erl.no_such_module"]) as peer:
        assert peer.wait() == 1
        with pytest.raises(WorkerGone):
            peer.call("operator", "add", [2, 2])


@MODES
@pytest.mark.parametrize(("packet", "longest"), [(1, 255), (2, 65_535)])
def test_fault_15_a_result_that_does_not_fit_the_packet_is_an_error(mode: list[str], packet: int, longest: int) -> None:
    kind = "dspex_erl.errors.EncodeLimitError"
    fits = longest - len(Codec().encode((Atom("r"), 1, b"")))
    with Peer(*mode, packet=packet) as peer:
        assert peer.call("port_mod", "zeros", [fits]) == bytes(fits)
        error = assert_fails(peer, kind, "port_mod", "zeros", [longest])
        assert str(longest) in error.message
        # The description of an error must fit as well.
        assert assert_fails(peer, "builtins.ValueError", "port_mod", "fail", [b"long_text"]).message.strip("x") == ""
        # And so must what is printed.
        assert peer.call("port_mod", "say_times", ["\u2603".encode(), 1000]) is True
        assert peer.printed == "\u2603" * 1000 + "\n"
        with pytest.raises(EncodeLimitError):
            peer.send_call("port_mod", "size", [bytes(longest)])
        assert_works(peer)


@MODES
def test_fault_16_a_worker_ends_though_a_function_runs(mode: list[str]) -> None:
    with Peer(*mode, clean=False) as peer:
        peer.send_call("port_mod", "busy", [b"python"])
        assert isinstance(peer.receive(), Send)
        peer.close()
        peer.wait_until_all_are_gone(END)


def test_fault_17_no_path_has_to_lead_to_erlports_package(tmp_path: Path) -> None:
    """ErlPort's own directory, relative as its Erlang side gives it, leads nowhere once the worker runs in another one."""
    modules = Path(__file__).parent / "modules"
    (tmp_path / "lib" / "erlport").mkdir(parents=True)
    with Peer(cwd=tmp_path, python=["-c", "import erlport"], env={"PYTHONPATH": "lib/erlport-0.11.0/priv/python3"}) as peer:
        assert peer.wait() == 1
    with Peer(cwd=tmp_path) as peer:
        assert str(modules) not in str(tmp_path)
        assert peer.call("port_mod", "me") == SELF
        assert_works(peer)


@MODES
def test_fault_18_calls_nest_a_thousand_deep(mode: list[str]) -> None:
    levels = 1000
    with Peer(*mode, erlang=None) as peer:
        asked: list[int] = []
        waiting: list[int] = []
        for level in range(levels, 0, -1):
            asked.append(peer.send_call("port_mod", "nest", [Atom("m"), Atom("again"), [], level]))
            question = peer.take(lambda event: isinstance(event, Call), f"the question of level {level}")
            assert list(question.args) == [level - 1]  # type: ignore[attr-defined]
            waiting.append(question.id)  # type: ignore[attr-defined]
        # The deepest question needs no call.
        value = 0
        for id, question_id in zip(reversed(asked), reversed(waiting), strict=True):
            peer.send(Result(question_id, value))
            value = peer.answer(id)
        assert value == levels
        assert_works(peer)


@MODES
def test_fault_18_terms_nest_as_deep_as_the_limit_says(mode: list[str]) -> None:
    with Peer(*mode, codec={"max_depth": 2_000_000}) as peer:
        for depth in (600, 1000, 9000):
            value = peer.call("port_mod", "deep", [depth])
            assert peer.call("port_mod", "depth_of", [value]) == depth
        assert_fails(peer, "dspex_erl.errors.EncodeLimitError", "port_mod", "deep", [1_000_000])
        deep: list[Any] = []
        for _ in range(1_000_000):
            deep = [deep]
        assert_fails(peer, "dspex_erl.errors.DecodeLimitError", "port_mod", "depth_of", [deep])
