"""How fast the engine is without models: `python -m aotd.benchmarks.perf.engine [--questions N] [--seed S]`.

Renders nothing and reads no pixels: annotation of the household world, oracle models, the grammar planner,
two sandbox workers. Runs the same questions with many programs in flight and one at a time, in one process,
and prints both rates and their ratio. No GPU speed can be read off these figures.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from aotd.agent.config import RunConfig
from aotd.agent.engine import engine
from aotd.agent.grammar import GrammarPlanner
from aotd.agent.pipeline import Item
from aotd.benchmarks.star import load_star
from aotd.tools.cache import Cache
from aotd.traces.outcomes import RIGHT
from aotd.traces.records import Example
from aotd.world.build import write_annotation

ORACLE = {"detector": {"kind": "oracle"}, "grounder": {"kind": "oracle"}, "video_model": {"kind": "oracle"}}


class Arm(NamedTuple):
    """What one way of running came to."""

    seconds: float
    examples: list[Example]
    model_calls: int


def run_arm(items: list[Item], annotations: Path, live_programs: int) -> Arm:
    """Answer all items with so many programs in flight."""
    config = RunConfig.model_validate(
        {**ORACLE, "live_programs": live_programs, "source": {"annotations": str(annotations)}}
    )
    examples: list[Example] = []
    calls = 0

    def count(_: object) -> None:
        nonlocal calls
        calls += 1

    cache = Cache(config.functions.cache_mb * 1_000_000)
    with engine(config, GrammarPlanner(), cache, count) as pipeline:
        begin = time.perf_counter()
        asyncio.run(pipeline.generate(items, examples.append, asyncio.Event()))
        return Arm(time.perf_counter() - begin, examples, calls)


def peak_mb() -> float:
    """Peak resident memory of this process and its largest child, MB."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(resource.getrusage(kind).ru_maxrss for kind in kinds) / 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        annotations = write_annotation(Path(folder), clips=1 + wanted.questions // 8, seed=wanted.seed)
        items = [Item(item.question, item.graph) for item in load_star(annotations)][: wanted.questions]
        run_arm(items[:20], annotations, 96)
        many, single = run_arm(items, annotations, 96), run_arm(items, annotations, 1)
    right = sum(e.outcome in RIGHT for e in many.examples)
    calls = sum(len(e.trace.calls) for e in many.examples if e.trace)
    print(f"{len(items)} questions (seed {wanted.seed}), {right} right, {calls / len(items):.1f} calls each")
    for name, arm in (("96 in flight", many), ("one at a time", single)):
        rate, cost = len(items) / arm.seconds, 1000 * arm.seconds / calls
        print(f"{name:14}: {rate:6.1f} questions/s, {cost:5.2f} ms a call, {arm.model_calls} model requests")
    rows = [sorted(str(e.canonical()) for e in arm.examples) for arm in (many, single)]
    same = rows[0] == rows[1]
    print(f"ratio {single.seconds / many.seconds:.2f}, results {'equal' if same else 'DIFFER'}, ", end="")
    print(f"peak memory {peak_mb():.0f} MB")


if __name__ == "__main__":
    main()
