"""How fast the household is rendered: `python -m aotd.benchmarks.perf.world [--clips N] [--seed S]`.

One process, one core, whole clips with all labels, as training takes them; beside it what a plain copy of
the same pixels costs, so that figures of different machines can be compared. Encoding is left out.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from aotd.world.clip import render_clip
from aotd.world.motion import simulate
from aotd.world.scene import HEIGHT, WIDTH
from aotd.world.split import seed_of

__all__ = ["Speed", "measure"]


class Speed(NamedTuple):
    """Frames, and milliseconds a frame."""

    frames: int
    simulated: float
    rendered: float
    """Simulation, drawing and labels together."""
    copied: float
    """A copy of a frame's pixels."""


def measure(clips: int, seed: int) -> Speed:
    """Time a number of training clips."""
    seeds = [seed_of("train", seed + number) for number in range(clips)]
    render_clip(seeds[0])
    frames = sum(len(simulate(number).frames) for number in seeds)
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    simulated = _spent(simulate, seeds)
    rendered = _spent(render_clip, seeds)
    copied = _spent(np.copy, [pixels] * frames)
    return Speed(frames, *(1e3 * spent / frames for spent in (simulated, rendered, copied)))


def _spent(work: Callable[[Any], object], things: Sequence[Any]) -> float:
    """Give the processor's seconds for some work on each of many things."""
    before = time.process_time()
    for thing in things:
        work(thing)
    return time.process_time() - before


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    speed = measure(asked.clips, asked.seed)
    print(f"{speed.frames} frames of {WIDTH} x {HEIGHT}, {asked.clips} clips, seed {asked.seed}, one core")
    print(f"simulated          {speed.simulated:7.3f} ms a frame")
    print(f"with frames, labels{speed.rendered:7.3f} ms a frame: {1e3 / speed.rendered:.0f} frames/s")
    ratio = speed.rendered / speed.copied
    print(f"a copy of pixels   {speed.copied:7.3f} ms a frame: rendering costs {ratio:.0f} copies")


if __name__ == "__main__":
    main()
