"""A worker: one process that serves one connection. This module only puts the parts together."""

from __future__ import annotations

import gc
import os
import sys

from dspex_erl.errors import FrameTooLong
from dspex_erl.etf import Codec
from dspex_erl.runtime import output, process
from dspex_erl.runtime.calls import Calls
from dspex_erl.runtime.channel import Channel
from dspex_erl.runtime.log import log
from dspex_erl.wire import PYTHON, Connection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dspex_erl.runtime.options import Options
    from dspex_erl.runtime.scheduler import Scheduler

__all__ = ["current", "serve"]

_current: Scheduler | None = None


def current() -> Scheduler | None:
    """The scheduler that serves this process, or ``None`` outside a worker."""
    return _current


def serve(options: Options) -> int:
    """Takes over this process to serve as ``options`` say, and returns its exit status at the end of the connection.

    The status is 0 when the peer closed the connection or ``shutdown`` was called, and 1 when a frame was too long to be skipped.
    """
    global _current
    log.level = options.log_level
    read_fd, write_fd = process.take_wire(*((0, 1) if options.use_stdio else (3, 4)))
    codec = Codec(
        strings=options.strings,
        max_bytes=options.max_frame,
        max_inflated=options.max_frame,
        max_depth=options.max_depth,
        max_atoms=options.max_atoms,
        allow_pickle=options.allow_pickle,
        compressed=options.compressed,
    )
    connection = Connection(PYTHON, codec, packet=options.packet, max_frame=options.max_frame, buffer_size=options.buffer_size)
    scheduler = _scheduler(options, Channel(connection, read_fd, write_fd))
    scheduler.stdout = output.redirect(scheduler.channel.send, 200 if options.packet == 1 else output.CHUNK)
    _current = scheduler
    # What has been made so far stays, and is not looked at again: neither by this process nor by those that it forks.
    gc.freeze()
    gc.enable()
    # As late as possible, because every page that is written to after a fork is copied first; the scheduler starts threads.
    process.guard(read_fd)
    status = 0
    try:
        scheduler.run()
    except FrameTooLong as error:
        log.error("the connection cannot go on: %s", error)
        status = 1
    _finish(scheduler)
    return status


def _scheduler(options: Options, channel: Channel) -> Scheduler:
    if options.concurrency > 1:
        from dspex_erl.runtime.concurrent import ConcurrentScheduler

        return ConcurrentScheduler(channel, Calls(), process.end_now, options.concurrency)
    from dspex_erl.runtime.serial import SerialScheduler

    return SerialScheduler(channel, Calls(), process.end_now)


def _finish(scheduler: Scheduler) -> None:
    if not scheduler.ended:
        scheduler.stdout.flush()  # type: ignore[union-attr]
    # What the program prints while it is torn down has nobody to read it.
    sys.stdout = sys.stderr
    process.kill_descendants(os.getpid())
