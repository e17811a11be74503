"""Whose turn it is on a device, on a clock that jumps."""

from __future__ import annotations

import asyncio

import pytest

from aotd.benchmarks.perf.clock import VirtualThreads, run
from aotd.tools.device import PASSED_OVER, Device


class Filled:
    """A queue that is always so full."""

    def __init__(self, fill: float) -> None:
        self.fill = fill


def test_a_short_queue_is_not_passed_over_for_ever() -> None:
    """A line that others are preferred to has its turn after a bounded number of theirs."""
    device = Device(VirtualThreads())
    order: list[str] = []

    async def _take(name: str, fill: float, times: int = 1) -> None:
        for _ in range(times):
            async with device.turn(Filled(fill)):
                order.append(name)
                await asyncio.sleep(1)

    async def _main() -> None:
        await asyncio.gather(
            _take("first", 0), _take("short", 0.1), _take("full", 1, 20), _take("full", 1, 20)
        )

    run(_main())
    assert order.index("short") == 1 + PASSED_OVER


@pytest.mark.parametrize("moment", ["waiting", "just before", "just after"])
def test_a_turn_that_is_given_up_goes_to_the_next(moment: str) -> None:
    """Cancelled while it waits, or in the moment in which it is given the turn, a task keeps no lane."""
    device = Device(VirtualThreads())

    async def _take() -> None:
        async with device.turn(Filled(1)):
            await asyncio.sleep(1)

    async def _main() -> float:
        second: asyncio.Task[None]

        async def _first() -> None:
            async with device.turn(Filled(1)):
                await asyncio.sleep(0.5)
                if moment == "waiting":
                    second.cancel()
                await asyncio.sleep(0.5)
                if moment == "just before":
                    second.cancel()
            if moment == "just after":
                second.cancel()

        holder, second, third = (asyncio.create_task(work) for work in (_first(), _take(), _take()))
        await asyncio.gather(holder, second, third, return_exceptions=True)
        assert second.cancelled()
        await _take()
        return asyncio.get_running_loop().time()

    assert run(_main()) == 3.0
