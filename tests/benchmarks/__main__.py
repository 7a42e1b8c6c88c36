"""``python -m tests.benchmarks``: measures, prints the table, writes the JSON file."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks import codec, growth, machine, payloads, ports, programs
from tests.benchmarks.table import Row, render

SECTIONS = ("codec", "wire", "startup", "memory", "programs")

_PORT_ROWS: dict[str, Callable[..., list[Row]]] = {
    "wire": ports.wire_rows,
    "startup": ports.startup_rows,
    "memory": ports.memory_rows,
}


def main() -> int:
    """Exit status 0 whether or not the targets are met: on a machine shared with others that would be a matter of luck."""
    options = _options()
    started = time.monotonic()
    report: dict[str, Any] = {**machine.facts(), "worker_python": options.python, "quick": options.quick}
    rows: list[Row] = []
    if "codec" in options.only:
        data, report["payloads"] = payloads.load()
        _progress("codec")
        rows += codec.rows(data, quick=options.quick)
        _progress("growth")
        rows += growth.rows(data, quick=options.quick)
    rows += _port_rows(options)
    if "programs" in options.only:
        _progress("programs")
        rows += programs.rows(quick=options.quick)
    report["seconds"] = round(time.monotonic() - started, 1)
    print(_heading(report), render(rows), _verdict(rows), sep="\n\n")
    report["rows"] = [row.as_data() for row in rows]
    options.json.write_text(json.dumps(report, ensure_ascii=False, indent=1) + "\n", "utf-8")
    _progress(f"written to {options.json}")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Measures the codec and the worker.")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, and growth up to ten times only")
    parser.add_argument("--only", action="append", choices=SECTIONS, metavar="|".join(SECTIONS), help="a part; can be repeated")
    parser.add_argument("--json", type=Path, default=Path("bench.json"), metavar="FILE", help="default bench.json")
    parser.add_argument("--python", default=sys.executable, help="the interpreter that runs the workers (default: this one)")
    options = parser.parse_args()
    options.only = options.only or list(SECTIONS)
    return options


def _port_rows(options: argparse.Namespace) -> list[Row]:
    wanted = [section for section in _PORT_ROWS if section in options.only]
    rows: list[Row] = []
    if wanted:
        commands = ports.Commands(options.python)
        with ports.erlang() as node:
            for section in wanted:
                _progress(section)
                rows += _PORT_ROWS[section](node, commands, quick=options.quick)
    return rows


def _heading(report: dict[str, Any]) -> str:
    taken_on = f"{report['cpu']}, {report['usable_cores']} cores, {report['os']}, {report['python']}, OTP {report['otp']}"
    return f"{taken_on}; {report['seconds']} s in all"


def _verdict(rows: list[Row]) -> str:
    aimed = [row for row in rows if row.target is not None]
    missed = [row.name for row in aimed if not row.met()]
    return f"{len(aimed) - len(missed)} of {len(aimed)} targets met" + (f"; missed: {'; '.join(missed)}" if missed else "")


def _progress(what: str) -> None:
    print(f"benchmarks: {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
