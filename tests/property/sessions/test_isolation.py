"""Sessions that share a process see what they would see if each had a process to itself, whatever they do and in whatever order."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dspex_erl
from tests import session_oracle

SIGNATURES = [
    "question -> answer",
    {"signature": "question -> answer", "module": "chain_of_thought"},
    {"signature": "question -> answer", "instructions": "Be brief.", "config": {"temperature": 0.5}},
    {"signature": "question -> label: Literal['yes', 'no'], score: float"},
    {"signature": "question -> answer", "demos": [{"question": "a", "answer": "b"}]},
    "question -> x: this.s",
    {"signature": "question -> answer", "module": "os.system"},
]

PROGRAMS = st.sampled_from(["p", "q"])
INPUTS = st.sampled_from([{"question": "one"}, {"question": "two"}, {}, {"question": 1}, {"question": "one", "more": 1}])


def scripted(texts: list[str]) -> dict[str, Any]:
    return {"model": "scripted", "answers": [{"answer": text, "reasoning": "so", "label": "no", "score": 0.5} for text in texts]}


MODELS = st.one_of(
    st.just({"model": "echo"}),
    st.lists(st.sampled_from(["red", "green", "blue"]), max_size=4).map(scripted),
    st.just({"model": "echo", "cache": False}),
    st.just({"model": "scripted", "answers": [{"error": "rate_limited", "retry_after_ms": 5}, {"answer": "late"}]}),
)

COMMANDS = st.one_of(
    st.tuples(st.just("create_program"), PROGRAMS, st.sampled_from(SIGNATURES)),
    st.tuples(st.just("execute_program"), PROGRAMS, INPUTS),
    st.tuples(st.just("execute_program"), PROGRAMS, st.just({"question": "one"}), st.just({"config": {"temperature": 1.0}})),
    st.tuples(st.just("configure_lm"), MODELS),
    st.tuples(st.sampled_from(["delete_program", "clear_program", "get_program_info"]), PROGRAMS),
    st.tuples(
        st.sampled_from(
            ["reset_programs", "reset_state", "list_programs", "get_stats", "get_session_info", "export_session", "destroy_session"]
        )
    ),
    st.just(("import_session", "$snapshot")),
    st.tuples(
        st.just("create_session"),
        st.fixed_dictionaries({"lm": MODELS}, optional={"adapter": st.sampled_from(["chat", "json"]), "max_programs": st.just(1)}),
    ),
)

# Most sequences are worth more if they begin with something to run.
SEQUENCES = st.tuples(MODELS, st.sampled_from(SIGNATURES[:5]), st.lists(COMMANDS, max_size=12)).map(
    lambda parts: [["create_session", {"lm": parts[0]}], ["create_program", "p", parts[1]], *map(list, parts[2])]
)


@pytest.fixture(scope="module")
def oracle() -> Iterator[subprocess.Popen[str]]:
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-c",
        "import sys; sys.path[:0] = sys.argv[1:]; from tests.session_oracle import main; main()",
    ]
    with subprocess.Popen([*command, *sys.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def alone(oracle: subprocess.Popen[str], session: str, commands: list[list[Any]]) -> list[Any]:
    assert oracle.stdin is not None
    assert oracle.stdout is not None
    print(json.dumps([session, commands]), file=oracle.stdin, flush=True)
    replies: list[Any] = json.loads(oracle.stdout.readline())
    return replies


def together(work: dict[str, list[list[Any]]]) -> dict[str, list[Any]]:
    """All sessions at once, each on a thread of its own; then none of them is left."""
    start = threading.Barrier(len(work))
    replies: dict[str, list[Any]] = {}

    def serve(session: str) -> None:
        start.wait()
        replies[session] = json.loads(json.dumps(session_oracle.run(session, work[session])))

    threads = [threading.Thread(target=serve, args=(session,)) for session in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for session in work:
        dspex_erl.invoke("destroy_session", [session], {})
    return replies


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(st.lists(SEQUENCES, min_size=2, max_size=6))
def test_together_as_alone(oracle: subprocess.Popen[str], sequences: list[list[list[Any]]]) -> None:
    work = {f"session {number}": commands for number, commands in enumerate(sequences)}
    replies = together(work)
    for session, commands in work.items():
        assert replies[session] == alone(oracle, session, commands), commands


def test_the_oracle_would_notice(oracle: subprocess.Popen[str]) -> None:
    commands = [["create_session", {"lm": scripted(["red"])}], ["create_program", "p", "question -> answer"]]
    asked = [*commands, ["execute_program", "p", {"question": "one"}]]
    other = [["create_session", {"lm": scripted(["blue"])}], *asked[1:]]
    assert alone(oracle, "s", asked)[-1] != together({"s": other})["s"][-1]
