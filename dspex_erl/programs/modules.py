"""The module registry: which kinds of program there are, what each takes, and how it is run.

A kind is data; what needs DSPy to be built is named here and lives in :mod:`dspex_erl.programs.builders`. Users add classes of
their own by name (:func:`register_module`); a class that nobody registered cannot be reached by any name.
"""

from __future__ import annotations

import os
import re
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dspex_erl.errors import BadRequest, ImportFailed, UnknownModule
from dspex_erl.programs.signature import RESERVED_BY_MODULE

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Argument",
    "ModuleKind",
    "check_arguments",
    "find_module",
    "load_path",
    "module_names",
    "register_module",
    "register_reward",
]

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


@dataclass(frozen=True)
class Argument:
    """One of a kind's ``module_args``: ``int`` or ``float`` between ``least`` and ``most``, or the ``name`` of something registered."""

    type: str
    default: Any
    least: float = 0
    most: float = 1_000_000


@dataclass(frozen=True)
class ModuleKind:
    """One kind of program.

    ``builder`` names the function of ``builders`` that makes one, ``path`` the class of a user's own kind. ``asynchronous`` kinds run on
    an event loop, the others on a thread. ``single_use`` ones spend what they are made of and are built for each run. ``command`` is
    a program that must be installed. ``needs_signature`` is false only for users' classes, which may have one of their own.
    """

    name: str
    builder: str
    asynchronous: bool = True
    single_use: bool = False
    needs_signature: bool = True
    command: str | None = None
    arguments: Mapping[str, Argument] = field(default_factory=dict)
    path: str | None = None

    @property
    def reserved(self) -> frozenset[str]:
        """Names that a field of its signature cannot have."""
        return RESERVED_BY_MODULE.get(self.name, frozenset())


_ITERATIONS = {"max_iters": Argument("int", 20, 1, 1000)}
_ATTEMPTS = {
    "module": Argument("module", "predict"),
    "n": Argument("int", 3, 1, 100),
    "threshold": Argument("float", 1.0, -1e9, 1e9),
    "reward": Argument("reward", "complete"),
}

_BUILT_IN = {
    kind.name: kind
    for kind in (
        ModuleKind("predict", "predict"),
        ModuleKind("chain_of_thought", "chain_of_thought"),
        ModuleKind("react", "react", arguments=_ITERATIONS),
        ModuleKind("react_v2", "react_v2", arguments=_ITERATIONS),
        ModuleKind("best_of_n", "best_of_n", asynchronous=False, single_use=True, arguments=_ATTEMPTS),
        ModuleKind("refine", "refine", asynchronous=False, single_use=True, arguments=_ATTEMPTS),
        ModuleKind(
            "multi_chain_comparison",
            "multi_chain_comparison",
            asynchronous=False,
            arguments={"m": Argument("int", 3, 1, 20)},
        ),
        ModuleKind(
            "program_of_thought",
            "program_of_thought",
            asynchronous=False,
            command="deno",
            arguments={"max_iters": Argument("int", 3, 1, 100)},
        ),
        ModuleKind(
            "rlm",
            "rlm",
            command="deno",
            arguments={"max_iters": Argument("int", 20, 1, 1000), "max_llm_calls": Argument("int", 50, 1, 10_000)},
        ),
    )
}

_lock = threading.Lock()
_registered: dict[str, ModuleKind] = {}
_rewards: dict[str, str] = {}


def module_names() -> list[str]:
    """The names that a program's ``module`` may have, users' own included."""
    return sorted({**_BUILT_IN, **_registered})


def find_module(name: Any) -> ModuleKind:
    """The kind of that name. Raises :class:`UnknownModule`."""
    kind = _BUILT_IN.get(name) or _registered.get(name) if isinstance(name, str) else None
    if kind is None:
        shown = repr(name[:64]) if isinstance(name, str) else type(name).__name__
        raise UnknownModule(f"expected a module out of {', '.join(module_names())}, got {shown}, at module")
    return kind


def register_module(name: str, path: str, asynchronous: bool = False) -> None:
    """Lets programs use the class at ``path`` (``"package.module:Class"``) as the module ``name``.

    The class is a ``dspy.Module``; it is imported when a program first needs it. Its ``module_args`` are its keyword arguments, and it is
    given the program's signature if it has a parameter of that name. ``asynchronous`` says that it has an ``aforward``. Registering
    the same again does nothing. Raises :class:`BadRequest` for a name that is taken or a path of another form.
    """
    name, path = _registration(name, path)
    kind = ModuleKind(name, "custom", asynchronous=asynchronous, needs_signature=False, path=path)
    with _lock:
        if name in _BUILT_IN or _registered.get(name, kind) != kind:
            raise BadRequest(f"expected a name that no other module has, got {name!r}")
        _registered[name] = kind


def register_reward(name: str, path: str) -> None:
    """Lets ``best_of_n`` and ``refine`` score with the function at ``path``, called as ``function(inputs, prediction) -> float``."""
    name, path = _registration(name, path)
    with _lock:
        if name == "complete" or _rewards.get(name, path) != path:
            raise BadRequest(f"expected a name that no other reward has, got {name!r}")
        _rewards[name] = path


def reward_path(name: str) -> str | None:
    """The path of a registered reward; ``None`` for the one that comes with this package, ``complete``."""
    return _rewards.get(name)


def _register_from_environment() -> None:
    """Registers what ``DSPEX_MODULES`` (the worker's ``--modules``) lists: ``package.module:Class``, or ``name=package.module:Class``."""
    for entry in filter(None, os.environ.get("DSPEX_MODULES", "").split(",")):
        name, _, path = entry.rpartition("=")
        register_module(name or _snake_case(path.rpartition(":")[2].rpartition(".")[2]), path)


def _snake_case(name: str) -> str:
    """The name of a class as that of a module.

    >>> _snake_case("RAG"), _snake_case("MultiHopRAG"), _snake_case("QABot2")
    ('rag', 'multi_hop_rag', 'qa_bot2')
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def _registration(name: Any, path: Any) -> tuple[str, str]:
    """A name and a path, which Erlang may have sent as binaries or atoms, as texts. Raises :class:`BadRequest`."""
    texts = [str(bytes(text), "utf-8", "replace") if isinstance(text, bytes) else text for text in (name, path)]
    name, path = (str.__str__(text) if isinstance(text, str) else "" for text in texts)
    if not _NAME.fullmatch(name):
        raise BadRequest(f"expected a name of lower-case letters, digits and _, got {name[:64]!r}")
    if not _PATH.fullmatch(path):
        raise BadRequest(f"expected a path of the form 'package.module:Name', got {path[:64]!r}")
    return name, path


def load_path(path: str) -> Any:
    """What a registered path names. Raises :class:`ImportFailed`."""
    import importlib

    module, _, name = path.partition(":")
    try:
        target: Any = importlib.import_module(module)
        for part in name.split("."):
            target = getattr(target, part)
    except Exception as error:
        raise ImportFailed(f"expected {path!r} to be importable, got {type(error).__name__} ({str(error)[:150]})") from error
    return target


def check_arguments(kind: ModuleKind, given: Any) -> dict[str, Any]:
    """``module_args`` with the defaults filled in. Raises :class:`BadRequest`. A user's own class takes any."""
    if given is None:
        given = {}
    if not isinstance(given, dict) or not all(isinstance(name, str) for name in given):
        raise BadRequest(f"expected a map with texts as keys, got {type(given).__name__}, at module_args")
    if kind.path is not None:
        return dict(given)
    for name in given:
        if name not in kind.arguments:
            known = ", ".join(kind.arguments) or "none"
            raise BadRequest(f"expected the arguments of {kind.name} ({known}), got {name[:64]!r}, at module_args")
    return {name: _checked(name, argument, given.get(name, argument.default)) for name, argument in kind.arguments.items()}


def _checked(name: str, argument: Argument, value: Any) -> Any:
    where = f"module_args.{name}"
    if argument.type == "module":
        inner = find_module(value)
        if inner.single_use or inner.path is not None:
            raise BadRequest(f"expected a module that answers by itself, got {inner.name}, at {where}")
        return value
    if argument.type == "reward":
        if value != "complete" and value not in _rewards:
            raise BadRequest(
                f"expected a reward out of {', '.join(['complete', *sorted(_rewards)])}, got {str(value)[:64]!r}, at {where}"
            )
        return value
    numbers = (int, float) if argument.type == "float" else (int,)
    if not isinstance(value, numbers) or isinstance(value, bool) or not argument.least <= value <= argument.most:
        got = repr(value) if isinstance(value, (int, float)) and abs(value) < 1e18 else type(value).__name__
        raise BadRequest(f"expected {argument.type} from {argument.least:g} to {argument.most:g}, got {got}, at {where}")
    return value


_register_from_environment()
