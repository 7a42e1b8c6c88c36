"""The worker as a process: its descriptors, its signals, and its end.

* The wire is moved to high descriptors that children do not inherit, and descriptor 1 becomes the same as stderr. Whatever a subprocess
  or a C library prints cannot reach the wire.
* The *guard* is a forked child that does nothing but wait for the wire's end. When that comes and the worker is still there after
  :data:`GUARD_SECONDS`, it kills the worker with all its children. Unlike a thread it works when a call in C never lets go of the
  interpreter's lock, and when the worker is stopped by a signal. It sees only the hang-up and never takes a byte off the wire.
* When the worker is gone, however it went, the guard kills what the worker has left behind. The dead have no children that could be looked
  up, so these are known by two marks that they inherit: the session (of processes), which is the worker's own, and a variable of the
  environment. Only a process that has changed both is not found.
"""

from __future__ import annotations

import os
import sys
from time import monotonic_ns, sleep

from dspex_erl.runtime.scheduler import GRACE_SECONDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Iterator
    from typing import NoReturn
else:
    # What signal itself is made of. It adds enumerations, which take a quarter as long to import as Python to start.
    import _signal as signal

__all__ = ["descendants", "end_now", "guard", "kill_descendants", "take_wire"]

GUARD_SECONDS = GRACE_SECONDS + 0.5
"""How long after the end of the wire the guard strikes: after the worker had its own chance, and within the promised 2 s."""

_HIGH = 64
"""Descriptors from here on are unlikely to be named by anybody's code."""

MARK = "DSPEX_ERL_WORKER"
"""The variable by which the worker's descendants are known."""

_ROUNDS = 10
"""How often the guard looks for what a worker has left: while some are killed, others may be starting yet more."""

_guard_pid = 0


def take_wire(read_fd: int, write_fd: int) -> tuple[int, int]:
    """Moves the wire away from ``read_fd`` and ``write_fd``, and returns its new descriptors for reading and writing."""
    taken = _high_copy(read_fd), _high_copy(write_fd)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    if read_fd > 2:
        os.close(read_fd)
        os.close(write_fd)
    try:
        os.dup2(2, 1)
    except OSError:
        # Started without stderr.
        os.dup2(null, 1)
        os.dup2(null, 2)
    os.close(null)
    return taken


def _high_copy(fd: int) -> int:
    # As F_DUPFD_CLOEXEC would do it, without loading the library that knows of it. There is one thread, so nobody comes between.
    copy = _HIGH
    while True:
        try:
            os.fstat(copy)
        except OSError:
            return os.dup2(fd, copy, inheritable=False)
        copy += 1


def guard(read_fd: int) -> None:
    """Starts the guard over the wire's reading end. The calling process must have one thread."""
    global _guard_pid
    alive_read, alive_write = os.pipe()
    worker = os.getpid()
    mark = _make_marks(worker)
    pid = os.fork()
    if pid:
        os.close(alive_read)
        # Held open, never written to: it closes when the worker is gone.
        _guard_pid = pid
        return
    try:
        os.close(alive_write)
        if not _stand_guard(read_fd, _alive_fd(worker, alive_read)):
            _kill_worker(worker)
        while os.getppid() == worker:
            # It has closed the pipe and lives on, or is just about to go.
            sleep(0.01)
        _kill_kin(worker if os.getsid(0) == worker else 0, mark)
    finally:
        os._exit(0)


def _make_marks(worker: int) -> bytes:
    """Gives the worker a session of its own, if it has none, and the variable :data:`MARK`; returns that as it is in an environment."""
    try:
        os.setsid()
    except PermissionError:
        # It leads a group already: of its own session, as behind Erlang's ports, or of another, whose processes are not ours.
        pass
    # The number alone may have been another worker's before.
    os.environ[MARK] = f"{worker}.{monotonic_ns()}"
    return os.fsencode(f"{MARK}={os.environ[MARK]}")


def _alive_fd(worker: int, pipe_fd: int) -> int:
    """A descriptor that has news when the worker is gone."""
    if hasattr(os, "pidfd_open"):
        try:
            return os.pidfd_open(worker)
        except OSError:
            pass
    # Not as good: children that were forked and nothing else hold the other end open, too.
    return pipe_fd


def _stand_guard(read_fd: int, alive_fd: int) -> bool:
    """Returns when the worker is gone (true), or has outlived the wire for too long (false)."""
    # In the guard only, whose start nobody waits for.
    import select

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Everything else is closed, or the guard would keep pipes open that others wait to see closed.
    kept = sorted((read_fd, alive_fd))
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.closerange(3, kept[0])
    os.closerange(kept[0] + 1, kept[1])
    os.closerange(kept[1] + 1, 65536)
    poll = select.poll()
    poll.register(read_fd, getattr(select, "POLLRDHUP", 0))
    poll.register(alive_fd, select.POLLIN)
    if alive_fd in {fd for fd, _ in poll.poll()}:
        return True
    poll.unregister(read_fd)
    return bool(poll.poll(GUARD_SECONDS * 1000))


def _kill_worker(worker: int) -> None:
    """Kills the worker and what is below it."""
    try:
        # Stopped first, so that it cannot have children while they are counted.
        os.kill(worker, signal.SIGSTOP)
        kill_descendants(worker)
        os.kill(worker, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _kill_kin(session: int, mark: bytes) -> None:
    """Kills whatever bears one of the marks; ``session`` 0 is none. Linux only; elsewhere nothing is found."""
    for _ in range(_ROUNDS):
        kin = [pid for pid, fields in _processes() if int(fields[3]) == session or _is_marked(pid, mark)]
        if not _kill_all(kin):
            return


def _is_marked(pid: int, mark: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return mark in file.read().split(b"\0")
    except OSError:
        return False


def _processes() -> Iterator[tuple[int, list[bytes]]]:
    """Every process that has not ended, with the fields of its ``stat`` from the state on: state, parent, group, session, …"""
    try:
        names = os.listdir("/proc")
    except OSError:
        return
    for name in names:
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    # The second field is the command in parentheses, and may hold anything, parentheses included.
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
            if len(fields) > 3 and fields[0] not in (b"Z", b"X"):
                yield int(name), fields


def descendants(pid: int) -> list[int]:
    """The processes below ``pid``, nearest first. Linux only; elsewhere there are none to be found."""
    children: dict[int, list[int]] = {}
    for child, fields in _processes():
        children.setdefault(int(fields[1]), []).append(child)
    found = list(children.get(pid, ()))
    for child in found:
        found += children.get(child, ())
    return found


def kill_descendants(pid: int) -> None:
    """Kills what is below ``pid``, except for the calling process and the guard."""
    _kill_all(descendants(pid))


def _kill_all(pids: list[int]) -> int:
    """Kills ``pids``, except for the calling process and the guard. Returns how many there were."""
    killed = 0
    for pid in pids:
        if pid not in (os.getpid(), _guard_pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                continue
            killed += 1
    return killed


def end_now(status: int = 0) -> NoReturn:
    """Ends the process at once, children first, whatever its threads are doing."""
    # A thread that computes gives way only once in an interval, and looking for children takes a hundred system calls.
    sys.setswitchinterval(1e-6)
    kill_descendants(os.getpid())
    try:
        sys.stderr.flush()
    except (OSError, ValueError):
        pass
    os._exit(status)
