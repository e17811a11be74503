"""Tests of the training loop: rate, curve, and a run that was cut and goes on."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from aotd.zoo.fit import Batch, Course, fit, rate

COURSE = Course(steps=60, peak=0.2, warmup=5, every=20)


class Line:
    """Learns y = 3x - 1 from batches that are a function of the step."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.line = nn.Linear(1, 1)
        self.stop_at: int | None = None

    @property
    def model(self) -> nn.Module:
        """All that is trained."""
        return self.line

    def batch(self, step: int) -> Batch:
        """Draw points; a step may be the last before the machine fails."""
        if step == self.stop_at:
            raise KeyboardInterrupt
        x = torch.rand(16, 1, generator=torch.Generator().manual_seed(step))
        return {"x": x, "y": 3 * x - 1}

    def loss(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Square the error."""
        error = (self.line(batch["x"]) - batch["y"]).pow(2).mean()
        return error, {"error": error}

    def scores(self) -> Mapping[str, float]:
        """Tell the slope."""
        return {"slope": self.line.weight.item()}


def learn(task: Line, folder: Path) -> None:
    """Fit in this process."""
    fit(task, COURSE, folder, seed=0, device="cpu", workers=0, tell=lambda _: None)


def rows(folder: Path) -> list[dict[str, str]]:
    """Read a curve."""
    with (folder / "curve.csv").open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


def test_a_line_is_learnt_and_its_curve_written(tmp_path: Path) -> None:
    """The slope nears 3, and each evaluation is a row with the step, the loss's parts and the scores."""
    task = Line()
    learn(task, tmp_path)
    assert task.line.weight.item() == pytest.approx(3, abs=0.8)
    curve = rows(tmp_path)
    assert [row["step"] for row in curve] == ["20", "40", "60"]
    assert float(curve[-1]["error"]) < float(curve[0]["error"])
    assert set(curve[0]) == {"step", "error", "slope"}


@pytest.mark.parametrize("stop_at", [1, 20, 35, 59])
def test_a_run_that_was_cut_ends_like_one_that_was_not(tmp_path: Path, stop_at: int) -> None:
    """After an interruption at any step the same call goes on from the last checkpoint to equal weights."""
    whole, cut, again = Line(), Line(), Line()
    learn(whole, tmp_path / "whole")
    cut.stop_at = stop_at
    with pytest.raises(KeyboardInterrupt):
        learn(cut, tmp_path / "cut")
    learn(again, tmp_path / "cut")
    assert torch.equal(whole.line.weight, again.line.weight)
    assert rows(tmp_path / "cut")[-1] == rows(tmp_path / "whole")[-1]


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    """Calling once more loads what was learnt and changes nothing."""
    task, again = Line(), Line()
    learn(task, tmp_path)
    again.stop_at = 0
    learn(again, tmp_path)
    assert torch.equal(task.line.weight, again.line.weight)
    assert len(rows(tmp_path)) == 3


def test_a_run_is_not_gone_on_with_by_another_seed(tmp_path: Path) -> None:
    """A folder with a run of one seed is refused to another, and keeps what it holds."""
    learn(Line(), tmp_path)
    with pytest.raises(ValueError, match="holds a run with seed 0: give that seed, or another --home"):
        fit(Line(), COURSE, tmp_path, seed=1, device="cpu", workers=0, tell=lambda _: None)
    assert len(rows(tmp_path)) == 3


def test_the_rate_rises_and_falls() -> None:
    """It rises evenly over the warmup, and falls along a cosine to a hundredth of the peak."""
    course = Course(steps=1000, peak=1.0, warmup=100)
    assert rate(course, 0) == pytest.approx(0.01, rel=0.01)
    assert rate(course, 49) == pytest.approx(0.5 * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * 0.049))))
    assert rate(course, 500) == pytest.approx(0.505, abs=1e-3)
    assert rate(course, 999) == pytest.approx(0.01, abs=1e-3)
