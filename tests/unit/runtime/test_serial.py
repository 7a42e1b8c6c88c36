"""The serial scheduler at its fault points."""

import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from dspex_erl.runtime.serial import SerialScheduler
from tests.peer import PATIENCE
from tests.unit.runtime.races import Ends, FaultLock


@pytest.fixture
def ends() -> Iterator[Ends]:
    with Ends() as ends:
        yield ends


def test_a_server_gets_the_baton_although_the_monitor_comes_back_before_it_waits(ends: Ends) -> None:
    """The monitor reads in the server's place. The server wants the baton and writes a byte; the monitor takes the byte, lets go, and is
    back with the baton before the server has begun to wait. It must not read again, for nobody would wake it."""
    scheduler = SerialScheduler(ends.channel, ends.calls, os._exit)
    scheduler._baton.acquire()  # by the monitor, which reads

    def monitor_takes_another_turn() -> None:
        assert os.read(scheduler._wake_read, 1) == b"\0"
        scheduler._baton.release()
        monitor.start()
        monitor.join(PATIENCE)
        gave_up.append(not monitor.is_alive())
        os.write(scheduler._wake_write, b"\0")  # which ends the monitor's reading, should it have begun any

    gave_up: list[bool] = []
    monitor = threading.Thread(target=scheduler._stalled)
    baton: Any = FaultLock(scheduler._baton, monitor_takes_another_turn)
    scheduler._baton = baton
    scheduler._take_baton()
    assert gave_up == [True]
    assert scheduler._baton.locked()
    monitor.join(PATIENCE)


def test_the_monitor_reads_again_once_the_server_has_had_the_baton(ends: Ends) -> None:
    scheduler = SerialScheduler(ends.channel, ends.calls, os._exit)
    scheduler._baton.acquire()
    baton: Any = FaultLock(scheduler._baton, scheduler._baton.release)
    scheduler._baton = baton
    scheduler._take_baton()
    scheduler._baton.release()
    # The byte of the time before ends this turn at once; the wire was looked at all the same.
    scheduler._stalled()
    assert not scheduler._baton.locked()
    assert not scheduler._wanted
