"""What batching and sharing are worth, on a clock that jumps and models of known cost."""

from __future__ import annotations

import asyncio
import time

import pytest

from aotd.benchmarks.perf.clock import Stuck, VirtualThreads, run
from aotd.benchmarks.perf.schedule import SPECS, Program, Step, bound, run_arm, workload
from aotd.tools.models import DetectRequest, FrameRef, Message, TextRequest


def test_waiting_takes_no_time_and_work_takes_what_it_says() -> None:
    """A day of sleep and an hour of work pass at once, in order."""
    begin = time.monotonic()

    async def _main() -> tuple[float, float]:
        loop, threads = asyncio.get_running_loop(), VirtualThreads()
        await asyncio.sleep(86_400)
        slept = loop.time()
        await loop.run_in_executor(threads, threads.spend, 3600)
        return slept, loop.time()

    assert run(_main()) == (86_400, 90_000)
    assert time.monotonic() - begin < 60


def test_a_deadlock_is_told() -> None:
    """Where everyone waits for everyone the clock raises instead of hanging."""

    async def _main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(Stuck):
        run(_main())


def test_the_work_is_the_mix_it_claims() -> None:
    """Questions a video, calls a question and repeated nouns are those measured on NExT-QA, within 5 %."""
    programs = workload(300, seed=0)
    steps = [step for program in programs for step in program.steps]
    calls = {name: sum(step.model == name for step in steps) / len(programs) for name in SPECS}
    nouns = [step.requests for step in steps if step.model == "detector"]
    assert len(programs) == 2598
    expected = {"planner": 1.0, "detector": 1.2, "grounder": 0.8, "video": 1.5, "selector": 0.8}
    assert calls == pytest.approx(expected, rel=0.05)
    assert 1 - len(set(nouns)) / len(nouns) == pytest.approx(0.74, rel=0.05)


def test_the_bound_of_two_questions_by_hand() -> None:
    """Two plans with one prompt, and one noun that both look for in 32 frames."""
    frames = tuple(DetectRequest(frame=FrameRef(video="v", index=i), names=("cup",)) for i in range(32))

    def program(name: str) -> Program:
        message = Message(role="user", content=name)
        plan = Step("planner", (TextRequest(role="planner", messages=(message,)),))
        return Program(name, (plan, Step("detector", frames)))

    programs = [program("a"), program("b")]
    best = (0.590 + 2 * 0.046 + 0.054) + (0.010 + 32 * 0.0028)
    alone = 2 * (0.590 + 0.046 + 0.054 + 0.010 + 32 * 0.0028)
    assert bound(programs) == pytest.approx(best)
    assert run_arm(programs, 2, sharing=True).seconds == pytest.approx(best)
    assert run_arm(programs, 1, sharing=False).seconds == pytest.approx(alone)


def test_batching_and_sharing_change_the_time_and_no_answer() -> None:
    """All arms answer alike; each part saves time, both more than either, and none beats the bound."""
    programs = workload(12, seed=1)
    alone, batched, shared, both = (
        run_arm(programs, live, sharing=sharing)
        for live, sharing in ((1, False), (96, False), (1, True), (96, True))
    )
    assert alone.answers == batched.answers == shared.answers == both.answers
    assert len(both.answers) == len(programs)
    assert bound(programs) <= both.seconds < min(batched.seconds, shared.seconds)
    assert max(batched.seconds, shared.seconds) < alone.seconds
    assert run_arm(programs, 96, sharing=True) == both
