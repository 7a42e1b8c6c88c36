"""Answers in the format that an adapter will read: what ``echo`` and ``scripted`` say."""

from __future__ import annotations

import json
from typing import Any, Literal, Union, get_args, get_origin

import dspy
from dspex_erl.programs.lms.calls import AdapterCall

__all__ = ["echoed", "rendered"]


def rendered(values: dict[str, Any], call: AdapterCall | None) -> str:
    """``values`` by the names of their fields, as a model would write them for the adapter at hand."""
    if call is None:
        return json.dumps(values, ensure_ascii=False)
    name = type(call.adapter).__name__
    if isinstance(call.adapter, dspy.JSONAdapter):
        return json.dumps(values, ensure_ascii=False)
    if isinstance(call.adapter, dspy.XMLAdapter):
        return "\n".join(f"<{field}>{_text(value)}</{field}>" for field, value in values.items())
    if name == "CompletionAdapter":
        return "\n".join(f"{field}: {_text(value)}" for field, value in values.items())
    parts = [f"[[ ## {field} ## ]]\n{_text(value)}" for field, value in values.items()]
    return "\n\n".join([*parts, "[[ ## completed ## ]]"])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def echoed(call: AdapterCall | None) -> dict[str, Any]:
    """A value for each output field, made of the inputs: texts repeat them, other types get a value that is valid for them."""
    if call is None:
        return {}
    texts = [value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str) for value in call.inputs.values()]
    said = " ".join(texts)
    return {name: _example(field.annotation, said) for name, field in call.signature.output_fields.items()}


def _example(annotation: Any, said: str) -> Any:
    """A value of a type: the text itself, the number in it, the first of the choices, one of each kind of member."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is str or annotation is Any:
        return said
    if annotation is bool:
        return bool(said)
    if annotation in (int, float):
        return _number(annotation, said)
    if origin is Literal:
        return next((choice for choice in arguments if choice == said), arguments[0])
    if origin is list:
        return [_example(arguments[0] if arguments else str, said)]
    if origin is dict:
        return {said if arguments[0] is str else 0: _example(arguments[1], said)} if arguments else {}
    if origin is tuple:
        return [_example(argument, said) for argument in arguments if argument is not Ellipsis]
    if origin is Union or type(annotation).__name__ == "UnionType":
        return _example(next(argument for argument in arguments if argument is not type(None)), said)
    fields = getattr(annotation, "model_fields", None)
    if fields is not None:
        return {name: _example(field.annotation, said) for name, field in fields.items()}
    return said


def _number(kind: type, said: str) -> Any:
    try:
        return kind(said)
    except (ValueError, OverflowError):
        return kind(len(said))
