"""Workers behind real ports of Erlang, driven by ``bench_port.erl``.

The rows that say "one core" are taken with one Erlang scheduler and everything on one core: across cores the same code takes
several times as long, and how long is mostly a matter of how the system wakes idle cores up.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dspex_erl.etf import Codec
from dspex_erl.terms import Atom
from tests.benchmarks.machine import usable_cores
from tests.benchmarks.measure import Summary
from tests.benchmarks.table import Row, Target

CALLERS = 32
SLEEP_SECONDS = 0.01
BULK_BYTES = 64 * 1024 * 1024
PATIENCE_SECONDS = 300

_SOURCE = Path(__file__).with_name("bench_port.erl")
_ERLPORT = ("-u", "-m", "erlport.cli", "--packet=4", "--use_stdio", "--compressed=0", "--buffer_size=65536")

_CODEC = Codec(strings="str", max_bytes=2**30)
_ADD = (Atom("operator"), Atom("add"), [2, 2])
_SLEEP = (Atom("time"), Atom("sleep"), [SLEEP_SECONDS])

Samples = dict[str, list[Any]]
"""What was measured, by the label of the contender; times are in nanoseconds."""


@dataclass(frozen=True, slots=True)
class Commands:
    """The programs to compare, as ErlPort would start them with the interpreter ``python``."""

    python: str

    def contenders(self) -> dict[str, str]:
        return {
            "cat": "cat",
            "worker": self.worker(),
            "concurrent": self.worker("--concurrency", str(CALLERS)),
            "serial": self.serial(),
        }

    def only(self, *labels: str) -> list[tuple[str, str]]:
        contenders = self.contenders()
        return [(label, contenders[label]) for label in labels]

    def worker(self, *options: str) -> str:
        return shlex.join([self.python, "-m", "dspex_erl.port", *options, *_ERLPORT])

    def serial(self) -> str:
        return shlex.join([self.python, "-m", "tests.benchmarks.serial_worker", *_ERLPORT])

    def nothing(self) -> str:
        return shlex.join([self.python, "-c", "pass"])


class Erlang:
    """The compiled benchmark module. Each :meth:`measure` starts a node of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        subprocess.run(["erlc", "-Werror", "-o", str(folder), str(_SOURCE)], check=True)

    def measure(self, task: tuple[Any, ...], *, one_core: bool = False) -> Samples:
        """Has the node perform ``task``, one of those of ``bench_port:perform/1``."""
        tasks, answers = self._folder / "tasks", self._folder / "answers"
        tasks.write_bytes(_CODEC.encode([task]))
        command = ["erl", *(["+S", "1:1"] if one_core else []), "-noshell", "-noinput", "-pa", str(self._folder)]
        command += ["-run", "bench_port", "main", str(tasks), str(answers)]
        environment = {**os.environ, "ERL_CRASH_DUMP_SECONDS": "0"}
        pin = partial(os.sched_setaffinity, 0, usable_cores()[:1]) if one_core and usable_cores() else None
        subprocess.run(command, check=True, timeout=PATIENCE_SECONDS, env=environment, preexec_fn=pin, stdout=sys.stderr)
        (answer,) = _CODEC.decode(answers.read_bytes())
        return dict(answer)


@contextmanager
def erlang() -> Iterator[Erlang]:
    """Erlang with the benchmark module, for the length of a ``with`` block."""
    with TemporaryDirectory(prefix="dspex_erl-bench-") as folder:
        yield Erlang(Path(folder))


def wire_rows(node: Erlang, commands: Commands, *, quick: bool) -> list[Row]:
    """Small calls, many callers, and calls that sleep."""
    found: list[Row] = []
    for one_core in (True, False):
        where = "one core" if one_core else "all cores"
        found += _small_call_rows(node, commands, where, quick=quick)
        found += _many_callers_rows(node, commands, where, quick=quick)
    return [*found, _sleepers_row(node, commands, quick=quick)]


def _small_call_rows(node: Erlang, commands: Commands, where: str, *, quick: bool) -> list[Row]:
    trips = 300
    task = (Atom("round_trips"), 15 if quick else 41, trips, commands.only("cat", "worker", "concurrent", "serial"))
    measured = node.measure(task, one_core=where == "one core")
    aimed = where == "one core"
    return [
        _small_call_row(f"small call, {where}", measured, "worker", trips, Target(1.6) if aimed else None),
        _small_call_row(f"small call, --concurrency 32, {where}", measured, "concurrent", trips, Target(1.8) if aimed else None),
        _small_call_row(f"small call, plain serial loop, {where}", measured, "serial", trips, None),
    ]


def _small_call_row(name: str, measured: Samples, label: str, trips: int, target: Target | None) -> Row:
    ratio = Summary.of_ratios(measured[label], measured["cat"])
    each = 1e-9 / trips
    cat = Summary.of(measured["cat"]).scaled(each)
    return Row(name, Summary.of(measured[label]).scaled(each), "s", "cat", cat, ratio, target)


def _many_callers_rows(node: Erlang, commands: Commands, where: str, *, quick: bool) -> list[Row]:
    each = 300
    task = (Atom("calls"), 9 if quick else 25, CALLERS, each, _ADD, commands.only("worker", "concurrent", "serial"))
    measured = node.measure(task, one_core=where == "one core")
    return [
        _many_callers_row(f"{CALLERS} callers, {where}", measured, "worker", each, Target(1.0, at_least=True)),
        _many_callers_row(f"{CALLERS} callers, --concurrency 32, {where}", measured, "concurrent", each, None),
    ]


def _many_callers_row(name: str, measured: Samples, label: str, each: int, target: Target | None) -> Row:
    rates = _rates(measured[label], each)
    serial = _rates(measured["serial"], each)
    yardstick = "plain serial loop"
    return Row(name, Summary.of(rates), "/s", yardstick, Summary.of(serial), Summary.of_ratios(rates, serial), target)


def _rates(times: Sequence[int], each: int) -> list[float]:
    return [CALLERS * each * 1e9 / time for time in times]


def _sleepers_row(node: Erlang, commands: Commands, *, quick: bool) -> Row:
    measured = node.measure((Atom("calls"), 3 if quick else 15, CALLERS, 1, _SLEEP, commands.only("concurrent", "serial")))
    return Row(
        f"{CALLERS} calls that sleep 10 ms, --concurrency 32",
        Summary.of(measured["concurrent"]).scaled(1e-9),
        "s",
        "plain serial loop",
        Summary.of(measured["serial"]).scaled(1e-9),
        Summary.of_ratios(measured["concurrent"], measured["serial"]),
        Target(0.04, on="value"),
        "after one such round, in which the worker has learnt that the function is slow",
    )


def startup_rows(node: Erlang, commands: Commands, *, quick: bool) -> list[Row]:
    """From the spawning of the port to the answer of the first call, against the same interpreter with nothing to do."""
    answer, end = Atom("answer"), Atom("exit")
    contenders = [
        ("worker", answer, commands.worker()),
        ("concurrent", answer, commands.worker("--concurrency", str(CALLERS))),
        ("nothing", end, commands.nothing()),
    ]
    measured = node.measure((Atom("start"), 11 if quick else 41, contenders))
    return [
        _startup_row("start to first answer", measured, "worker", Target(1.5)),
        _startup_row("start to first answer, --concurrency 32", measured, "concurrent", None),
    ]


def _startup_row(name: str, measured: Samples, label: str, target: Target | None) -> Row:
    ratio = Summary.of_ratios(measured[label], measured["nothing"])
    nothing = Summary.of(measured["nothing"]).scaled(1e-9)
    return Row(
        name, Summary.of(measured[label]).scaled(1e-9), "s", "python3 -c pass", nothing, ratio, target, "with .pyc files in place"
    )


def memory_rows(node: Erlang, commands: Commands, *, quick: bool) -> list[Row]:
    """A large binary there and back through a fresh worker: the time, and what its memory grew by at most."""
    measured = node.measure((Atom("bulk"), 3 if quick else 7, BULK_BYTES, commands.only("cat", "worker")))
    times = {label: [sample[0] for sample in samples] for label, samples in measured.items()}
    grown = Summary.of([(peak - before) / BULK_BYTES for _, before, peak in measured["worker"]])
    return [
        Row(
            "64 MB binary there and back, time",
            Summary.of(times["worker"]).scaled(1e-9),
            "s",
            "cat",
            Summary.of(times["cat"]).scaled(1e-9),
            Summary.of_ratios(times["worker"], times["cat"]),
            Target(0.6, on="value"),
            "with Erlang's own encoding and decoding",
        ),
        Row(
            "64 MB binary there and back, memory",
            grown,
            "×",
            "the size of the binary",
            target=Target(3.0, on="value"),
            remark="the worker's peak resident memory (VmHWM), less what an idle worker has resident (VmRSS)",
        ),
    ]
