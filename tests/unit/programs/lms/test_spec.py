"""What can be said of a language model, what cannot, and that a key is never shown."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import pytest

from dspex_erl.errors import BadRequest
from dspex_erl.programs.lms.spec import Secret, parse_lm

KEY = "sk-proj-0123456789"


class TestSecret:
    def test_it_is_not_shown(self) -> None:
        secret = Secret(KEY)
        for text in (repr(secret), str(secret), f"{secret}", repr([secret])):
            assert KEY not in text
        assert secret.reveal() == KEY

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_it_is_not_pickled(self, protocol: int) -> None:
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(Secret(KEY), protocol)

    def test_it_is_not_copied_by_accident(self) -> None:
        with pytest.raises(TypeError):
            copy.deepcopy(Secret(KEY))

    def test_equality(self) -> None:
        assert Secret("a") == Secret("a")
        assert hash(Secret("a")) == hash(Secret("a"))
        assert Secret("a") != Secret("b")
        assert Secret("a") != "a"


class TestParse:
    def test_a_name_is_enough(self) -> None:
        assert parse_lm("openai/gpt-4o-mini") == parse_lm({"model": "openai/gpt-4o-mini"})

    def test_everything(self) -> None:
        spec = parse_lm(
            {
                "model": "openai/m",
                "api_base": "http://127.0.0.1:8000/v1/",
                "api_key": KEY,
                "temperature": 0.5,
                "max_tokens": 10,
                "stop": ["x"],
                "timeout_s": 5,
                "num_retries": 1,
                "cache": False,
            }
        )
        assert spec.api_base == "http://127.0.0.1:8000/v1"
        assert spec.api_key == Secret(KEY)
        assert spec.config == {"temperature": 0.5, "max_tokens": 10, "stop": ["x"]}
        assert (spec.timeout_s, spec.num_retries, spec.cache) == (5, 1, False)

    def test_nothing_is_the_default(self) -> None:
        given = dict.fromkeys(("api_base", "api_key", "api_key_env", "temperature", "timeout_s", "num_retries", "cache", "answers"))
        assert parse_lm({"model": "openai/m", **given}) == parse_lm("openai/m")
        assert parse_lm({"model": "openai/m", "api_key": "", "api_key_env": "", "api_base": ""}) == parse_lm("openai/m")

    def test_a_script_that_fails_is_seen_failing(self) -> None:
        assert parse_lm({"model": "scripted", "answers": []}).num_retries == 0
        assert parse_lm({"model": "scripted", "answers": [], "num_retries": 2}).num_retries == 2
        assert parse_lm("openai/m").num_retries == 3

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            (None, "a model's name or a map, got NoneType, at lm"),
            (7, "got int, at lm"),
            ({}, "got none, at lm.model"),
            ({"model": 7}, "at lm.model"),
            ("gpt-4o", "provider/name, or echo, scripted, local, got 'gpt-4o', at lm.model"),
            ("openai/", "at lm.model"),
            ({"model": "openai/m", "api_keys": KEY}, "got 'api_keys', at lm"),
            ({"model": "openai/m", "extra_headers": {}}, "got 'extra_headers', at lm"),
            ({"model": "openai/m", "api_key": KEY, "api_key_env": "X"}, "got both, at lm"),
            ({"model": "openai/m", "api_key": [KEY]}, "at lm.api_key"),
            ({"model": "openai/m", "api_key": KEY + "\r\nHost: elsewhere"}, "at lm.api_key"),
            ({"model": "openai/m", "api_key": "k" * 5000}, "at lm.api_key"),
            ({"model": "openai/m", "api_key": "schlüssel"}, "at lm.api_key"),
            ({"model": "openai/m", "api_base": "ftp://host"}, "at lm.api_base"),
            ({"model": "openai/m", "api_base": "http://"}, "at lm.api_base"),
            ({"model": "openai/m", "api_base": "http://host:port"}, "at lm.api_base"),
            ({"model": "openai/m", "api_base": "http://host:0"}, "at lm.api_base"),
            ({"model": "openai/m", "api_base": "http://ho st"}, "at lm.api_base"),
            ({"model": "openai/m", "api_base": f"https://user:{KEY}@host"}, "without user"),
            ({"model": "openai/m", "api_base": f"https://host/v1?key={KEY}"}, "without user, query"),
            ({"model": "openai/m", "timeout_s": 0}, "at lm.timeout_s"),
            ({"model": "openai/m", "timeout_s": True}, "at lm.timeout_s"),
            ({"model": "openai/m", "timeout_s": float("nan")}, "at lm.timeout_s"),
            ({"model": "openai/m", "num_retries": 1.5}, "at lm.num_retries"),
            ({"model": "openai/m", "num_retries": -1}, "at lm.num_retries"),
            ({"model": "openai/m", "cache": 1}, "at lm.cache"),
            ({"model": "openai/m", "cache": "no"}, "at lm.cache"),
            ({"model": "openai/m", "temperature": "hot"}, "temperature"),
            ({"model": "openai/m", "answers": []}, "at lm.answers"),
            ({"model": "scripted"}, "got NoneType, at lm.answers"),
            ({"model": "scripted", "answers": "text"}, "at lm.answers"),
            ({"model": "scripted", "answers": ["a", 7]}, "at lm.answers[1]"),
            ({"model": "scripted", "answers": [{1: 2}]}, "at lm.answers[0]"),
            ({"model": "scripted", "answers": [{"delay_ms": "long"}]}, "at lm.answers[0].delay_ms"),
            ({"model": "scripted", "answers": [{"delay_ms": -1}]}, "at lm.answers[0].delay_ms"),
            ({"model": "scripted", "answers": [{"error": "lm_auth", "retry_after_ms": "soon"}]}, "at lm.answers[0].retry_after_ms"),
        ],
    )
    def test_refused(self, given: Any, said: str) -> None:
        with pytest.raises(BadRequest) as caught:
            parse_lm(given)
        assert said in str(caught.value)
        assert KEY not in str(caught.value)


class TestPlain:
    def test_a_key_by_value_stays(self) -> None:
        spec = parse_lm({"model": "openai/m", "api_key": KEY, "api_base": "http://host/v1", "temperature": 0})
        plain = spec.to_plain()
        assert KEY not in repr(plain)
        assert KEY not in repr(spec)
        again = parse_lm(plain)
        assert again.lacks_key
        assert again == dataclasses.replace(spec, api_key=None)

    def test_a_key_by_name_goes_along(self) -> None:
        spec = parse_lm({"model": "openai/m", "api_key_env": "SOME_KEY"})
        assert parse_lm(spec.to_plain()) == spec
        assert not spec.lacks_key

    @pytest.mark.parametrize("given", ["echo", "local", {"model": "scripted", "answers": ["a", {"b": [1]}, {"error": "lm_auth"}]}])
    def test_the_models_without_a_key(self, given: Any) -> None:
        spec = parse_lm(given)
        assert parse_lm(spec.to_plain()) == spec
        assert not spec.lacks_key
