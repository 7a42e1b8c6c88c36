"""The concurrent scheduler at its fault points."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from dspex_erl.runtime import concurrent
from dspex_erl.runtime.concurrent import ConcurrentScheduler
from dspex_erl.terms import Atom
from dspex_erl.wire import Call, Message, Result
from tests.unit.runtime.races import Ends

ADD = Atom("operator"), Atom("add")


@pytest.fixture
def ends() -> Iterator[Ends]:
    with Ends() as ends:
        yield ends


@pytest.fixture
def scheduler(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> ConcurrentScheduler:
    """Stepped by the test: nothing starts a thread, and nothing is held for less than for good."""
    monkeypatch.setattr("dspex_erl.runtime.channel.HOLD_SECONDS", float("inf"))
    return ConcurrentScheduler(ends.channel, ends.calls, os._exit, 4)


def lose_the_baton(scheduler: ConcurrentScheduler, number: int) -> int:
    """What a call may find: while it runs, the monitor has had another thread lead."""
    assert scheduler._baton.acquire(False)
    return number


def test_an_answer_held_back_is_sent_by_a_thread_that_has_lost_the_baton(
    ends: Ends, scheduler: ConcurrentScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not the first, and more calls wait, so the answer is held. The new leader has looked for held answers before; so nobody but this thread knows of it."""
    monkeypatch.setattr(concurrent, "lose", lambda number: lose_the_baton(scheduler, number), raising=False)
    function = (Atom(concurrent.__name__), Atom("lose"))
    ends.post(Call(1, *ADD, [2, 2]), Call(2, *function, [5]), Call(3, *function, [6]))
    assert scheduler._baton.acquire(False)
    assert scheduler._lead() is False
    assert len(scheduler._backlog) == 1, "the answer was not held: there was nothing to hold it for"
    assert ends.came() == [Result(1, 4), Result(2, 5)]


def test_answers_held_back_are_sent_by_a_thread_that_has_lost_the_baton_to_a_message(
    ends: Ends, scheduler: ConcurrentScheduler
) -> None:
    def handler(payload: Any) -> None:
        assert scheduler._baton.acquire(False)

    scheduler.message_handler = handler
    ends.post(Call(1, *ADD, [1, 1]), Call(2, *ADD, [2, 2]), Message(b"hello"), Call(3, *ADD, [3, 3]))
    assert scheduler._baton.acquire(False)
    assert scheduler._lead() is False
    assert len(scheduler._backlog) == 1
    assert ends.came() == [Result(1, 2), Result(2, 4)]
