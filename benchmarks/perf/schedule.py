"""What batching and sharing are worth: `python -m aotd.benchmarks.perf.schedule [--videos N] [--live N]`.

Drives the real front, device and cache on a clock that jumps, with models that only cost time, so the same
figures come out on every machine. The costs are computed, not measured: see `SPECS`. Four arms run the same
programs: sequential, batching only, sharing only, both; the bound is what the distinct requests would cost
in full batches with nothing in between. No speed of a GPU can be read off these figures, only how near the
schedule comes to its bound and what each part of it is worth. Sandboxes and video decoding are left out.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import itertools
import math
import random
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from pydantic import TypeAdapter

from aotd.benchmarks.perf.clock import VirtualThreads, run
from aotd.tools.batching import Backbone, Front, FrontCounts
from aotd.tools.cache import Cache
from aotd.tools.device import Device
from aotd.tools.models import (
    Choice,
    DetectRequest,
    FrameRef,
    Frames,
    GroundRequest,
    Message,
    ModelIdentity,
    SelectRequest,
    TextRequest,
    ToolError,
    VideoRequest,
)
from aotd.traces.records import GRID

QUESTIONS_PER_VIDEO: Final = 8.66
"""As in NExT-QA."""

NEW_NOUN: Final = 0.18
"""Chance that a noun was not named about its video before; makes about 74 % repeats, as in NExT-QA."""

WINDOW: Final = 14
"""Frames that a program has narrowed a clip to when it asks about a part of it."""

ANSWERS: Final[TypeAdapter[Choice | ToolError]] = TypeAdapter(Choice | ToolError)

Request = TextRequest | DetectRequest | GroundRequest | VideoRequest | SelectRequest


class Price(NamedTuple):
    """Seconds that a request costs beside its batch."""

    own: float
    prefix: object = None
    """What it shares with others, such as the frames that stand before the question."""
    shared: float = 0.0
    """Seconds for the prefix, when the model does not hold it."""
    gigabytes: float = 0.0
    """Memory for holding it."""


class Spec(NamedTuple):
    """What a model costs: `fixed` seconds a batch, and each request's price."""

    items: int
    fixed: float
    price: Callable[[Any], Price]


def _video_price(request: VideoRequest) -> Price:
    prefix = (request.clip.video, request.clip.indices)
    if len(request.clip.indices) == GRID:
        return Price(0.014, prefix, 0.196, 2.46)
    return Price(0.008, prefix, 0.082, 1.10)


SPECS: Final[Mapping[str, Spec]] = {
    "planner": Spec(64, 0.590, lambda _: Price(0.046, "prompt", 0.054, 0.9)),
    "detector": Spec(64, 0.010, lambda _: Price(0.0028)),
    "grounder": Spec(64, 0.010, lambda _: Price(0.0007)),
    "video": Spec(16, 0.059, _video_price),
    "selector": Spec(64, 0.093, lambda _: Price(0.006, "prompt", 0.011, 0.1)),
}
"""Computed for one H200 (989 TFLOP/s of bf16 at 40 %, 4.8 TB/s): a 6.7B planner of 150 tokens, OWLv2-B/16 at
960 px, UniVTG, LLaVA-NeXT-Video-7B of 15 tokens on 32 or 14 frames, an 8B selector of 20 tokens. `fixed` is
reading the weights once for each token, or launching the kernels; `own` and `shared` are prefill and the
KV cache's reads."""

HELD_GIGABYTES: Final = 62.0
"""KV cache of each language model: 25 whole clips."""


class Step(NamedTuple):
    """What a program asks of one model at once."""

    model: str
    requests: tuple[Request, ...]


class Program(NamedTuple):
    """A question's steps, fixed beforehand; the first is its planning."""

    question: str
    steps: tuple[Step, ...]


class Arm(NamedTuple):
    """What one way of running came to."""

    seconds: float
    answers: dict[str, str]
    counts: tuple[FrontCounts, ...]


class Stub:
    """A model whose answer is a digest of the request and that takes the time of its `Spec`."""

    reads_pixels = False

    def __init__(self, name: str, threads: VirtualThreads, *, sharing: bool) -> None:
        # An answer that is said to be drawn is shared with no other question: the arms without sharing.
        self.identity = ModelIdentity(id=f"stub/{name}", sampled=not sharing)
        self._spec = SPECS[name]
        self._threads = threads
        self._sharing = sharing
        self._held: OrderedDict[object, float] = OrderedDict()

    def answer(self, requests: Sequence[Request]) -> list[Choice | ToolError]:
        """Answer each request and let the batch's time pass."""
        seconds = self._spec.fixed
        for request in requests:
            price = self._spec.price(request)
            seconds += price.own + (0.0 if self._holds(price) else price.shared)
        self._threads.spend(seconds)
        return [Choice(text=_digest(request.model_dump_json())) for request in requests]

    def _holds(self, price: Price) -> bool:
        """Tell whether the prefix is in memory, and put it there, the least recently used going first."""
        if price.prefix is None or not self._sharing:
            return False
        known = self._held.pop(price.prefix, None) is not None
        self._held[price.prefix] = price.gigabytes
        while sum(self._held.values()) > HELD_GIGABYTES:
            self._held.popitem(last=False)
        return known


def workload(videos: int, seed: int) -> list[Program]:
    """Make programs over `videos` videos, in their order, by the call mix of AoTD's functions.

    A question has 1 planning, 1.2 detections on 32 frames, 0.8 groundings, 1.5 requests to the video model,
    half of them on the whole clip, and 0.8 selections, on average.
    """
    rng = random.Random(seed)
    total = round(videos * QUESTIONS_PER_VIDEO)
    more = set(rng.sample(range(videos), total - videos * (total // videos)))
    programs = []
    for video in range(videos):
        nouns: list[str] = []
        for number in range(total // videos + (video in more)):
            steps = tuple(_steps(f"v{video}", f"v{video}/q{number}", nouns, rng))
            programs.append(Program(f"v{video}/q{number}", steps))
    return programs


def _steps(video: str, question: str, nouns: list[str], rng: random.Random) -> list[Step]:
    whole = Frames(video=video, indices=tuple(range(0, 30 * GRID, 30)))
    message = Message(role="user", content=question)
    steps = [Step("planner", (TextRequest(role="planner", messages=(message,)),))]
    if rng.random() < 0.8:
        steps.append(Step("grounder", (GroundRequest(frames=whole, text=question),)))
    for _ in range(1 + (rng.random() < 0.2)):
        new = not nouns or rng.random() < NEW_NOUN
        noun = f"noun {len(nouns)}" if new else rng.choice(nouns)
        if new:
            nouns.append(noun)
        frames = [FrameRef(video=video, index=index) for index in whole.indices]
        steps.append(Step("detector", tuple(DetectRequest(frame=f, names=(noun,)) for f in frames)))
    for number in range(1 + (rng.random() < 0.5)):
        clip = whole
        if rng.random() < 0.5:
            start = rng.randrange(GRID - WINDOW + 1)
            clip = Frames(video=video, indices=whole.indices[start : start + WINDOW])
        asked = VideoRequest(clip=clip, task="open", question=f"{question} {number}")
        steps.append(Step("video", (asked,)))
    if rng.random() < 0.8:
        info = {"evidence": question}
        steps.append(Step("selector", (SelectRequest(query=question, info=info, options=None),)))
    return steps


def bound(programs: Sequence[Program]) -> float:
    """Sum what the distinct requests and prefixes cost in full batches, one model after another."""
    asked: dict[str, dict[str, Request]] = {name: {} for name in SPECS}
    for step in itertools.chain.from_iterable(program.steps for program in programs):
        asked[step.model].update((request.model_dump_json(), request) for request in step.requests)
    seconds = 0.0
    for name, requests in asked.items():
        spec = SPECS[name]
        prices = [spec.price(request) for request in requests.values()]
        prefixes = {price.prefix: price.shared for price in prices}
        seconds += spec.fixed * math.ceil(len(requests) / spec.items)
        seconds += sum(price.own for price in prices) + sum(prefixes.values())
    return seconds


def run_arm(programs: Sequence[Program], live: int, *, sharing: bool) -> Arm:
    """Run all programs, so many at once, on one device that all models share."""
    return run(_run_arm(programs, live, sharing=sharing))


async def _run_arm(programs: Sequence[Program], live: int, *, sharing: bool) -> Arm:
    threads = VirtualThreads()
    backbone = Backbone(Cache(64_000_000), Device(threads), lambda _: None, batch_items=1)
    fronts: dict[str, Front[Any, Choice]] = {}
    for name, spec in SPECS.items():
        stub = Stub(name, threads, sharing=sharing)
        fronts[name] = Front(stub, stub.answer, ANSWERS, replace(backbone, batch_items=spec.items))
    answers: dict[str, str] = {}

    async def ask(program: Program, number: int) -> str:
        step = program.steps[number]
        found = await fronts[step.model].ask(step.requests, context=f"{program.question}/{number}")
        return "".join(str(a.answer) for a in found)

    async def finish(program: Program) -> None:
        told = ""
        for number in range(len(program.steps)):
            told += await ask(program, number)
        answers[program.question] = _digest(told)

    places = asyncio.Semaphore(live)
    async with asyncio.TaskGroup() as group:
        for program in programs:
            await places.acquire()
            task = group.create_task(finish(program))
            task.add_done_callback(lambda _: places.release())
    seconds = asyncio.get_running_loop().time()
    return Arm(seconds, answers, tuple(front.counts for front in fronts.values()))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def main() -> None:
    """Run the arms and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--videos", type=int, default=300)
    parser.add_argument("--live", type=int, default=96)
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()
    programs = workload(wanted.videos, wanted.seed)
    best = bound(programs)
    arms = {
        "sequential": run_arm(programs, 1, sharing=False),
        "batching only": run_arm(programs, wanted.live, sharing=False),
        "sharing only": run_arm(programs, 1, sharing=True),
        "both": run_arm(programs, wanted.live, sharing=True),
    }
    first, last = arms["sequential"], arms["both"]
    print(
        f"{len(programs)} questions about {wanted.videos} videos (seed {wanted.seed}), {wanted.live} at once"
    )
    for name, arm in arms.items():
        rate = 3600 * len(programs) / arm.seconds
        print(f"{name:14}: {arm.seconds:8.1f} virtual s, {rate:7.0f} questions/h, ", end="")
        print(f"{first.seconds / arm.seconds:5.2f} times sequential")
    print(f"{'bound':14}: {best:8.1f} virtual s; both together reach {100 * best / last.seconds:.1f} % of it")
    for counts in last.counts:
        asked = counts.requests - counts.cached - counts.joined
        share = 100 * counts.seconds / last.seconds
        print(f"  {counts.model:14} {counts.requests:6} requests, {asked:6} asked ", end="")
        print(f"in {counts.batches:4} batches, {share:4.1f} % of the time")
    print("answers", "equal" if all(arm.answers == first.answers for arm in arms.values()) else "DIFFER")


if __name__ == "__main__":
    main()
