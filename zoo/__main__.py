"""`python -m aotd.zoo`: train the small models one by one or all, put them into the package, measure them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from tqdm import tqdm

from aotd.zoo.ship import MODELS, ship

_COMPARED: Final = "video_llm"
"""A model that is trained to be compared with one that is shipped."""


class _Trainer(Protocol):
    def __call__(
        self, home: Path, *, seed: int, device: str, workers: int, tell: Callable[[str], None]
    ) -> None: ...


def _trainer(name: str) -> _Trainer:
    """Import one model's training; each needs torch, and some more."""
    if name == "detector":
        from aotd.zoo.detector import train_detector

        return train_detector
    if name == "clip":
        from aotd.zoo.clip import train_clip

        return train_clip
    if name == "grounder":
        from aotd.zoo.grounder import train_grounder

        return train_grounder
    if name == "events":
        from aotd.zoo.events import train_events

        return train_events
    if name == _COMPARED:
        from aotd.zoo.video_llm import train_video_llm

        return train_video_llm
    from aotd.zoo.planner import train_planner

    return train_planner


def main() -> int:
    """Read the command line, and do it."""
    parser = argparse.ArgumentParser(prog="python -m aotd.zoo", description=__doc__)
    parser.add_argument(
        "job", choices=[*MODELS, _COMPARED, "all", "ship", "quality"], help="what to train, or to do"
    )
    parser.add_argument(
        "--home", type=Path, default=Path("zoo-runs"), help="folder of curves and checkpoints"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the first weights and of the batches")
    parser.add_argument("--device", default="cpu", help="such as cuda:0")
    parser.add_argument("--workers", type=int, default=1, help="processes that draw the household")
    parser.add_argument("--clips", type=int, default=70, help="quality: clips of the test split")
    given = parser.parse_args()
    try:
        return _do(given)
    except ValueError as error:
        parser.exit(2, f"aotd.zoo: {error}\n")


def _do(given: argparse.Namespace) -> int:
    if given.job == "quality":
        from aotd.zoo.quality import check_quality

        return check_quality(given.home / "quality", clips=given.clips)
    if given.job != "ship":
        for name in MODELS if given.job == "all" else (given.job,):
            tqdm.write(f"{name}: into {given.home / name}; a run that was stopped goes on")
            train = _trainer(name)
            train(given.home, seed=given.seed, device=given.device, workers=given.workers, tell=tqdm.write)
        if given.job != "all":
            return 0
    for line in ship(given.home):
        tqdm.write(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
