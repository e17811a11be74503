"""The front of a model: cache, single flight, batches, journal, retries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from aotd.tools.batching import Backbone, Front, ModelDown
from aotd.tools.cache import Cache
from aotd.tools.device import Device
from aotd.tools.models import Choice, SelectRequest, ToolError
from aotd.tools.scripted import ScriptedSelector
from aotd.traces.runs import ModelCall

ANSWERS: TypeAdapter[Choice | ToolError] = TypeAdapter(Choice | ToolError)


async def no_wait(_: float) -> None:
    """Retry at once."""


def ask_all(
    script: Callable[[SelectRequest], Choice | ToolError],
    rounds: Sequence[Sequence[str]],
    cache_bytes: int = 10**6,
) -> tuple[list[list[Any]], ScriptedSelector, list[ModelCall]]:
    """Ask each round's queries concurrently; return answers, the model and the journal."""
    model, rows = ScriptedSelector(script), []

    async def drive(backbone: Backbone) -> list[list[Any]]:
        """Ask round by round."""
        front = Front(model, model.select, ANSWERS, backbone)
        return [
            await asyncio.gather(
                *(front.ask([SelectRequest(query=q, info={}, options=None)]) for q in queries)
            )
            for queries in rounds
        ]

    with ThreadPoolExecutor(1) as device:
        backbone = Backbone(Cache(cache_bytes), Device(device), rows.append, batch_items=8, wait=no_wait)
        return asyncio.run(drive(backbone)), model, rows


def echo(request: SelectRequest) -> Choice:
    """Answer with the query."""
    return Choice(text=request.query)


def test_waiting_requests_share_a_batch_and_equal_ones_an_answer() -> None:
    """Concurrent requests reach the model in batches, and an equal request is asked once."""
    answers, model, rows = ask_all(echo, [["a", "b", "a", "c", "b"]])
    assert [a[0].answer.text for a in answers[0]] == ["a", "b", "a", "c", "b"]
    assert sum(model.batches) == 3
    assert [row.answer["text"] for row in rows] == ["a", "b", "c"]  # type: ignore[index]


def test_a_known_answer_comes_from_memory() -> None:
    """A request answered before is not asked again and says so."""
    answers, model, rows = ask_all(echo, [["a"], ["a"]])
    assert [asked[0][0].cached for asked in answers] == [False, True]
    assert (sum(model.batches), len(rows)) == (1, 1)


def test_batches_are_bounded() -> None:
    """No batch is larger than the limit, and every request is answered once."""
    _, model, _ = ask_all(echo, [[str(n) for n in range(30)]])
    assert sum(model.batches) == 30
    assert max(model.batches) <= 8


def test_a_request_that_fails_alone_leaves_its_neighbours_alone() -> None:
    """A request's own error is its answer, and the others of the batch are answered."""
    bad = ToolError(kind="bad-request", message="no")
    answers, _, rows = ask_all(lambda r: bad if r.query == "b" else echo(r), [["a", "b", "c"]])
    assert [a[0].answer for a in answers[0]] == [Choice(text="a"), bad, Choice(text="c")]
    assert [row.error is not None for row in rows] == [False, True, False]


def test_a_retryable_error_is_asked_again_and_never_kept() -> None:
    """A model that is down for a moment delays the answer only; the error is not journalled."""
    down = ToolError(kind="connection", message="refused", retryable=True)
    failures = iter([down, down])
    answers, _, rows = ask_all(lambda r: next(failures, None) or echo(r), [["a"]])
    assert answers[0][0][0].answer == Choice(text="a")
    assert [row.error for row in rows] == [None]


def test_a_model_that_stays_down_stops_the_run() -> None:
    """After several tries the front raises, naming the model and how to go on."""
    down = ToolError(kind="connection", message="refused", retryable=True)
    with pytest.raises(ModelDown, match=r"scripted/selector.*refused.*aotd resume"):
        ask_all(lambda _: down, [["a"]])


def test_a_fault_of_ours_reaches_everyone_who_waits() -> None:
    """An exception of the model's code is not swallowed."""

    def broken(_: SelectRequest) -> Choice:
        raise ZeroDivisionError("ours")

    with pytest.raises(ZeroDivisionError):
        ask_all(broken, [["a", "b"]])


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), st.text(max_size=30)), max_size=40), st.integers(1, 2000)
)
def test_cache_gives_what_was_put_last_or_nothing(puts: list[tuple[str, str]], limit: int) -> None:
    """Whatever was dropped, a key never gives another key's or an older answer."""
    cache, newest = Cache(limit), dict[str, bytes]()
    for key, text in puts:
        cache.put(key, text.encode())
        newest[key] = text.encode()
        assert cache.get(key) == text.encode()
    assert all(cache.get(key) in (None, text) for key, text in newest.items())


def test_cache_drops_what_was_not_used_for_longest() -> None:
    """Room is made by dropping the entry that was neither put nor read for longest."""
    cache = Cache(3 * 1300)
    for key in "abc":
        cache.put(key, b"x" * 1000)
    cache.get("a")
    cache.put("d", b"x" * 1000)
    assert [cache.get(k) is not None for k in "abcd"] == [True, False, True, True]


def test_an_answer_put_again_takes_room_once() -> None:
    """Replacing an entry over and over drops no other."""
    cache = Cache(3 * 1300)
    cache.put("a", b"x" * 1000)
    for _ in range(20):
        cache.put("b", b"x" * 1000)
    assert cache.get("a") == b"x" * 1000
