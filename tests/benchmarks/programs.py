"""What sessions and programs cost on top of DSPy: processor time of a call, hundreds of sessions at once, memory, resetting, importing.

The language model is the tests' HTTP server in a process of its own, so that what is measured in the worker's process is the worker's.
"""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic, perf_counter, thread_time
from typing import Any

from tests.benchmarks.measure import Summary
from tests.benchmarks.table import Row, Target
from tests.peer import Peer

ROUNDS = 15
CALLS = 40
SESSIONS = 500
TURNS = 3


@contextmanager
def lm_server(latency: float) -> Iterator[str]:
    """The URL of a server in another process that takes ``latency`` seconds to answer."""
    command = [sys.executable, "-m", "tests.lm_server", "--port", "0", "--latency", str(latency)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.terminate()


def rows(*, quick: bool) -> list[Row]:
    """All rows of this part."""
    rounds = 3 if quick else ROUNDS
    with lm_server(0.0) as url:
        made = [*_bridge_rows(url, rounds)]
    with lm_server(1.0) as url:
        made += _at_once_rows(url, 50 if quick else SESSIONS)
    return [*made, _reset_row(rounds), *_memory_rows(50 if quick else SESSIONS), *_import_rows(rounds)]


def _lm(url: str, **more: Any) -> dict[str, Any]:
    return {"model": "openai/test", "api_base": url, "api_key": "sk-test", "cache": False, **more}


def _bridge_rows(url: str, rounds: int) -> list[Row]:
    """``execute_program`` in turns with the same program and the same engine called directly, both in this thread."""
    import dspy

    import dspex_erl
    from dspex_erl.api import bridge
    from dspex_erl.programs.models import adapter_of, model_of

    dspex_erl.create_session("bench", {"lm": _lm(url)})
    dspex_erl.create_program("bench", "qa", "question -> answer")
    dspex_erl.execute_program("bench", "qa", {"question": "warm"})
    session = bridge().registry.get("bench")
    model = model_of(session)
    module, lm, adapter = session.programs["qa"].built.module, model.configured({}), adapter_of(session, model)

    def direct(question: str) -> Any:
        with dspy.context(lm=lm, adapter=adapter, trace=[], disable_history=True):
            return module(question=question)

    def through(question: str) -> Any:
        return dspex_erl.execute_program("bench", "qa", {"question": question})

    seconds: dict[str, list[float]] = {"direct": [], "through": []}
    for number in range(rounds):
        for name, function in (("direct", direct), ("through", through)):
            gc.collect()
            begun = thread_time()
            for call in range(CALLS):
                function(f"{number} {call}")
            seconds[name].append((thread_time() - begun) / CALLS)
    dspex_erl.destroy_session("bench")
    added = [through - direct for through, direct in zip(seconds["through"], seconds["direct"], strict=True)]
    return [
        Row(
            "processor time that execute_program adds to a call",
            Summary.of(added),
            "s",
            "the same program and engine in plain DSPy",
            Summary.of(seconds["direct"]),
            Summary.of_ratios(seconds["through"], seconds["direct"]),
            Target(0.00025, on="value"),
            f"{rounds} rounds of {CALLS} calls",
        )
    ]


def _at_once_rows(url: str, sessions: int) -> list[Row]:
    """Every session asks three times, one after the other, all sessions at once, on one worker."""
    began: dict[int, float] = {}
    taken: list[float] = []
    with Peer("--concurrency", "2000") as peer:
        names = [f"session {number}".encode() for number in range(sessions)]
        lm = {name.encode(): value.encode() if isinstance(value, str) else value for name, value in _lm(url).items()}
        for name in names:
            peer.call("dspex_erl", "create_session", [name, {b"lm": lm}], timeout=60)
            peer.call("dspex_erl", "create_program", [name, b"qa", b"question -> answer"], timeout=60)
        start = monotonic()
        owners: dict[int, tuple[bytes, int]] = {}

        def ask(name: bytes, turn: int) -> None:
            id = peer.send_call("dspex_erl", "execute_program", [name, b"qa", {b"question": name + b" %d" % turn}])
            owners[id], began[id] = (name, turn), monotonic()

        for name in names:
            ask(name, 1)
        while owners:
            answer: Any = peer.receive(timeout=60)
            name, turn = owners.pop(answer.id)
            taken.append(monotonic() - began[answer.id])
            if turn < TURNS:
                ask(name, turn + 1)
        wall = monotonic() - start
    assert len(taken) == sessions * TURNS
    slowest = sorted(taken)[int(len(taken) * 0.99)]
    what = f"{sessions} sessions × {TURNS} calls at once, a server that takes 1 s"
    return [
        Row(f"{what}: all of them", Summary.of([wall]), "s", target=Target(4.5, on="value"), remark="3 s if nothing took any time"),
        Row(
            f"{what}: 99 of 100 within",
            Summary.of([slowest]),
            "s",
            target=Target(1.6, on="value"),
            raw={"seconds": Summary.of(taken)},
        ),
    ]


def _reset_row(rounds: int) -> Row:
    import dspex_erl

    seconds = []
    for _ in range(rounds):
        for number in range(100):
            dspex_erl.create_program("bench", f"p{number}", "question -> answer")
        begun = perf_counter()
        reply = dspex_erl.reset_programs("bench")
        seconds.append(perf_counter() - begun)
        assert list(reply.values())[1] == 100
    dspex_erl.destroy_session("bench")
    return Row("reset_programs of 100 programs", Summary.of(seconds), "s", target=Target(0.001, on="value"))


_MEMORY = """
import sys
sys.path[:0] = sys.argv[3:]
import dspex_erl, gc
from dspex_erl.bridge.resident import resident_bytes
count, distinct = int(sys.argv[1]), sys.argv[2] == "distinct"
def make(number):
    name = f"session {number}"
    dspex_erl.create_session(name, {"lm": {"model": "echo"}})
    dspex_erl.create_program(name, "qa", f"question{number} -> answer" if distinct else "question -> answer")
    dspex_erl.execute_program(name, "qa", {f"question{number}" if distinct else "question": "Why?"})
for number in range(50):
    make(number)
gc.collect()
before = resident_bytes()
for number in range(50, 50 + count):
    make(number)
gc.collect()
print((resident_bytes() - before) / count)
"""


def _memory_rows(sessions: int) -> list[Row]:
    def measured(kind: str) -> Summary:
        command = [sys.executable, "-W", "ignore", "-c", _MEMORY, str(sessions), kind, *sys.path]
        return Summary.of([float(subprocess.run(command, check=True, capture_output=True, text=True).stdout) for _ in range(3)])

    same, distinct = measured("same"), measured("distinct")
    return [
        Row(
            "memory of one more session with a program, in kB",
            same.scaled(1e-3),
            "×",
            target=Target(50, on="value"),
            remark="all of one signature",
        ),
        Row("the same, in kB", distinct.scaled(1e-3), "×", remark="each with a signature of its own"),
    ]


def _import_rows(rounds: int) -> list[Row]:
    path = f"import sys; sys.path[:0] = {[entry for entry in sys.path if entry]!r}; "

    def seconds(code: str) -> float:
        begun = perf_counter()
        subprocess.run([sys.executable, "-c", path + code], check=True)
        return perf_counter() - begun

    def row(name: str, code: str, target: Target | None) -> Row:
        seconds(code)
        pairs = [(seconds(code), seconds("pass")) for _ in range(rounds)]
        return Row(
            name,
            Summary.of([ours - theirs for ours, theirs in pairs]),
            "s",
            "python3 -c pass",
            Summary.of([theirs for _, theirs in pairs]),
            Summary.of([ours / theirs for ours, theirs in pairs]),
            target,
            "without DSPy",
        )

    return [
        row("import of dspex_erl, more than python3 -c pass", "import dspex_erl", Target(0.040, on="value")),
        row("the same with all of its functions", "import dspex_erl.api, dspex_erl.envelopes", None),
    ]
