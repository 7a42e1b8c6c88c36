"""Events: plain values with fields, equality and a text."""

import pytest

from dspex_erl.errors import RemoteProtocolError
from dspex_erl.wire.events import Call, Event, Failure, HandlerFailure, Invalid, Message, Output, Result, Send

ERROR = RemoteProtocolError("expected sense, got none")

SAMPLES = [
    (Call(1, "m", "f", [2]), "Call(1, 'm', 'f', [2], None)"),
    (Call(1, "m", "f", [], "N"), "Call(1, 'm', 'f', [], 'N')"),
    (Result(1, 2), "Result(1, 2)"),
    (Failure(1, 2), "Failure(1, 2)"),
    (HandlerFailure(1), "HandlerFailure(1)"),
    (Message(1), "Message(1)"),
    (Send("to", 1), "Send('to', 1)"),
    (Output("text"), "Output('text')"),
    (Invalid("frame", None, ERROR), f"Invalid('frame', None, {ERROR!r})"),
]
EVENTS = [event for event, _ in SAMPLES]


def copy(event: Event) -> Event:
    return type(event)(*event.fields())


@pytest.mark.parametrize(("event", "text"), SAMPLES, ids=[type(event).__name__ for event in EVENTS])
def test_an_event_prints_as_what_makes_it(event: Event, text: str) -> None:
    assert repr(event) == text


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_events_of_equal_fields_are_equal(event: Event) -> None:
    assert event == copy(event)


def test_events_of_other_fields_or_another_class_differ() -> None:
    for position, event in enumerate(EVENTS):
        for other in EVENTS[:position]:
            assert event != other
    assert Result(1, 2) != Failure(1, 2)
    assert Result(1, 2) != (1, 2)


def test_the_base_has_no_fields_of_its_own() -> None:
    with pytest.raises(NotImplementedError):
        Event().fields()


def test_events_are_no_keys() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(Result(1, 2))


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_events_have_no_other_fields(event: Event) -> None:
    with pytest.raises(AttributeError):
        event.anything = 1  # type: ignore[attr-defined]
