"""The worker as a process: its descriptors, its signals, and its end.

* The wire is moved to high descriptors that children do not inherit, and descriptor 1 becomes the same as stderr. Whatever a subprocess
  or a C library prints cannot reach the wire.
* The *guard* is a forked child that does nothing but wait for the wire's end. When that comes and the worker is still there after
  :data:`GUARD_SECONDS`, it kills the worker with all its children. Unlike a thread it works when a call in C never lets go of the
  interpreter's lock, and when the worker is stopped by a signal. It sees only the hang-up and never takes a byte off the wire.
"""

from __future__ import annotations

import os
import select
import sys

from dspex_erl.runtime.scheduler import GRACE_SECONDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from typing import NoReturn
else:
    # What signal itself is made of. It adds enumerations, which take a quarter as long to import as Python to start.
    import _signal as signal

__all__ = ["descendants", "end_now", "guard", "ignore_interrupts", "kill_descendants", "take_wire"]

GUARD_SECONDS = GRACE_SECONDS + 0.5
"""How long after the end of the wire the guard strikes: after the worker had its own chance, and within the promised 2 s."""

_HIGH = 64
"""Descriptors from here on are unlikely to be named by anybody's code."""

_guard_pid = 0


def take_wire(read_fd: int, write_fd: int) -> tuple[int, int]:
    """Moves the wire away from ``read_fd`` and ``write_fd``, and returns its new descriptors for reading and writing."""
    import fcntl

    taken = fcntl.fcntl(read_fd, fcntl.F_DUPFD_CLOEXEC, _HIGH), fcntl.fcntl(write_fd, fcntl.F_DUPFD_CLOEXEC, _HIGH)
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


def ignore_interrupts() -> None:
    """Ctrl-C in a terminal is for the shell that Erlang runs in, though the whole foreground group gets it."""
    # A handler and not SIG_IGN, which children would inherit.
    signal.signal(signal.SIGINT, lambda _number, _frame: None)


def guard(read_fd: int) -> None:
    """Starts the guard over the wire's reading end. The calling process must have one thread."""
    global _guard_pid
    alive_read, alive_write = os.pipe()
    worker = os.getpid()
    pid = os.fork()
    if pid:
        os.close(alive_read)
        # Held open, never written to: it closes when the worker is gone.
        _guard_pid = pid
        return
    try:
        os.close(alive_write)
        _stand_guard(read_fd, alive_read, worker)
    finally:
        os._exit(0)


def _stand_guard(read_fd: int, alive_fd: int, worker: int) -> None:
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
    poll.register(alive_fd, 0)
    if alive_fd in {fd for fd, _ in poll.poll()}:
        return
    poll.unregister(read_fd)
    if poll.poll(GUARD_SECONDS * 1000):
        return
    try:
        # Stopped first, so that it cannot have children while they are counted.
        os.kill(worker, signal.SIGSTOP)
        kill_descendants(worker)
        os.kill(worker, signal.SIGKILL)
    except ProcessLookupError:
        pass


def descendants(pid: int) -> list[int]:
    """The processes below ``pid``, nearest first. Linux only; elsewhere there are none to be found."""
    children: dict[int, list[int]] = {}
    try:
        names = os.listdir("/proc")
    except OSError:
        return []
    for name in names:
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    # The second field is the command in parentheses, and may hold anything, parentheses included.
                    parent = int(file.read().rpartition(b")")[2].split()[1])
            except (OSError, ValueError, IndexError):
                continue
            children.setdefault(parent, []).append(int(name))
    found = list(children.get(pid, ()))
    for child in found:
        found += children.get(child, ())
    return found


def kill_descendants(pid: int) -> None:
    """Kills what is below ``pid``, except for the calling process and the guard."""
    spared = {os.getpid(), _guard_pid}
    for child in descendants(pid):
        if child not in spared:
            try:
                os.kill(child, signal.SIGKILL)
            except ProcessLookupError:
                pass


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
