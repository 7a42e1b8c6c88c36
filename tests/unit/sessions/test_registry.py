"""The registry: what each call does, alone and in any order with others."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from dspex_erl.errors import (
    Cancelled,
    ProgramExists,
    ProgramLimit,
    ProgramNotFound,
    SessionExists,
    SessionLimit,
    SessionNotFound,
)
from dspex_erl.sessions import Clock, Program, Registry
from dspex_erl.sessions.session import Settings, Usage


class Hands:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.now + 1_700_000_000, lambda: self.now)


class Stopped:
    """A run that notes how it was stopped."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []

    def stop(self, error: BaseException) -> None:
        self.errors.append(error)


class Model:
    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


def program(id: str) -> Program:
    return Program(id, spec=None, fingerprint="0", created_at=0.0)


def test_a_session_comes_into_being_at_its_first_use() -> None:
    registry = Registry()
    assert registry.obtain("a") is registry.obtain("a")
    with pytest.raises(SessionExists):
        registry.create("a", Settings())


def test_a_second_session_of_an_id_leaves_the_first_as_it_is() -> None:
    registry = Registry()
    first = registry.create("a", Settings(user_id="ada"))
    with pytest.raises(SessionExists, match="'a'"):
        registry.create("a", Settings(user_id="bob"))
    assert registry.get("a") is first
    assert first.settings.user_id == "ada"


def test_what_is_not_there() -> None:
    registry = Registry()
    with pytest.raises(SessionNotFound):
        registry.get("a")
    with pytest.raises(SessionNotFound):
        registry.destroy("a")
    with pytest.raises(ProgramNotFound):
        registry.program(registry.obtain("a"), "p")


def test_two_users_with_the_same_program_id() -> None:
    registry = Registry()
    alice, bob = registry.obtain("alice"), registry.obtain("bob")
    registry.add_program(alice, program("qa"))
    registry.add_program(bob, program("qa"))
    assert registry.program(alice, "qa") is not registry.program(bob, "qa")
    assert registry.replace_programs(alice, {}) == 1
    assert registry.program(bob, "qa").id == "qa"


def test_a_second_program_of_an_id_leaves_the_first_as_it_is() -> None:
    registry = Registry()
    session = registry.obtain("a")
    first = program("qa")
    registry.add_program(session, first)
    with pytest.raises(ProgramExists, match="'qa'"):
        registry.add_program(session, program("qa"))
    assert registry.program(session, "qa") is first
    assert session.statistics.programs_created == 1


def test_limits() -> None:
    registry = Registry(max_sessions=2)
    session = registry.create("a", Settings(max_programs=1))
    registry.obtain("b")
    with pytest.raises(SessionLimit, match="at most 2"):
        registry.obtain("c")
    registry.add_program(session, program("p"))
    with pytest.raises(ProgramLimit, match="at most 1"):
        registry.add_program(session, program("q"))
    registry.destroy("b")
    registry.obtain("c")


def test_destroying_stops_what_runs_and_forgets_the_rest() -> None:
    forgotten: list[Any] = []
    registry = Registry(forget=lambda namespace, model: forgotten.append((namespace, model)))
    session = registry.obtain("a")
    run, session.model = Stopped(), Model()
    session.runs.add(run)
    expected = (session.namespace, session.model)
    assert registry.destroy("a") == 0
    assert [type(error) for error in run.errors] == [Cancelled]
    assert forgotten == [expected]
    assert session.state == "destroyed"


def test_a_reset_session_keeps_its_settings_and_nothing_else() -> None:
    forgotten: list[str] = []
    registry = Registry(forget=lambda namespace, model: forgotten.append(namespace))
    session = registry.create("a", Settings(user_id="ada", lm="a model"))
    registry.add_program(session, program("p"))
    session.statistics.add_run(Usage(1, 2, 3, 5), cached=True)
    before = session.namespace
    assert registry.reset(session) == 1
    assert session.settings == Settings(user_id="ada", lm="a model")
    assert (session.programs, session.statistics.cache_hits, session.statistics.usage) == ({}, 0, Usage())
    assert session.namespace != before
    assert forgotten == [before]


def test_a_new_session_of_an_old_id_has_another_namespace() -> None:
    registry = Registry()
    first = registry.obtain("a").namespace
    registry.destroy("a")
    assert registry.obtain("a").namespace != first


def test_an_idle_session_ends_after_its_ttl_and_a_busy_one_does_not() -> None:
    hands = Hands()
    registry = Registry(hands.clock)
    registry.create("short", Settings(ttl=10))
    busy = registry.create("busy", Settings(ttl=10))
    registry.create("long", Settings())
    busy.runs.add(Stopped())
    hands.now += 10
    assert len(registry.list()) == 3
    hands.now += 1
    assert [session.id for session in registry.list()] == ["busy", "long"]
    assert registry.create("short", Settings()).id == "short"


def test_use_keeps_a_session_alive() -> None:
    hands = Hands()
    registry = Registry(hands.clock)
    first = registry.create("a", Settings(ttl=10))
    for _ in range(5):
        hands.now += 9
        assert registry.obtain("a") is first
    assert first.last_activity == hands.now + 1_700_000_000


def test_the_sessions_of_one_user() -> None:
    registry = Registry()
    registry.create("a", Settings(user_id="ada"))
    registry.create("b", Settings(user_id="bob"))
    registry.create("c", Settings(user_id="ada"))
    assert [session.id for session in registry.list("ada")] == ["a", "c"]
    assert [session.id for session in registry.list()] == ["a", "b", "c"]


IDS = st.sampled_from(["a", "b", "c", "d"])


class AgainstDicts(RuleBasedStateMachine):
    """Any order of calls, beside a dict of dicts that says what they should do."""

    def __init__(self) -> None:
        super().__init__()
        self.registry = Registry(max_sessions=3)
        self.model: dict[str, set[str]] = {}

    def _expect(self, error: type[Exception] | None, call: Any, *args: Any) -> Any:
        if error is None:
            return call(*args)
        with pytest.raises(error):
            call(*args)
        return None

    @rule(session=IDS)
    def create(self, session: str) -> None:
        error = SessionExists if session in self.model else SessionLimit if len(self.model) == 3 else None
        self._expect(error, self.registry.create, session, Settings(max_programs=2))
        if error is None:
            self.model[session] = set()

    @rule(session=IDS)
    def destroy(self, session: str) -> None:
        count = self._expect(None if session in self.model else SessionNotFound, self.registry.destroy, session)
        assert count == (len(self.model.pop(session)) if session in self.model else None)

    @rule(session=IDS, id=IDS)
    def add(self, session: str, id: str) -> None:
        if session not in self.model:
            return
        programs = self.model[session]
        error = ProgramExists if id in programs else ProgramLimit if len(programs) == 2 else None
        self._expect(error, self.registry.add_program, self.registry.get(session), program(id))
        if error is None:
            programs.add(id)

    @rule(session=IDS, id=IDS)
    def remove(self, session: str, id: str) -> None:
        if session not in self.model:
            return
        assert self.registry.remove_program(self.registry.get(session), id) is (id in self.model[session])
        self.model[session].discard(id)

    @rule(session=IDS)
    def reset(self, session: str) -> None:
        if session not in self.model:
            return
        assert self.registry.reset(self.registry.get(session)) == len(self.model[session])
        self.model[session] = set()

    @invariant()
    def the_same(self) -> None:
        assert {session.id: set(session.programs) for session in self.registry.list()} == self.model


TestAgainstDicts = AgainstDicts.TestCase
