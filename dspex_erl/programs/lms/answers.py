"""Answers in the format that an adapter will read: what ``echo`` and ``scripted`` say."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

if TYPE_CHECKING:
    from dspex_erl.programs.lms.calls import AdapterCall

__all__ = ["echoed", "rendered"]


def rendered(values: dict[str, Any], call: AdapterCall | None) -> str:
    """``values`` by the names of their fields, as a model would write them for the adapter at hand; without one, as JSON.

    The adapter writes them itself, as it writes the answer of an example. A field without a value is left out, and a value without
    a field.
    """
    if call is None:
        return json.dumps(values, ensure_ascii=False)
    signature = call.signature
    for name in signature.output_fields:
        if name not in values:
            signature = signature.delete(name)
    return call.adapter.format_assistant_message_content(signature, values)  # type: ignore[no-any-return]


def echoed(call: AdapterCall | None) -> dict[str, Any]:
    """A value for each output field, made of the inputs: texts repeat them, joined by a space; other types get what is valid for them.

    =====================  ==========================================================================
    type                   value
    =====================  ==========================================================================
    text, any              the inputs
    number                 the number that the inputs are, or else how many characters they have
    boolean                whether there are any
    choice                 the one that the inputs are, or else the first
    list, dict, tuple      one member of each kind
    object                 every field
    union, optional        a value of the first kind
    date, time             the first there is
    =====================  ==========================================================================
    """
    if call is None:
        return {}
    said = " ".join(
        value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str) for value in call.inputs.values()
    )
    return {name: _example(field.annotation, said) for name, field in call.signature.output_fields.items()}


_DATES: dict[Any, str] = {datetime.date: "0001-01-01", datetime.datetime: "0001-01-01T00:00:00", datetime.time: "00:00:00"}


def _example(annotation: Any, said: str) -> Any:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is bool:
        return bool(said)
    if annotation in (int, float, Decimal):
        return _number(annotation, said)
    if annotation in _DATES:
        return _DATES[annotation]
    if origin is Literal:
        return next((choice for choice in arguments if str(choice) == said), arguments[0])
    if origin in (list, tuple):
        return [_example(argument, said) for argument in arguments if argument is not Ellipsis]
    if origin is dict:
        return {str(_example(arguments[0], said)): _example(arguments[1], said)}
    # What ``A | B`` is of depends on how it was written.
    if origin is Union or type(annotation).__name__ == "UnionType":
        return _example(next((argument for argument in arguments if argument is not type(None)), str), said)
    fields = getattr(annotation, "model_fields", None)
    if fields is not None:
        return {name: _example(field.annotation, said) for name, field in fields.items()}
    return said


def _number(kind: Any, said: str) -> int | float:
    try:
        number: int | float = int(said) if kind is int else float(said)
    except (ValueError, OverflowError):
        return len(said)
    # Neither infinity nor what is no number can be said in JSON.
    return number if number - number == 0 else len(said)
