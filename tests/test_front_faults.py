"""The front of a model when time passes and things go wrong, on a clock that jumps.

A front in which everyone waits for everyone raises `Stuck` here instead of hanging.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from aotd.benchmarks.perf.clock import VirtualThreads, run
from aotd.tools.batching import Answered, Backbone, Front, ModelDown
from aotd.tools.cache import Cache
from aotd.tools.device import Device
from aotd.tools.models import Choice, ModelIdentity, SelectRequest, ToolError
from aotd.tools.retries import Patience, insist
from aotd.traces.runs import ModelCall

ANSWERS: TypeAdapter[Choice | ToolError] = TypeAdapter(Choice | ToolError)
DOWN = ToolError(kind="connection", message="refused", retryable=True)
FULL = ToolError(kind="out-of-memory", message="too many", retryable=True)

Result = TypeVar("Result")


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


class Echo:
    """A model that repeats the query; a batch takes a second, and `fault` may spoil it."""

    reads_pixels = False

    def __init__(self, threads: VirtualThreads, name: str = "echo", *, sampled: bool = False) -> None:
        self.identity = ModelIdentity(id=name, sampled=sampled)
        self.threads = threads
        self.batches: list[tuple[float, list[str]]] = []
        self.fault: Callable[[float, list[str]], Sequence[ToolError | None]] | None = None

    def select(self, requests: Sequence[SelectRequest]) -> list[Choice | ToolError]:
        """Answer each request with its query."""
        now, queries = asyncio.get_running_loop().time(), [r.query for r in requests]
        self.batches.append((now, queries))
        self.threads.spend(1.0)
        spoiled = self.fault(now, queries) if self.fault else [None] * len(queries)
        return [error or Choice(text=q) for error, q in zip(spoiled, queries, strict=True)]


class Bench:
    """A model, its front and its journal."""

    def __init__(self, items: int = 8, lanes: int = 1, *, sampled: bool = False) -> None:
        threads = VirtualThreads()
        self.rows: list[ModelCall] = []
        self.model = Echo(threads, sampled=sampled)
        self.backbone = Backbone(Cache(10**6), Device(threads, lanes), self.rows.append, items)
        self.front = Front(self.model, self.model.select, ANSWERS, self.backbone)

    async def ask(self, *queries: str, at: float = 0.0, context: str = "") -> list[Choice | ToolError]:
        """Ask at a time, in one go."""
        await asyncio.sleep(at - asyncio.get_running_loop().time())
        requests = [SelectRequest(query=q, info={}, options=None) for q in queries]
        answered: list[Answered[Choice]] = await self.front.ask(requests, context=context)
        return [a.answer for a in answered]

    @property
    def sizes(self) -> list[int]:
        """How many requests each batch held."""
        return [len(queries) for _, queries in self.model.batches]


async def timed(*work: Coroutine[Any, Any, Result]) -> tuple[list[Result], float]:
    """Wait for all and tell the time."""
    results = await asyncio.gather(*work)
    return results, asyncio.get_running_loop().time()


def texts(answers: Sequence[Sequence[Choice | ToolError]]) -> list[list[str]]:
    """Spell the answers."""
    return [[a.text or "" if isinstance(a, Choice) else a.kind for a in each] for each in answers]


def test_an_idle_device_takes_what_is_there_and_a_busy_one_lets_the_queue_fill() -> None:
    """One request starts at once; ten that come meanwhile go as a full batch and the rest."""
    bench = Bench(items=8)
    late = [bench.ask(str(n), at=0.5) for n in range(10)]
    answers, seconds = run(timed(bench.ask("first"), *late))
    assert texts(answers) == [["first"], *([str(n)] for n in range(10))]
    assert (bench.sizes, seconds) == ([1, 8, 2], 3.0)


def test_a_server_is_asked_in_as_many_lanes_as_it_has() -> None:
    """Eight requests of a second each take two seconds in four lanes of single requests."""
    bench = Bench(items=1, lanes=4)
    _, seconds = run(timed(*(bench.ask(str(n)) for n in range(7)), bench.ask("late", at=0.5)))
    assert (bench.sizes, seconds) == ([1] * 8, 2.0)
    assert [at for at, _ in bench.model.batches] == [0.0] * 4 + [1.0] * 4


def test_models_on_one_device_take_turns_and_the_fuller_queue_goes_first() -> None:
    """While the device is busy two queues fill; the one that is fuller for its batch size is next."""
    bench = Bench(items=8)
    other = Echo(bench.model.threads, "other")
    front = Front(other, other.select, ANSWERS, replace(bench.backbone, batch_items=2))

    async def _ask_other() -> None:
        await asyncio.sleep(0.6)
        await front.ask([SelectRequest(query=q, info={}, options=None) for q in "ab"])

    async def _main() -> None:
        await asyncio.gather(bench.ask("first"), bench.ask(*"cdef", at=0.5), _ask_other())

    run(_main())
    assert [at for at, _ in bench.model.batches] == [0.0, 2.0]
    assert [at for at, _ in other.batches] == [1.0]


def test_askers_wait_while_the_queue_is_full() -> None:
    """Single askers never queue more than two batches, and all are answered."""
    bench = Bench(items=2)
    fills: list[float] = []
    bench.model.fault = lambda _, queries: fills.append(bench.front.fill) or [None] * len(queries)  # type: ignore[func-returns-value]
    answers, seconds = run(timed(*(bench.ask(str(n)) for n in range(40))))
    assert texts(answers) == [[str(n)] for n in range(40)]
    assert max(fills) <= 2.0
    assert seconds == 20.0


def test_one_asker_may_ask_for_more_than_the_queue_takes() -> None:
    """Asks larger than two batches go through, one after another."""
    bench = Bench(items=2)
    answers, seconds = run(timed(*(bench.ask(*(f"{n}{m}" for m in range(9))) for n in range(4))))
    assert texts(answers) == [[f"{n}{m}" for m in range(9)] for n in range(4)]
    assert seconds == 18.0


@pytest.mark.parametrize("way", [MemoryError, OutOfMemoryError, None])
def test_a_batch_that_does_not_fit_is_halved_for_good(way: type[Exception] | None) -> None:
    """Memory for three: batches of sixteen are halved down to two, stay there, and all is answered."""
    bench = Bench(items=16)

    def fault(_: float, queries: list[str]) -> list[ToolError | None]:
        if len(queries) <= 3:
            return [None] * len(queries)
        if way is not None:
            raise way("no memory")
        return [FULL] * len(queries)

    bench.model.fault = fault
    answers, _ = run(timed(bench.ask(*map(str, range(20)))))
    assert texts(answers) == [[str(n) for n in range(20)]]
    assert bench.sizes == [16, 8, 4] + [2] * 10
    assert [q for _, queries in bench.model.batches[3:] for q in queries] == [str(n) for n in range(20)]
    counts = bench.front.counts
    assert (counts.halvings, counts.batch_items, counts.largest, counts.retries) == (3, 2, 2, 0)
    assert [row.error for row in bench.rows] == [None] * 20


def test_the_halves_of_a_batch_take_all_lanes() -> None:
    """Four requests of which two fit: after the failed batch both halves run side by side."""
    bench = Bench(items=4, lanes=2)
    bench.model.fault = lambda _, queries: [FULL if len(queries) > 2 else None] * len(queries)
    _, seconds = run(timed(bench.ask(*"abcd")))
    assert (bench.sizes, seconds) == ([4, 2, 2], 2.0)


def test_a_request_that_never_fits_is_an_error_of_its_own() -> None:
    """Alone and still too large, while another request is answered: the error becomes its answer."""
    bench = Bench(items=4)
    bench.model.fault = lambda _, queries: [FULL if q == "huge" else None for q in queries]
    answers, _ = run(timed(bench.ask("a", "huge", "b")))
    assert answers[0] == [Choice(text="a"), FULL.model_copy(update={"retryable": False}), Choice(text="b")]


def test_a_request_is_blamed_only_after_three_lone_failures_and_an_answered_probe() -> None:
    """What fails in a batch, three times alone, and once more after the probe is kept as a tool error."""
    bench = Bench()
    bench.model.fault = lambda _, queries: [DOWN if q == "bad" else None for q in queries]
    answers, seconds = run(timed(bench.ask("a", "bad", "b"), bench.ask("later", at=0.5)))
    assert texts(answers) == [["a", "connection", "b"], ["later"]]
    assert not answers[0][1].retryable  # type: ignore[union-attr]
    asked = [queries for _, queries in bench.model.batches]
    assert asked == [["a", "bad", "b"], ["bad"], ["bad"], ["bad"], ["b"], ["bad"], ["later"]]
    assert seconds == 7 + 0.5 + 1.0
    assert [row.request["query"] for row in bench.rows if row.error] == ["bad"]


def test_a_restarting_server_pauses_the_run() -> None:
    """Down for half a minute: one request at a time asks after it, and then all are answered."""
    bench = Bench(items=1, lanes=4)
    bench.model.fault = lambda now, queries: [DOWN if 2 <= now < 32 else None] * len(queries)
    answers, seconds = run(timed(*(bench.ask(str(n)) for n in range(40))))
    assert texts(answers) == [[str(n)] for n in range(40)]
    tried = [at for at, _ in bench.model.batches if 3 <= at < 32]
    assert len(tried) <= 2 * 6
    assert all(later - earlier >= 1 for earlier, later in itertools.pairwise(tried))
    assert seconds < 60
    assert {row.seconds for row in bench.rows} == {1.0}


def test_a_model_that_never_answers_stops_everyone_when_patience_ends() -> None:
    """Nothing was ever answered: after a minute of pauses all askers are told, later ones at once."""
    bench = Bench(items=2)
    bench.model.fault = lambda _, queries: [DOWN] * len(queries)

    async def _main() -> tuple[list[Any], float]:
        results = await asyncio.gather(*(bench.ask(str(n)) for n in range(20)), return_exceptions=True)
        seconds = asyncio.get_running_loop().time()
        with pytest.raises(ModelDown):
            await bench.ask("later")
        return results, seconds

    results, seconds = run(_main())
    assert all(isinstance(r, ModelDown) for r in results)
    assert seconds == 60 + len(bench.sizes)
    assert bench.rows == []


def test_a_model_that_comes_back_between_request_and_probe_blames_nobody() -> None:
    """Three failures, an answered probe, and then an answer: the answer counts."""
    replies = iter([DOWN, DOWN, DOWN, Choice(text="a")])

    async def _ask() -> Choice | ToolError:
        return next(replies)

    async def _probe() -> bool:
        return True

    assert run(insist("m", _ask, _probe, Patience(60, asyncio.sleep))) == Choice(text="a")


def test_pauses_grow_and_stay_bounded() -> None:
    """Ten minutes of patience are pauses of half a second, doubled each time, of at most half a minute."""
    pauses: list[float] = []

    async def _ask() -> ToolError:
        return DOWN

    async def _probe() -> bool:
        return False

    async def _wait(seconds: float) -> None:
        pauses.append(seconds)

    with pytest.raises(ModelDown):
        run(insist("m", _ask, _probe, Patience(600, _wait)))
    assert pauses[:7] == [0.5, 1, 2, 4, 8, 16, 30]
    assert max(pauses) == 30
    assert sum(pauses) == 600


def test_drawn_answers_belong_to_their_question_and_step() -> None:
    """A sampled model is asked once per context, and again in none; without a context it is not asked."""
    bench = Bench(sampled=True)

    async def _main() -> None:
        await asyncio.gather(bench.ask("a", context="q1/1"), bench.ask("a", context="q2/1"))
        await bench.ask("a", context="q1/1")
        with pytest.raises(ValueError, match="context"):
            await bench.ask("a")

    run(_main())
    assert sum(bench.sizes) == 2
    assert len({row.key for row in bench.rows}) == 2


def test_counts_tell_what_was_asked_and_what_it_took() -> None:
    """Five requests: one from memory, one joined, three asked in two batches of a second."""
    bench = Bench(items=2)

    async def _main() -> None:
        await asyncio.gather(bench.ask("a", "b", "a"), bench.ask("c"))
        await bench.ask("b")

    run(_main())
    counts = bench.front.counts
    assert counts._asdict() == {
        "model": "echo",
        "requests": 5,
        "cached": 1,
        "joined": 1,
        "batches": 2,
        "largest": 2,
        "retries": 0,
        "halvings": 0,
        "batch_items": 2,
        "seconds": 2.0,
    }


def test_a_cancelled_asker_takes_nothing_from_others() -> None:
    """Whoever shares its request is answered, what it asked is journalled, and a later asker gets it."""
    bench = Bench(items=1)

    async def _main() -> list[list[Choice | ToolError]]:
        gone = asyncio.create_task(bench.ask("a", "b"))
        shared = asyncio.create_task(bench.ask("a"))
        await asyncio.sleep(0.5)
        gone.cancel()
        return [await shared, await bench.ask("b", at=10)]

    assert texts(run(_main())) == [["a"], ["b"]]
    assert bench.sizes == [1, 1]
    assert len(bench.rows) == 2


def test_a_fault_of_ours_reaches_every_lane_and_later_askers() -> None:
    """An exception of the model's code stops all who wait, and whoever asks afterwards."""
    bench = Bench(items=1, lanes=2)

    def fault(_: float, queries: list[str]) -> list[ToolError | None]:
        if queries == ["bad"]:
            raise ZeroDivisionError("ours")
        return [None]

    bench.model.fault = fault

    async def _main() -> list[Any]:
        asks = [bench.ask(q) for q in ("a", "bad", "c", "d", "e")]
        return await asyncio.gather(*asks, bench.ask("later", at=50), return_exceptions=True)

    results = run(_main())
    assert results[0] == [Choice(text="a")]
    assert all(isinstance(r, ZeroDivisionError) for r in results[1:])


ASKS = st.lists(
    st.tuples(
        st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=6),
        st.integers(0, 12),
        st.none() | st.integers(0, 12),
    ),
    max_size=10,
)


@settings(max_examples=150, deadline=None)
@given(
    ASKS, st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.integers(0, 20), st.sampled_from("ahx")
)
def test_everyone_who_stays_is_answered_rightly_and_once(
    asks: list[tuple[list[str], int, int | None]],
    items: int,
    lanes: int,
    fits: int,
    outage: int,
    bad: str,
) -> None:
    """Too large, cancelled, bad or down for a while: who stays gets the right answer, kept once."""
    bench = Bench(items, lanes)

    def fault(now: float, queries: list[str]) -> list[ToolError | None]:
        if len(queries) > fits:
            raise MemoryError
        down = 4 <= now < 4 + outage
        return [DOWN if down or q == bad else None for q in queries]

    bench.model.fault = fault

    async def _one(queries: list[str], at: int, leave: int | None) -> list[Choice | ToolError] | None:
        try:
            async with asyncio.timeout(None if leave is None else leave + 0.5):
                return await bench.ask(*queries, at=at)
        except TimeoutError:
            return None

    async def _main() -> list[list[Choice | ToolError] | None]:
        await bench.ask("z")
        answers = await asyncio.gather(*(_one(*ask) for ask in asks))
        await asyncio.sleep(200)
        return answers

    answers = run(_main())
    for (queries, _, leave), got in zip(asks, answers, strict=True):
        assert leave is not None or got is not None
        if got is not None:
            assert texts([got])[0] == ["connection" if q == bad else q for q in queries]
    assert len({row.key for row in bench.rows}) == len(bench.rows)
    assert max(bench.sizes) <= items
    begins = [begin for begin, _ in bench.model.batches]
    assert all(later - earlier >= 1 for earlier, later in zip(begins, begins[lanes:], strict=False))
