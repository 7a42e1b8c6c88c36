"""``erlport.stdio``: two files in the place of ``sys.stdin`` and ``sys.stdout``."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator

import pytest

from dspex_erl.compat.erlport.erlproto import Port
from dspex_erl.compat.erlport.stdio import RedirectedStdin, RedirectedStdout
from dspex_erl.terms import ByteAtom


@pytest.fixture
def port() -> Iterator[Port]:
    """One that reads what it wrote."""
    port = Port(descriptors=os.pipe())
    yield port
    port.close()


def test_each_write_is_one_message(port: Port) -> None:
    stdout = RedirectedStdout(port)
    size = stdout.write("grüße")
    assert size == port.write((ByteAtom(b"P"), "grüße"))
    stdout.writelines(line for line in ("da", "ta"))
    messages = [port.read() for _ in range(3)]
    assert [(kind, text.to_string()) for kind, text in messages] == [(b"P", "grüße"), (b"P", "grüße"), (b"P", "data")]
    assert isinstance(messages[0][0], ByteAtom)


def test_print(port: Port) -> None:
    stdout = RedirectedStdout(port)
    print("ready", file=stdout)
    assert [port.read()[1].to_string() for _ in range(2)] == ["ready", "\n"]


def test_text_only_and_nothing_of_it_sent(port: Port) -> None:
    stdout = RedirectedStdout(port)
    with pytest.raises(TypeError, match="expected text, got bytes"):
        stdout.write(b"data")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        stdout.writelines(["da", 1234])  # type: ignore[list-item]
    stdout.write("next")
    assert port.read()[1].to_string() == "next"


def test_closed_output_leaves_the_port_open(port: Port) -> None:
    stdout = RedirectedStdout(port)
    assert not stdout.closed
    stdout.close()
    stdout.close()
    assert stdout.closed
    for write in (lambda: stdout.write("data"), lambda: stdout.writelines(["da", "ta"]), stdout.flush):
        with pytest.raises(ValueError, match="closed"):
            write()
    port.write(1)
    assert port.read() == 1


def test_what_output_says_of_itself(port: Port) -> None:
    stdout = RedirectedStdout(port)
    assert (stdout.fileno(), stdout.isatty(), stdout.name, stdout.mode) == (1, True, "<stdout>", "w")
    assert (stdout.encoding, stdout.errors, stdout.newlines) == ("UTF-8", None, None)
    assert (stdout.readable(), stdout.writable(), stdout.seekable()) == (False, True, False)


def test_what_input_says_of_itself() -> None:
    stdin = RedirectedStdin()
    assert (stdin.fileno(), stdin.isatty(), stdin.name, stdin.mode) == (0, True, "<stdin>", "r")
    assert (stdin.encoding, stdin.errors, stdin.newlines, stdin.closed) == ("UTF-8", None, None, True)


@pytest.mark.parametrize(
    "use",
    [
        lambda file: file.read(),
        lambda file: file.readline(),
        lambda file: file.readlines(),
        lambda file: file.seek(0),
        lambda file: file.tell(),
        lambda file: file.truncate(),
    ],
)
def test_what_neither_file_can_do(port: Port, use: Callable[[io.TextIOBase], object]) -> None:
    with pytest.raises((OSError, ValueError)):
        use(RedirectedStdin())
    with pytest.raises(OSError, match=r".*"):
        use(RedirectedStdout(port))


def test_input_takes_nothing() -> None:
    stdin = RedirectedStdin()
    for write in (lambda: stdin.write("data"), lambda: stdin.writelines(["data"]), stdin.flush):
        with pytest.raises(ValueError, match=r".*"):
            write()
