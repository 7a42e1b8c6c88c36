"""The Erlang side of a port, played from Python: starts a real worker as ErlPort does, and talks to it over real pipes.

::

    with Peer("--concurrency", "4") as peer:
        assert peer.call("operator", "add", [2, 2]) == 4

Nothing here sleeps. Every wait is for a condition, and gives up after :data:`PATIENCE` seconds, which the variable ``DSPEX_TEST_TIME``
scales for slow machines.
"""

import fcntl
import os
import select
import subprocess
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import dspex_erl
from dspex_erl.etf import Codec
from dspex_erl.terms import Atom, ByteAtom, List, Pid, Reference
from dspex_erl.wire import (
    ERLANG,
    NEED_DATA,
    Call,
    Connection,
    Event,
    Failure,
    FrameReader,
    HandlerFailure,
    Message,
    Output,
    Result,
    Send,
    frame_header,
)

TIME = float(os.environ.get("DSPEX_TEST_TIME", "1"))
"""One unit of time: what takes a second on an idle machine of today."""

PATIENCE = 30 * TIME
"""How long anything is waited for that ought to come at once."""

END = 4 * TIME
"""How long a worker may take to end: twice what is promised, because the machine has other tests to run."""

MODULES = Path(__file__).parent / "integration" / "modules"
"""What workers can import besides the installed packages."""

SELF = Pid(Atom("nonode@nohost"), 104, 0, 0)
"""The pid that a peer gives as its own."""


class RemoteError(Exception):
    """The worker answered with an error; ``error`` is the term."""

    def __init__(self, error: Any) -> None:
        super().__init__(error)
        self.error = error

    def __str__(self) -> str:
        if isinstance(self.error, tuple) and len(self.error) == 4:
            return f"{self.type}: {self.message[:1000]}\n{''.join(self.trace)}"
        return repr(self.error)

    @property
    def type(self) -> str:
        """The name of the exception's class, with its module."""
        return text(self.error[1])

    @property
    def message(self) -> str:
        return text(self.error[2])

    @property
    def trace(self) -> list[str]:
        """Innermost frame first."""
        return list(map(text, self.error[3]))


class ErlangError(Exception):
    """For an ``erlang`` callback to raise: what the worker gets for an answer is ``{e, Id, error}``."""

    def __init__(self, error: Any) -> None:
        super().__init__(error)
        self.error = error


class WorkerGone(Exception):
    """The worker closed its end while something was expected of it."""


class Deadline:
    """A moment until which one may wait."""

    def __init__(self, seconds: float | None, what: str) -> None:
        self._end = time.monotonic() + (PATIENCE if seconds is None else seconds)
        self._what = what

    def left(self) -> float:
        """The seconds left. Raises ``TimeoutError`` when there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"waited in vain for {self._what}")
        return left


def text(value: Any) -> str:
    """The text that an atom, a binary or a list of code points spells."""
    if isinstance(value, (Atom, ByteAtom)):
        return value.name
    if isinstance(value, bytes):
        return value.decode()
    return value if isinstance(value, str) else "".join(map(chr, value))


def atom(value: str | Atom | ByteAtom) -> Atom | ByteAtom:
    return value if isinstance(value, ByteAtom) else Atom(value)


def self_and_ref(module: str, function: str, args: list[Any]) -> Any:
    """What an Erlang side answers to ``erlang:self/0``, ``erlang:make_ref/0``, ``erlang:abs/1`` and ``erlang:error/1``."""
    if (module, function) == ("erlang", "self"):
        return SELF
    if (module, function) == ("erlang", "make_ref"):
        return Reference(Atom("nonode@nohost"), 0, (1, 2, 3))
    if (module, function) == ("erlang", "abs"):
        return abs(args[0])
    if (module, function) == ("erlang", "error"):
        raise ErlangError((Atom("erlang"), Atom("error"), args[0], []))
    raise ErlangError((Atom("erlang"), Atom("error"), Atom("undef"), []))


class Peer:
    """Starts a worker with ``options`` of ours and ErlPort's ``packet``, ``use_stdio``, ``compressed`` and ``buffer_size``.

    ``erlang(module, function, args)`` serves the worker's calls, with names as ``str``: it returns a value or raises
    :class:`ErlangError`. Without it such calls come out of :meth:`receive` for the test to answer. What the worker prints is collected
    in ``printed``. A ``raw`` peer reads whole frames by :meth:`next_frame` and understands none of them. ``clean`` says whether leaving the ``with`` block must find an exit status of 0 and no traceback on stderr;
    a test that has seen to the end itself by :meth:`wait` is left alone.
    """

    def __init__(
        self,
        *options: str,
        packet: int = 4,
        use_stdio: bool = True,
        compressed: int = 0,
        buffer_size: int = 65536,
        env: Mapping[str, str] | None = None,
        codec: Mapping[str, Any] | None = None,
        erlang: Callable[[str, str, list[Any]], Any] | None = self_and_ref,
        python: Sequence[str] = ("-m", "dspex_erl.port"),
        cwd: Path | None = None,
        raw: bool = False,
        clean: bool = True,
    ) -> None:
        self.erlang = erlang
        self.clean = clean
        self.printed = ""
        self.connection = Connection(
            ERLANG, Codec(**{"compressed": compressed, **(codec or {})}), packet=packet, buffer_size=buffer_size
        )
        self.packet = packet
        self._inbox: deque[Event] = deque()
        self._frames: deque[bytes] = deque()
        self._reader = FrameReader(packet) if raw else None
        self._marker = f"DSPEX_TEST_PEER={uuid.uuid4().hex}"
        self._ended = False
        self._waited = False
        command = [
            sys.executable,
            *python,
            *options,
            "-u",
            "-m",
            "erlport.cli",
            f"--packet={packet}",
            "--use_stdio" if use_stdio else "--nouse_stdio",
            f"--compressed={compressed}",
            f"--buffer_size={buffer_size}",
        ]
        self._start(command, use_stdio, env or {}, cwd)

    def _start(self, command: list[str], use_stdio: bool, env: Mapping[str, str], cwd: Path | None) -> None:
        their_read, write = os.pipe()
        read, their_write = os.pipe()
        # Out of the way of the numbers that the worker is to find them under.
        theirs = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 20) for fd in (their_read, their_write)]
        os.close(their_read)
        os.close(their_write)
        path = [str(MODULES), str(Path(dspex_erl.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        name, _, value = self._marker.partition("=")
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path)), name: value, **env}
        if use_stdio:
            places: dict[str, Any] = {"stdin": theirs[0], "stdout": theirs[1]}
        else:
            # As the BEAM starts a port with nouse_stdio: the pipes are 3 and 4, input is empty, output goes where errors go.
            script = 'exec 3<&"$0" 4>&"$1" 1>&2; shift; exec "$@"'
            command = ["bash", "-c", script, str(theirs[0]), str(theirs[1]), *command]
            places = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "pass_fds": theirs}
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, env=environ, cwd=cwd, **places)
        for fd in theirs:
            os.close(fd)
        self._read_fd: int | None = read
        self._write_fd: int | None = write
        os.set_blocking(write, False)
        self._stderr = bytearray()
        self._stderr_news = threading.Condition()
        self._stderr_over = False
        self._stderr_thread = threading.Thread(target=self._read_stderr, daemon=True)
        self._stderr_thread.start()

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self.close()
            if kind is None and self.clean and not self._waited:
                status = self.wait()
                assert status == 0, f"exit status {status}\n{self.stderr}"
                assert "Traceback" not in self.stderr, self.stderr
        finally:
            self.dispose()

    def dispose(self) -> None:
        """Ends whatever is still there, without a word."""
        self.close()
        for pid in self.processes():
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass
        self.process.kill()
        self.process.wait()
        self._stderr_thread.join()
        assert self.process.stderr is not None
        self.process.stderr.close()
        if self._read_fd is not None:
            os.close(self._read_fd)
            self._read_fd = None

    # -- sending -----------------------------------------------------------------------------------------------------------------

    def send(self, event: Event) -> None:
        self.write(b"".join(self.connection.send(event)))

    def write(self, data: bytes) -> None:
        """Writes any bytes, and reads meanwhile, so that two full pipes never wait for each other."""
        deadline = Deadline(None, f"the worker to read {len(data)} bytes")
        rest = memoryview(data)
        while rest:
            if self._write_fd is None:
                raise WorkerGone("the wire is closed")
            readers = [] if self._ended else [self._read_fd]
            readable, writable, _ = select.select(readers, [self._write_fd], [], deadline.left())
            if writable:
                try:
                    rest = rest[os.write(self._write_fd, rest) :]
                except BrokenPipeError:
                    raise WorkerGone(f"the worker reads no more\n{self.stderr}") from None
            if readable:
                self._read()

    def write_frame(self, payload: bytes) -> None:
        """A frame with anything in it."""
        self.write(frame_header(len(payload), self.packet) + payload)

    def send_call(self, module: str, function: str, args: Sequence[Any] = ()) -> int:
        """Asks, and does not wait. Returns the id."""
        id = self.connection.new_id()
        self.send(Call(id, atom(module), atom(function), list(args)))
        return id

    def cast(self, message: Any) -> None:
        self.send(Message(message))

    # -- receiving ---------------------------------------------------------------------------------------------------------------

    def call(self, module: str, function: str, args: Sequence[Any] = (), timeout: float | None = None) -> Any:
        """Asks and waits. Raises :class:`RemoteError` when the answer is one."""
        return self.answer(self.send_call(module, function, args), timeout)

    def answer(self, id: int, timeout: float | None = None) -> Any:
        """The answer to a call that was sent."""

        def is_answer(event: Event) -> bool:
            return isinstance(event, (Result, Failure)) and event.id == id

        event = self.take(is_answer, f"the answer to call {id}", timeout)
        if isinstance(event, Failure):
            raise RemoteError(event.error)
        return event.value  # type: ignore[attr-defined]

    def receive(self, timeout: float | None = None) -> Event:
        """The next event that was not for ``erlang`` or ``printed``."""
        return self.take(lambda _: True, "an event", timeout)

    def take(self, wanted: Callable[[Event], bool], what: str, timeout: float | None = None) -> Event:
        """The first event that is ``wanted``; the others stay."""
        deadline = Deadline(timeout, what)
        seen = 0
        while True:
            for position in range(seen, len(self._inbox)):
                event = self._inbox[position]
                if wanted(event):
                    del self._inbox[position]
                    return event
            # A callback may have taken something out meanwhile, and then all is looked at again.
            seen = len(self._inbox)
            before = list(self._inbox)
            self._pump(deadline, what)
            if list(self._inbox)[:seen] != before:
                seen = 0

    def until_printed(self, wanted: str) -> str:
        """Waits until the worker has printed ``wanted``; returns all that it has printed."""
        deadline = Deadline(None, f"{wanted!r} to be printed")
        while wanted not in self.printed:
            self._pump(deadline, f"{wanted!r} to be printed")
        return self.printed

    def next_frame(self, timeout: float | None = None) -> bytes:
        """What the next frame holds; for a ``raw`` peer."""
        deadline = Deadline(timeout, "a frame")
        while not self._frames:
            self._pump(deadline, "a frame")
        return self._frames.popleft()

    def rest(self) -> list[Event]:
        """Everything that still comes until the worker closes its end."""
        deadline = Deadline(None, "the worker to close its end")
        while not self._ended:
            self._wait_readable(deadline)
            self._read()
        found = list(self._inbox)
        self._inbox.clear()
        return found

    def _pump(self, deadline: Deadline, what: str) -> None:
        if self._ended:
            raise WorkerGone(f"waited for {what}, and the worker is gone\n{self.stderr}")
        self._wait_readable(deadline)
        self._read()

    def _wait_readable(self, deadline: Deadline) -> None:
        try:
            while not select.select([self._read_fd], [], [], deadline.left())[0]:
                pass
        except TimeoutError as error:
            raise TimeoutError(f"{error}\nstderr of the worker: {self.stderr}") from None

    def _read(self) -> None:
        assert self._read_fd is not None
        if self._reader is not None:
            data = os.read(self._read_fd, 65536)
            self._reader.feed(data)
            self._ended = not data
            while (frame := self._reader.next_frame()) is not NEED_DATA:
                self._frames.append(bytes(frame))  # type: ignore[arg-type]
            return
        count = os.readv(self._read_fd, [self.connection.buffer()])
        self.connection.received(count)
        self._ended = count == 0
        while (event := self.connection.next_event()) is not NEED_DATA:
            self._dispatch(event)  # type: ignore[arg-type]

    def _dispatch(self, event: Event) -> None:
        if isinstance(event, Output):
            self.printed += text(event.text)
        elif isinstance(event, Call) and self.erlang is not None:
            try:
                value = self.erlang(text(event.module), text(event.function), list(event.args))
            except ErlangError as error:
                self.send(Failure(event.id, error.error))
            else:
                self.send(Result(event.id, value))
        else:
            self._inbox.append(event)

    # -- stderr ------------------------------------------------------------------------------------------------------------------

    def _read_stderr(self) -> None:
        assert self.process.stderr is not None
        fd = self.process.stderr.fileno()
        os.set_blocking(fd, False)
        while not self._stderr_over:
            select.select([fd], [], [])
            self._take_stderr(fd)

    def _take_stderr(self, fd: int) -> None:
        """Takes in what is there; under the lock, so that nothing is on its way when somebody looks."""
        with self._stderr_news:
            try:
                while data := os.read(fd, 65536):
                    self._stderr += data
                self._stderr_over = True
            except BlockingIOError:
                pass
            self._stderr_news.notify_all()

    @property
    def stderr(self) -> str:
        """What has come on stderr so far."""
        with self._stderr_news:
            return self._stderr.decode(errors="backslashreplace")

    def until_stderr(self, wanted: str) -> str:
        """Waits until ``wanted`` has come on stderr; returns all that has come."""
        deadline = Deadline(None, f"{wanted!r} on stderr")
        with self._stderr_news:
            while wanted.encode() not in self._stderr:
                assert not self._stderr_over, f"{wanted!r} never came on stderr:\n{self._stderr.decode()}"
                self._stderr_news.wait(deadline.left())
        return self.stderr

    # -- the end -----------------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """The worker sees the end of the stream. May be called again."""
        if self._write_fd is not None:
            os.close(self._write_fd)
            self._write_fd = None

    def hang_up(self) -> None:
        """Both pipes at once, as when the BEAM is killed."""
        self.close()
        if self._read_fd is not None:
            os.close(self._read_fd)
            self._read_fd = None
            self._ended = True

    def kill(self, signal_number: int = 9) -> None:
        self.process.send_signal(signal_number)

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, or minus the signal. What the worker still writes meanwhile is taken in, and so is its stderr."""
        self._waited = True
        deadline = Deadline(timeout, "the worker to end")
        with pidfd(self.process.pid) as ended:
            while True:
                readers = [ended] if self._ended else [ended, self._read_fd]
                readable = select.select(readers, [], [], deadline.left())[0]
                if self._read_fd in readable and not self._ended:
                    self._read()
                elif ended in readable:
                    break
        status = self.process.wait()
        # Others may hold the other end still. What the worker wrote is there by now.
        assert self.process.stderr is not None
        self._take_stderr(self.process.stderr.fileno())
        return status

    def processes(self) -> list[int]:
        """The worker and all that it started, directly or not, and that still runs: whoever inherited a mark in its environment."""
        found = []
        for directory in Path("/proc").iterdir():
            if directory.name.isdigit():
                try:
                    environ = (directory / "environ").read_bytes()
                except OSError:
                    continue
                if self._marker.encode() in environ.split(b"\0"):
                    found.append(int(directory.name))
        return found

    def wait_until_all_are_gone(self, timeout: float = END) -> None:
        """Waits until the worker and everything that it started have ended."""
        deadline = Deadline(timeout, "every process of the worker to end")
        while found := self.processes():
            with pidfd(found[0]) as ended:
                if ended.valid:
                    while not select.select([ended], [], [], deadline.left())[0]:
                        pass
                if found[0] == self.process.pid:
                    self._waited = True
                    self.process.wait()


class pidfd:
    """A descriptor that becomes readable when a process ends."""

    def __init__(self, pid: int) -> None:
        try:
            self._fd = os.pidfd_open(pid)
        except ProcessLookupError:
            self._fd = -1
        self.valid = self._fd >= 0

    def __enter__(self) -> "pidfd":
        return self

    def __exit__(self, *_: object) -> None:
        if self.valid:
            os.close(self._fd)

    def fileno(self) -> int:
        return self._fd


def charlist(value: str) -> List:
    """A text as Erlang's lists have it."""
    return List(map(ord, value))


def answers(events: Sequence[Event]) -> Iterator[int]:
    """The ids of the answers among ``events``, in order."""
    return (event.id for event in events if isinstance(event, (Result, Failure)))


__all__ = [
    "END",
    "MODULES",
    "PATIENCE",
    "SELF",
    "TIME",
    "Deadline",
    "ErlangError",
    "HandlerFailure",
    "Peer",
    "RemoteError",
    "Send",
    "WorkerGone",
    "answers",
    "atom",
    "charlist",
    "self_and_ref",
    "text",
]
