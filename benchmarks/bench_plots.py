"""Plots of a benchmark's result: how many units reach an overlap, classes, types, and what tools cost.

Needs matplotlib (the extra `plots`). Scores nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from aotd.benchmarks.star_bench import BenchResult, Subtask
from aotd.benchmarks.star_scores import Score

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["write_plots"]

_SIZE: Final = (7.0, 4.2)
_COLOURS: Final = ("#2f6f9f", "#c9772b", "#8a8a8a", "#5a9a4a", "#9a5a8a", "#b8a13a", "#3aa0a0", "#404040")
_LINES: Final = ("-", "--", ":", "-.")
_MOST_KINDS: Final = 16
_LONGEST: Final = 60


def write_plots(result: BenchResult, folder: Path) -> list[Path]:
    """Write one PNG for each thing that can be seen; returns their paths.

    Raises
    ------
    ModuleNotFoundError
        Without matplotlib.
    """
    written = []
    overlaps: tuple[Subtask, ...] = ("detection", "grounding")
    for subtask in overlaps:
        systems = result.subtasks.get(subtask)
        if systems:
            written.append(_reached(systems, subtask, folder / f"{subtask}_iou.png"))
    detection = result.subtasks.get("detection")
    if detection:
        path = folder / "detection_classes.png"
        written.append(_bars(detection, "detection: mean IoU by class", "mean IoU, %", path))
    answers: tuple[Subtask, ...] = ("decomposition", "qa")
    for subtask in answers:
        systems = result.subtasks.get(subtask)
        if systems and any(score.by for score in systems.values()):
            path = folder / f"{subtask}_types.png"
            written.append(_bars(systems, f"{subtask}: accuracy by type", "accuracy, %", path))
    swaps = result.subtasks.get("swap")
    if swaps:
        written.append(_costs(swaps, folder / "swap.png"))
    return written


def _reached(systems: dict[str, Score], subtask: str, path: Path) -> Path:
    """Draw for each overlap the share of units that reach it."""
    figure, axes = _axes(f"{subtask}: share of units that reach an overlap")
    at = np.linspace(0, 100, 101)
    for place, (name, score) in enumerate(systems.items()):
        # Nothing reaches what has no overlap at all: 0 is left of the first point.
        values = np.sort(np.asarray(score.values))
        shares = 100 * (1 - np.searchsorted(values, np.maximum(at, 1e-9)) / len(values))
        label = f"{_short(name)} (mean {score.mean:.1f})"
        axes.plot(at, shares, _LINES[place % 4], label=label, color=_COLOURS[place % 8], linewidth=1.8)
    axes.set_xlabel("IoU of at least, %")
    axes.set_ylabel("units, %")
    axes.set_ylim(-2, 104)
    return _saved(figure, path)


def _bars(systems: dict[str, Score], title: str, label: str, path: Path) -> Path:
    shown = {name: score for name, score in systems.items() if score.by}
    first = next(iter(shown.values()))
    kinds = sorted(first.by, key=lambda kind: (-first.sizes[kind], kind))
    left_out = len(kinds) - _MOST_KINDS
    figure, axes = _axes(f"{title}, the {_MOST_KINDS} largest of {len(kinds)}" if left_out > 0 else title)
    kinds = kinds[:_MOST_KINDS]
    width = 0.8 / len(shown)
    for place, (name, score) in enumerate(shown.items()):
        at = [i + (place - (len(shown) - 1) / 2) * width for i in range(len(kinds))]
        heights = [score.by.get(kind, 0.0) for kind in kinds]
        bars = axes.bar(at, heights, width, label=_short(name), color=_COLOURS[place % len(_COLOURS)])
        if len(kinds) * len(shown) <= 24:
            axes.bar_label(bars, fmt="%.0f", fontsize=6, padding=1)
    slanted = len(kinds) > 5
    counted = [f"{kind}{' ' if slanted else chr(10)}({first.sizes[kind]:,})" for kind in kinds]
    axes.set_xticks(range(len(kinds)), counted, fontsize=7)
    if slanted:
        axes.tick_params(axis="x", labelrotation=50)
        for tick in axes.get_xticklabels():
            tick.set_horizontalalignment("right")
            tick.set_rotation_mode("anchor")
    axes.set_ylabel(label)
    axes.set_ylim(0, 108)
    return _saved(figure, path)


def _costs(systems: dict[str, Score], path: Path) -> Path:
    """Draw the accuracy that is left when a tool takes its oracle's place, with its interval."""
    figure, axes = _axes("accuracy with one tool in place of its oracle")
    names = list(systems)[::-1]
    means = [systems[name].mean for name in names]
    spread = [
        [mean - systems[name].low for name, mean in zip(names, means, strict=True)],
        [systems[name].high - mean for name, mean in zip(names, means, strict=True)],
    ]
    axes.barh(names, means, xerr=spread, color=_COLOURS[0], height=0.6, error_kw={"lw": 1, "capsize": 3})
    for place, name in enumerate(names):
        beside = systems[name].against
        told = f"{means[place]:.1f}" + (f" ({beside.change:+.1f})" if beside else "")
        axes.text(103, place, told, va="center", fontsize=8)
    axes.set_xlim(0, 102)
    axes.tick_params(axis="y", labelsize=8)
    axes.set_xlabel("accuracy, %, with 95 % interval")
    figure.savefig(path, dpi=150)
    return path


def _short(name: str) -> str:
    """Shorten a model's id in the middle."""
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST // 2]}...{name[-_LONGEST // 2 :]}"


def _axes(title: str) -> tuple[Figure, Axes]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE, layout="constrained")
    FigureCanvasAgg(figure)  # no window system, no global state
    axes = figure.subplots()
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _saved(figure: Figure, path: Path) -> Path:
    figure.legend(loc="outside lower center", fontsize=7, frameon=False)
    figure.savefig(path, dpi=150)
    return path
