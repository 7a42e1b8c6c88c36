"""What a program is, as data: the description that ``create_program`` is given, checked, and its fingerprint.

From a specification a program can be built in any worker, any number of times, with the same result; that is what makes a session
movable. So it holds plain values only, and two that are equal have equal fingerprints, wherever they were made.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from dspex_erl.errors import BadRequest, BadSignature
from dspex_erl.programs.config import check_config
from dspex_erl.programs.modules import ModuleKind, check_arguments, find_module
from dspex_erl.programs.signature import Signature, parse_signature
from dspex_erl.programs.values import check_some

__all__ = ["MAX_DEMOS", "MAX_INSTRUCTIONS", "ProgramSpec", "parse_spec"]

MAX_DEMOS = 1000
MAX_INSTRUCTIONS = 100_000
"""Characters. The instructions are sent with every request."""

_KEYS = (
    "signature",
    "instructions",
    "module",
    "module_args",
    "config",
    "demos",
    "tools",
    "inputs",
    "outputs",
    "input_fields",
    "output_fields",
)


@dataclass(frozen=True)
class ProgramSpec:
    """A checked description of a program. Mutable values inside are never changed after :func:`parse_spec`."""

    signature: Signature | None
    module: str = "predict"
    module_args: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    demos: tuple[dict[str, Any], ...] = ()

    @property
    def kind(self) -> ModuleKind:
        """What the module registry says of ``module``."""
        return find_module(self.module)

    def to_plain(self) -> dict[str, Any]:
        """The specification as plain terms, from which :func:`parse_spec` makes an equal one."""
        return {
            "signature": None if self.signature is None else self.signature.to_plain(),
            "module": self.module,
            "module_args": self.module_args,
            "config": self.config,
            "demos": list(self.demos),
        }

    def fingerprint(self) -> str:
        """32 hexadecimal digits of SHA-256 over the canonical form; equal for equal specifications."""
        text = json.dumps(self.to_plain(), sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=_bytes)
        return hashlib.sha256(text.encode("ascii")).hexdigest()[:32]


def _bytes(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"$bytes": value.hex()}
    raise BadRequest(f"expected plain terms in the description of a program, got {type(value).__name__}")


def parse_spec(given: Any) -> ProgramSpec:
    """The specification that a plain term describes: a signature's text, or a map.

    Raises :class:`BadSignature`, :class:`UnknownModule` and :class:`BadRequest`, each with the place in the map.

    >>> parse_spec("question -> answer").module
    'predict'
    """
    if isinstance(given, str):
        given = {"signature": given}
    if not isinstance(given, dict):
        raise BadRequest(f"expected a signature's text or a map, got {type(given).__name__}, at the program's description")
    for key in given:
        if key not in _KEYS:
            raise BadRequest(f"expected the keys {', '.join(_KEYS[:7])}, got {str(key)[:64]!r}, at the program's description")
    if given.get("tools"):
        raise BadRequest("expected no tools, got some: this version cannot call tools in Erlang yet, at tools")
    kind = find_module(given.get("module") or "predict")
    signature = _signature(given, kind)
    spec = ProgramSpec(
        signature,
        kind.name,
        check_arguments(kind, given.get("module_args")),
        check_config(given.get("config"), "config"),
        _demos(given.get("demos"), signature),
    )
    spec.fingerprint()
    return spec


def _signature(given: dict[str, Any], kind: ModuleKind) -> Signature | None:
    described = given.get("signature")
    if described is None:
        described = {key: given[key] for key in ("inputs", "outputs", "input_fields", "output_fields") if key in given} or None
    if described is None:
        if kind.needs_signature:
            raise BadSignature("expected a signature's text or a map of inputs and outputs, got none, at signature")
        return None
    signature = parse_signature(described)
    instructions = given.get("instructions")
    if instructions is not None:
        if not isinstance(instructions, str) or len(instructions) > MAX_INSTRUCTIONS:
            raise BadRequest(f"expected a text of at most {MAX_INSTRUCTIONS} characters, got {_got(instructions)}, at instructions")
        signature = signature.with_instructions(instructions)
    for name in (entry.name for entry in (*signature.inputs, *signature.outputs)):
        if name in kind.reserved:
            raise BadSignature(f"expected a name that the module {kind.name} does not use itself, got {name!r}, at signature")
    return signature


def _got(value: Any) -> str:
    return f"{len(value)}" if isinstance(value, str) else type(value).__name__


def _demos(given: Any, signature: Signature | None) -> tuple[dict[str, Any], ...]:
    if given is None:
        return ()
    if not isinstance(given, list) or len(given) > MAX_DEMOS:
        raise BadRequest(f"expected a list of at most {MAX_DEMOS} maps, got {_got(given)}, at demos")
    names = None if signature is None else {entry.name for entry in (*signature.inputs, *signature.outputs)} | {"reasoning"}
    for index, demo in enumerate(given):
        if not isinstance(demo, dict) or not demo:
            raise BadRequest(f"expected a map from fields to values, got {_got(demo)}, at demos[{index}]")
        if signature is not None:
            check_some(signature, {name: value for name, value in demo.items() if name != "reasoning"}, f"demos[{index}]")
        for name in demo:
            if not isinstance(name, str) or (names is not None and name not in names):
                raise BadRequest(f"expected the fields of the signature, got {str(name)[:64]!r}, at demos[{index}]")
    return tuple(given)
