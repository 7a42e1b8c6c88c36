"""What a session asked is found again by that session, and by no other."""

from __future__ import annotations

import asyncio
import copy
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dspy
import pytest

from dspex_erl.programs import cache
from dspex_erl.programs.cache import ENTRIES, CacheUse, SessionCache, forget
from dspex_erl.programs.lms.build import Model, build_model
from dspex_erl.programs.lms.spec import parse_lm
from dspex_erl.programs.ready import dspy_module

dspy_module()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> Any:
    made = request.node.nodeid
    yield made
    for namespace in (made, made + "2"):
        forget(namespace)
        assert namespace not in cache._stores


def numbered(count: int = 100, **more: Any) -> Model:
    """A model whose answers differ, so that one that is the same was found."""
    return build_model(parse_lm({"model": "scripted", "answers": [{"answer": str(number)} for number in range(count)], **more}))


def ask(model: Model, use: CacheUse | None, question: str = "Why?", **config: Any) -> str:
    with dspy.context(
        lm=model.configured(config), callbacks=list(model.callbacks), trace=[], disable_history=True, cache_ns=use, adapter=None
    ):
        return str(dspy.Predict("question -> answer")(question=question).answer)


async def aask(model: Model, use: CacheUse) -> str:
    with dspy.context(lm=model.lm, callbacks=list(model.callbacks), trace=[], disable_history=True, cache_ns=use):
        return str((await dspy.Predict("question -> answer").acall(question="Why?")).answer)


def test_it_is_dspys() -> None:
    assert type(dspy.cache) is SessionCache


def test_found_again(name: str) -> None:
    model = numbered()
    first, second = CacheUse(name), CacheUse(name)
    assert [ask(model, first), ask(model, second), ask(model, second)] == ["0", "0", "0"]
    assert (first.hits, second.hits) == (0, 2)


def test_what_makes_a_difference(name: str) -> None:
    model = numbered()
    use = CacheUse(name)
    ask(model, use)
    assert ask(model, use, "Who?") == "1"
    assert ask(model, use, temperature=0.7) == "2"
    assert ask(model, use, temperature=0.7, rollout_id=1) == "3"
    assert ask(model, use, temperature=0.7, rollout_id=1) == "3"
    assert use.hits == 1


def test_on_an_event_loop(name: str) -> None:
    model = numbered()
    use = CacheUse(name)

    async def twice() -> list[str]:
        return [await aask(model, use), await aask(model, use)]

    assert asyncio.run(twice()) == ["0", "0"]
    assert use.hits == 1


def test_not_by_another_session(name: str) -> None:
    model = numbered()
    assert [ask(model, CacheUse(name)), ask(model, CacheUse(name + "2"))] == ["0", "1"]


def test_nothing_is_kept_without_a_session() -> None:
    model = numbered()
    before = set(cache._stores)
    assert [ask(model, None), ask(model, None)] == ["0", "1"]
    assert set(cache._stores) == before


def test_nothing_is_kept_for_a_model_without_a_cache(name: str) -> None:
    model = numbered(cache=False)
    use = CacheUse(name)
    assert [ask(model, use), ask(model, use)] == ["0", "1"]
    assert not use.store.answers


def test_forgotten_means_forgotten(name: str) -> None:
    model = numbered()
    running = CacheUse(name)
    ask(model, running)
    forget(name)
    # What a run that began before still keeps is for itself.
    ask(model, running, "Who?")
    later = CacheUse(name)
    assert ask(model, later, "Who?") == "2"
    assert later.hits == 0
    forget("nobody")


def test_an_answer_that_was_found_can_be_changed(name: str) -> None:
    use = CacheUse(name)
    with dspy.context(cache_ns=use):
        dspy.cache.put({"a": 1}, {"said": ["x"]})
        dspy.cache.get({"a": 1})["said"].append("y")
        assert dspy.cache.get({"a": 1}) == {"said": ["x"]}


def test_the_oldest_goes_first(name: str) -> None:
    with dspy.context(cache_ns=CacheUse(name)):
        for number in range(ENTRIES):
            dspy.cache.put({"number": number}, {"said": number})
        assert dspy.cache.get({"number": 0}) == {"said": 0}
        dspy.cache.put({"number": ENTRIES}, {"said": ENTRIES})
        assert dspy.cache.get({"number": 1}) is None
        assert dspy.cache.get({"number": 0}) == {"said": 0}
        assert len(CacheUse(name).store.answers) == ENTRIES


def test_what_cannot_be_a_key_is_not_kept(name: str) -> None:
    with dspy.context(cache_ns=CacheUse(name)):
        dspy.cache.put({"a": 1}, {"said": 1})
        dspy.cache.put({"a": object()}, {"said": 1})
        assert dspy.cache.get({"a": object()}) is None
        assert len(CacheUse(name).store.answers) == 1


def test_what_dspy_asks_it_besides(name: str) -> None:
    request = {"a": 1, "api_key": "k"}
    key = dspy.cache.cache_key(request, ["api_key"])
    assert key not in dspy.cache
    with dspy.context(cache_ns=CacheUse(name)):
        dspy.cache.put(request, {"said": 1}, ["api_key"], enable_memory_cache=False)
        assert key not in dspy.cache
        dspy.cache.put(request, {"said": 1}, ["api_key"])
        assert key in dspy.cache
        dspy.cache.reset_memory_cache()
        assert key not in dspy.cache
    dspy.cache.reset_memory_cache()


def test_nothing_goes_to_a_disk_or_comes_from_it(tmp_path: Path) -> None:
    path = str(tmp_path / "cache.pkl")
    with pytest.raises(NotImplementedError):
        dspy.cache.save_memory_cache(path)
    with pytest.raises(NotImplementedError):
        dspy.cache.load_memory_cache(path, allow_pickle=True)
    assert not list(tmp_path.iterdir())


def test_a_copy_counts_for_the_same_run(name: str) -> None:
    use = CacheUse(name)
    assert copy.deepcopy({"cache_ns": use})["cache_ns"] is use


def test_from_many_threads(name: str) -> None:
    use = CacheUse(name)

    def work(seed: int) -> bool:
        with dspy.context(cache_ns=use):
            for number in range(200):
                dspy.cache.put({"n": number * seed}, {"said": number * seed})
                if dspy.cache.get({"n": number * seed}) not in (None, {"said": number * seed}):
                    return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(work, range(1, 9)))
    assert len(use.store.answers) <= ENTRIES
