"""Imports inside the package point down only, and the lower layers touch nothing of the world."""

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import dspex_erl

PACKAGE = "dspex_erl"
ROOT = Path(dspex_erl.__file__).parent

# Lowest first. A module may import its own layer and those before it.
LAYERS = ["errors", "terms", "etf", "wire", "runtime", "compat", "port", "sessions", "programs", "bridge", "api", "envelopes"]

# What reads a descriptor, starts a thread, asks a clock or configures a logger is no business of a layer that takes bytes
# and gives terms.
SANS_IO = {"errors", "terms", "etf", "wire"}
WORLD = {
    "_thread",
    "asyncio",
    "concurrent",
    "logging",
    "multiprocessing",
    "os",
    "select",
    "selectors",
    "signal",
    "socket",
    "subprocess",
    "threading",
    "time",
}

# The codec asks the environment which coder to use, once, and nothing else of the operating system.
ENVIRONMENT_READERS = {"etf"}

# The one layer that knows of DSPy. What of it is imported before a program is made does without DSPy all the same: see the test.
USES_DSPY = {"programs"}

# Heavy, optional, or somebody else's: only ever imported where first needed.
NEVER_AT_IMPORT = {"dspy", "erlport", "numpy", "pydantic", "redis"}


@dataclass(frozen=True)
class Import:
    line: int
    name: str
    at_import_time: bool


def imports(tree: ast.Module, module: str, is_package: bool) -> Iterator[Import]:
    """Every module that an ``import`` of the source names, absolute, once for each place it may come from.

    ``from a import b`` names both ``a`` and ``a.b``: whether ``b`` is a module cannot be seen from here.
    """
    for node, running in _walk(tree, running=True):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, alias.name, running)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                parent = parts[: len(parts) - node.level + is_package]
                base = ".".join([*parent, base] if base else parent)
            yield Import(node.lineno, base, running)
            for alias in node.names:
                yield Import(node.lineno, f"{base}.{alias.name}", running)


def _walk(node: ast.AST, running: bool) -> Iterator[tuple[ast.AST, bool]]:
    yield node, running
    if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
        for child in node.body:
            yield from _walk(child, running=False)
        for child in node.orelse:
            yield from _walk(child, running)
        return
    inner = running and not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
    for child in ast.iter_child_nodes(node):
        yield from _walk(child, inner)


def layer(name: str) -> str | None:
    """The layer of an absolute module name; None for the package itself and for what is not in it."""
    parts = name.split(".")
    return parts[1] if parts[0] == PACKAGE and len(parts) > 1 else None


def faults(source: str, module: str, is_package: bool = False) -> list[str]:
    """What is wrong with the imports of one module, one sentence each."""
    tree = ast.parse(source)
    own = layer(module)
    found = []
    for entry in imports(tree, module, is_package):
        top = entry.name.split(".")[0]
        where = f"{module}:{entry.line}"
        if top in NEVER_AT_IMPORT and entry.at_import_time and own not in USES_DSPY:
            found.append(f"{where} imports {top} when it is itself imported")
        if own is None:
            continue
        target = layer(entry.name)
        if target in LAYERS and LAYERS.index(target) > LAYERS.index(own):
            found.append(f"{where} imports from {target}, a layer above it")
        if entry.name == PACKAGE:
            found.extend(_names_of_the_top(tree, entry, where))
        if own in SANS_IO and top in WORLD and not (top == "os" and own in ENVIRONMENT_READERS):
            found.append(f"{where} imports {top}")
    if own in ENVIRONMENT_READERS:
        found.extend(_beyond_environ(tree, module))
    return sorted(set(found))


def _names_of_the_top(tree: ast.Module, entry: Import, where: str) -> Iterator[str]:
    """``from dspex_erl import x`` may name a layer, which is judged by itself, and the version; the rest stands above."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.lineno == entry.line:
            for alias in node.names:
                if alias.name not in LAYERS and alias.name != "__version__":
                    yield f"{where} imports {alias.name} from the top of the package"


def _beyond_environ(tree: ast.Module, module: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os":
            if node.attr != "environ":
                yield f"{module}:{node.lineno} uses os.{node.attr}; of os it may use environ alone"
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            yield f"{module}:{node.lineno} imports names from os; write os.environ where it is used"


def modules() -> list[tuple[str, Path]]:
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        found.append((".".join(parts[:-1] if parts[-1] == "__init__" else parts), path))
    return found


@pytest.mark.parametrize(("module", "path"), modules(), ids=[name for name, _ in modules()])
def test_imports_point_down(module: str, path: Path) -> None:
    assert faults(path.read_text(encoding="utf-8"), module, path.name == "__init__.py") == []


def test_every_module_has_a_layer() -> None:
    assert {layer(name) for name, _ in modules()} - {None} <= set(LAYERS)


def test_the_layers_that_others_need_are_there() -> None:
    assert {"errors", "terms", "etf", "wire"} <= {layer(name) for name, _ in modules()}


def test_importing_the_package_loads_nothing_heavy() -> None:
    names = [name for name, _ in modules() if (layer(name) or "errors") in SANS_IO and not name.endswith("__main__")]
    program = (
        "import importlib, sys\n"
        f"for name in {names!r}:\n"
        "    importlib.import_module(name) if not name.endswith('_speedups') else None\n"
        f"print(*sorted(set(sys.modules) & {NEVER_AT_IMPORT | {'asyncio', 'socket'}!r}))\n"
    )
    run = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert run.stdout.split() == []


def test_dspy_is_imported_at_its_first_need() -> None:
    program = (
        "import sys, dspex_erl\n"
        "lm = {'model': 'openai/gpt-4o-mini', 'api_key': 'sk-secret'}\n"
        "dspex_erl.create_session('s', {'lm': lm, 'adapter': 'json', 'config': {'temperature': 1}})\n"
        "dspex_erl.invoke('create_program', ['s', 'p', 'x: this.s -> a'])\n"
        "dspex_erl.handle_message({'id': 1, 'command': 'get_stats'})\n"
        "dspex_erl.health_check(), dspex_erl.list_sessions(), dspex_erl.reset_state(), dspex_erl.destroy_session('s')\n"
        f"print(*sorted(set(sys.modules) & {NEVER_AT_IMPORT!r}))\n"
        "dspex_erl.create_program('s', 'p', 'q -> a')\n"
        "print('dspy' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, capture_output=True, text=True)
    assert run.stdout.splitlines() == ["", "True"]


@pytest.mark.parametrize("name", ["errors", "terms", "etf", "wire", "sessions", "api", "envelopes"])
def test_exported_names_exist_and_are_sorted(name: str) -> None:
    module = importlib.import_module(f"{PACKAGE}.{name}")
    exported = module.__all__
    assert [entry for entry in exported if not hasattr(module, entry)] == []
    assert len(set(exported)) == len(exported)


# The judge is judged: each of these must be seen, or the tests above prove nothing.
@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("dspex_erl.errors", "import dspex_erl.terms"),
        ("dspex_erl.terms._atom", "from dspex_erl import etf"),
        ("dspex_erl.terms._atom", "from dspex_erl import create_program"),
        ("dspex_erl.terms._atom", "from ..etf import decode"),
        ("dspex_erl.etf._pure", "def f():\n    from dspex_erl.wire import framing"),
        ("dspex_erl.etf._pure", "if TYPE_CHECKING:\n    from dspex_erl.wire import framing"),
        ("dspex_erl.wire.protocol", "import os"),
        ("dspex_erl.wire.protocol", "from time import monotonic"),
        ("dspex_erl.wire.protocol", "import asyncio.streams"),
        ("dspex_erl.wire.protocol", "import dspex_erl.runtime.worker"),
        ("dspex_erl.runtime.worker", "from dspex_erl import port"),
        ("dspex_erl.runtime.worker", "from dspex_erl.compat import erlang"),
        ("dspex_erl.runtime.worker", "import dspy"),
        ("dspex_erl.runtime.worker", "try:\n    from dspy import Predict\nexcept ImportError:\n    pass"),
        ("dspex_erl.etf", "import os\nos.fork()"),
        ("dspex_erl.etf", "from os import read"),
        ("dspex_erl", "import erlport.erlterms"),
        ("dspex_erl.sessions.session", "import dspy"),
        ("dspex_erl.sessions.session", "from dspex_erl.programs import spec"),
        ("dspex_erl.programs.spec", "from dspex_erl.bridge import dialect"),
        ("dspex_erl.api", "import dspy"),
    ],
)
def test_a_fault_is_seen(module: str, source: str) -> None:
    assert len(faults(source, module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("dspex_erl.port", "from dspex_erl.runtime import worker\nimport os, threading"),
        ("dspex_erl.wire.protocol", "from dspex_erl.wire import events\nfrom dspex_erl import __version__, errors"),
        ("dspex_erl.etf", "import os\nx = os.environ.get('DSPEX_ERL_PURE')"),
        ("dspex_erl.runtime.worker", "def f():\n    import dspy"),
        ("dspex_erl", "from dspex_erl.port import main"),
    ],
)
def test_no_fault_is_invented(module: str, source: str) -> None:
    assert faults(source, module) == []


def test_relative_imports_of_a_package_are_resolved() -> None:
    tree = ast.parse("from . import a\nfrom .. import b")
    assert [entry.name for entry in imports(tree, "p.q", is_package=True)] == ["p.q", "p.q.a", "p", "p.b"]
    assert [entry.name for entry in imports(tree, "p.q.r", is_package=False)] == ["p.q", "p.q.a", "p", "p.b"]
