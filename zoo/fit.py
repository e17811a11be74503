"""Fit a model: steps, learning rate, a curve in CSV, checkpoints, and resuming after an interruption.

A batch is a function of its step's number alone, so a run that was cut goes on with the batches that it would
have seen. Knows no model and no task.
"""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

__all__ = ["Batch", "Course", "Task", "alone", "fit", "moved"]

Batch = dict[str, Tensor]

_STATE: Final = "state.pt"
_CURVE: Final = "curve.csv"
_LAST_RATE: Final = 0.01
"""Of the peak."""


class Course(NamedTuple):
    """How long and how fast a model learns."""

    steps: int
    peak: float
    """Highest learning rate; it falls along a cosine to a hundredth."""
    warmup: int = 200
    decay: float = 0.02
    """Weight decay."""
    every: int = 500
    """Steps between two evaluations; each is a row of the curve and a checkpoint."""


class Task(Protocol):
    """What is learnt."""

    @property
    def model(self) -> nn.Module:
        """All that is trained."""
        ...

    def batch(self, step: int) -> Batch:
        """Make the batch of a step, always the same one; runs in a process of its own."""
        ...

    def loss(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Give the loss, and its parts for the curve."""
        ...

    def scores(self) -> Mapping[str, float]:
        """Measure the model on the validation split."""
        ...


def fit(
    task: Task,
    course: Course,
    folder: Path,
    *,
    seed: int,
    device: str,
    workers: int,
    tell: Callable[[str], None],
) -> None:
    """Train a task's model, or go on where an earlier call was stopped.

    Parameters
    ----------
    folder
        Gets `curve.csv` and `state.pt` (weights, optimizer, steps done, seed); made if it is not there.
    seed
        With which the task was made.
    device
        Such as `cpu` or `cuda:0`.
    workers
        Processes that make batches.
    tell
        Takes a line of progress.

    Raises
    ------
    ValueError
        If the folder holds a run with another seed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    task.model.to(device)
    optimizer = torch.optim.AdamW(task.model.parameters(), weight_decay=course.decay, betas=(0.9, 0.98))
    done = _resume(task.model, optimizer, seed, folder)
    parts: dict[str, float] = {}
    began, since = time.monotonic(), done
    task.model.train()
    for step, batch in enumerate(_batches(task, range(done, course.steps), workers), done):
        for group in optimizer.param_groups:
            group["lr"] = rate(course, step)
        loss, told = task.loss(moved(batch, torch.device(device)))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(task.model.parameters(), 1.0)
        optimizer.step()
        parts = {name: parts.get(name, 0.0) + value.item() for name, value in told.items()}
        if (step + 1) % course.every == 0 or step + 1 == course.steps:
            task.model.eval()
            with torch.inference_mode():
                measured = task.scores()
            task.model.train()
            steps = (step % course.every) + 1  # the parts' means are those since the last row
            row = {"step": step + 1, **{name: part / steps for name, part in parts.items()}, **measured}
            parts = {}
            _save(task.model, optimizer, step + 1, seed, folder)
            _add_row(row, folder / _CURVE)
            speed = (step + 1 - since) / (time.monotonic() - began)
            tell(f"{speed:.2f} steps/s  " + "  ".join(f"{name} {value:.4g}" for name, value in row.items()))
    task.model.eval()


def rate(course: Course, step: int) -> float:
    """Give the learning rate of a step: a linear rise, then a cosine."""
    rise = min(1.0, (step + 1) / max(1, course.warmup))
    fall = 0.5 * (1 + math.cos(math.pi * step / course.steps))
    return course.peak * rise * (_LAST_RATE + (1 - _LAST_RATE) * fall)


def moved(batch: Batch, device: torch.device) -> Batch:
    """Give a batch on a device."""
    return {name: value.to(device) for name, value in batch.items()}


class _Steps(Dataset[Batch]):
    """Batches by the number of their step."""

    def __init__(self, task: Task) -> None:
        self._task = task

    def __getitem__(self, step: int) -> Batch:
        return self._task.batch(step)


def _batches(task: Task, steps: range, workers: int) -> Iterator[Batch]:
    loader: Any = DataLoader(
        _Steps(task),
        batch_size=None,
        sampler=steps,
        num_workers=workers,
        persistent_workers=False,
        worker_init_fn=alone,
    )
    yield from loader


def alone(_: int) -> None:
    """Keep a process that makes batches to one thread."""
    torch.set_num_threads(1)


def _resume(model: nn.Module, optimizer: torch.optim.Optimizer, seed: int, folder: Path) -> int:
    if not (folder / _STATE).is_file():
        return 0
    state = torch.load(folder / _STATE, weights_only=True, map_location="cpu")
    if state["seed"] != seed:
        raise ValueError(f"{folder} holds a run with seed {state['seed']}: give that seed, or another --home")
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["steps"])


def _save(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int, seed: int, folder: Path) -> None:
    parts = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    state = {**parts, "steps": steps, "seed": seed}
    fresh = folder / f"{_STATE}.new"
    torch.save(state, fresh)
    fresh.replace(folder / _STATE)


def _add_row(row: Mapping[str, float], file: Path) -> None:
    begun = file.is_file()
    with file.open("a", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened)
        if not begun:
            writer.writerow(row)
        writer.writerow(f"{value:.6g}" for value in row.values())
