"""An adapter for small models: the task, examples and inputs as lines of ``Field: value``, to be continued, not discussed.

A model of a hundred million parameters cannot keep to a chat format; it can continue a text whose pattern it sees. Where the engine takes a
grammar (``takes_grammar``), every answer parses, because the model can write nothing else. The grammar travels in the response format, where DSPy lets
it through. Fields of other types than text, choices, numbers and booleans are asked for as JSON, with a schema.
"""

from __future__ import annotations

import json
from typing import Any, Literal, get_args, get_origin

import dspy
import pydantic
from dspy.adapters.utils import parse_value
from dspy.utils.exceptions import AdapterParseError

__all__ = ["GRAMMAR", "CompletionAdapter", "grammar_of"]

GRAMMAR = "gbnf"
"""The name of a response format whose schema is ``{"grammar": …}``."""

TEXT = 300
"""How many characters a text may have: a small model does not know when to stop."""

_RULES = {
    str: rf"[^\n]{{1,{TEXT}}}",
    int: '"-"? ([0-9] | [1-9] [0-9]{1,15})',
    float: '"-"? [0-9]{1,9} ("." [0-9]{1,6})?',
    bool: '"True" | "False"',
}


class _JSONAdapter(dspy.JSONAdapter):  # type: ignore[misc]
    """DSPy's, which asks for any object where a field is a map with keys of the model's own; a small model needs the schema there too."""

    def _prepare_response_format(self, lm: Any, lm_kwargs: dict[str, Any], signature: Any) -> None:
        super()._prepare_response_format(lm, lm_kwargs, signature)
        if _takes_grammar(lm) and lm_kwargs.get("response_format") == {"type": "json_object"}:
            fields: dict[str, Any] = {name: (field.annotation, ...) for name, field in signature.output_fields.items()}
            schema = pydantic.create_model("Answer", **fields).model_json_schema()
            lm_kwargs["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


class CompletionAdapter(dspy.Adapter):  # type: ignore[misc]
    """Asks for a continuation and reads it line by line. Holds nothing of a call."""

    def __init__(self) -> None:
        super().__init__()
        self._json = _JSONAdapter()

    def __call__(self, lm: Any, lm_kwargs: Any, signature: Any, demos: Any, inputs: Any) -> Any:
        if not _is_simple(signature):
            return self._json(lm, lm_kwargs, signature, demos, inputs)
        return super().__call__(lm, _with_grammar(lm, lm_kwargs, signature), signature, demos, inputs)

    async def acall(self, lm: Any, lm_kwargs: Any, signature: Any, demos: Any, inputs: Any) -> Any:
        if not _is_simple(signature):
            return await self._json.acall(lm, lm_kwargs, signature, demos, inputs)
        return await super().acall(lm, _with_grammar(lm, lm_kwargs, signature), signature, demos, inputs)

    def format(self, signature: Any, demos: Any, inputs: Any) -> list[dict[str, Any]]:
        """One message that ends where the first output field begins."""
        titles = _titles(signature)
        everything = (*signature.input_fields, *signature.output_fields)
        parts = [signature.instructions.strip()]
        parts += [_lines(titles, everything, demo) for demo in demos]
        parts.append("\n".join(filter(None, (_lines(titles, signature.input_fields, inputs), f"{titles[_first(signature)]}:"))))
        return [{"role": "user", "content": "\n\n".join(parts)}]

    def format_assistant_message_content(self, signature: Any, outputs: Any, missing_field_message: Any = None) -> str:
        """The answer that has these values, as a model would go on writing."""
        return _lines(_titles(signature), signature.output_fields, outputs)

    def parse(self, signature: Any, completion: str) -> dict[str, Any]:
        """The values of a continuation. Raises DSPy's ``AdapterParseError`` if one is missing or not of its type."""
        found = _found(signature, completion)
        values: dict[str, Any] = {}
        for name, field in signature.output_fields.items():
            try:
                values[name] = parse_value(found[name], field.annotation)
            except Exception as error:
                raise AdapterParseError(
                    adapter_name="CompletionAdapter",
                    signature=signature,
                    lm_response=completion,
                    parsed_result=values,
                    message=f"no value of its type for the field {name} ({type(error).__name__})",
                ) from None
        return values


def grammar_of(signature: Any) -> str:
    """The grammar, in GBNF, of what may follow the prompt for ``signature``: the first value, then a line for each other field.

    Each value is one line of its type; nothing else can be written.
    """
    titles = _titles(signature)
    parts, rules = [], []
    for index, (name, field) in enumerate(signature.output_fields.items()):
        label = "" if index == 0 else f'"{titles[name]}:" '
        parts.append(f'{label}" " value{index} "\\n"')
        rules.append(f"value{index} ::= {_rule(field.annotation)}")
    return "\n".join([f"root ::= {' '.join(parts)}", *rules])


def _rule(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return " | ".join(json.dumps(str(choice), ensure_ascii=False) for choice in get_args(annotation))
    return _RULES[annotation]


def _is_simple(signature: Any) -> bool:
    return all(
        field.annotation in _RULES
        if get_origin(field.annotation) is not Literal
        else all("\n" not in str(choice) for choice in get_args(field.annotation))
        for field in signature.output_fields.values()
    )


def _with_grammar(lm: Any, lm_kwargs: dict[str, Any], signature: Any) -> dict[str, Any]:
    if not _takes_grammar(lm):
        return lm_kwargs
    schema = {"name": GRAMMAR, "schema": {"grammar": grammar_of(signature)}}
    return {**lm_kwargs, "response_format": {"type": "json_schema", "json_schema": schema}}


def _takes_grammar(lm: Any) -> bool:
    return bool(getattr(getattr(lm, "engine", None), "takes_grammar", False))


def _first(signature: Any) -> str:
    return str(next(iter(signature.output_fields)))


def _titles(signature: Any) -> dict[str, str]:
    """What stands before the colon, for each field: words where that tells the fields apart, else their names."""
    names = (*signature.input_fields, *signature.output_fields)
    titles = {name: name.replace("_", " ").capitalize() for name in names}
    return titles if len(set(titles.values())) == len(names) else {name: name for name in names}


def _lines(titles: dict[str, str], names: Any, values: Any) -> str:
    return "\n".join(f"{titles[name]}: {_value(values[name])}" for name in names if name in values)


def _value(value: Any) -> str:
    """A value on one line."""
    if not isinstance(value, str):
        value = json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, (list, dict)) else str(value)
    return " ".join(value.split("\n"))


def _found(signature: Any, completion: str) -> dict[str, str]:
    """What follows the label of each output field, up to the next label. That of the first was part of the prompt; a model may repeat it."""
    labels = {f"{title}:": name for name, title in _titles(signature).items()}
    current: str | None = _first(signature)
    found: dict[str, list[str]] = {}
    for line in completion.strip().split("\n"):
        name = next((labels[label] for label in labels if line.startswith(label)), None)
        if name is not None:
            # What was said once is not said again: a small model goes on with another example.
            current = None if name in found else name
            line = line[len(next(label for label in labels if labels[label] == name)) :]
        if current is not None:
            found.setdefault(current, []).append(line.strip())
    return {name: "\n".join(lines).strip() for name, lines in found.items()}
