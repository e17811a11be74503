"""Reading and writing chat completions, apart from any server."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aotd.tools.chat_wire import chosen, length_field, pause, styles_for

YES_NO = ("yes", "no")


@pytest.mark.parametrize(
    ("host", "name"), [("api.openai.com", "max_completion_tokens"), ("localhost", "max_tokens")]
)
def test_the_longest_reply_has_the_name_that_the_server_knows(host: str, name: str) -> None:
    """The newer models of OpenAI refuse `max_tokens`, and some other servers know nothing else."""
    assert length_field(host) == name


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, 0.0),
        ("2", 2.0),
        ("3600", 30.0),
        ("-1", 0.0),
        ("nan", 0.0),
        ("soon", 0.0),
        ("Sun, 06 Nov 1994 08:49:47 GMT", 10.0),
        ("Sun, 06 Nov 1994 08:49:00 GMT", 0.0),
        ("Mon, 07 Nov 1994 08:49:37 GMT", 30.0),
    ],
)
def test_retry_after_is_read_in_both_forms_and_bounded(header: str | None, seconds: float) -> None:
    """Seconds and dates (RFC 9110, 10.2.3) are read, waits are bounded, nonsense is no wait."""
    assert pause(header, datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)) == seconds


@pytest.mark.parametrize(
    "models", [None, "oops", [], {}, {"data": None}, {"data": ["vllm"]}, {"data": [{"id": "vllm"}]}]
)
def test_a_model_list_that_tells_nothing_is_any_server(models: object) -> None:
    """Whatever stands in place of a model list, OpenAI's way is the first to try."""
    assert styles_for("auto", models) == ("response_format", "guided", "none")


@pytest.mark.parametrize(
    ("text", "choices", "expected"),
    [
        ("yes", YES_NO, "yes"),
        (" YES \n", YES_NO, "yes"),
        ('{"choice": "No"}', YES_NO, "no"),
        ("yes.", YES_NO, "yes."),
        ("yes, because", YES_NO, "yes, because"),
        ("yes and no", YES_NO, "yes and no"),
        ("", YES_NO, ""),
        ('{"choice": "maybe"}', YES_NO, '{"choice": "maybe"}'),
        ('{"choice": "yes", "why": "no"}', YES_NO, '{"choice": "yes", "why": "no"}'),
        ('{"choice": 1}', YES_NO, '{"choice": 1}'),
        ('{"choice": "ye', YES_NO, '{"choice": "ye'),
        ("a", ("A", "a"), "a"),
        ("STRASSE", ("straße", "gasse"), "straße"),
        ("Ab", ("AB", "ab"), "Ab"),
    ],
)
def test_a_reply_is_a_choice_or_left_as_it_is(text: str, choices: tuple[str, ...], expected: str) -> None:
    """Only the whole reply, whatever its case, counts as a choice; nothing is guessed from a part of it."""
    assert chosen(text, choices) == expected


@given(
    st.text(max_size=20).filter(lambda text: not text.strip().startswith("{")),
    st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=4),
)
def test_reading_a_choice_never_invents_words(text: str, choices: list[str]) -> None:
    """Whatever a model says, the result is its own text or one of the choices that says the same."""
    result = chosen(text, choices)
    if result != text:
        assert result in choices
        assert result.strip().casefold() == text.strip().casefold()


@given(st.lists(st.text(max_size=8), min_size=1, max_size=4, unique=True))
def test_a_choice_wrapped_as_the_schema_demands_is_read_back(choices: list[str]) -> None:
    """Every choice survives the JSON that a schema-bound server wraps it in, or is left wrapped."""
    stripped = [c for c in choices if c == c.strip()]
    for choice in stripped:
        assert chosen(json.dumps({"choice": choice}), choices) == choice
