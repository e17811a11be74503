"""Score what tools answered to the units of the STAR tool benchmark, and trivial answers beside them.

Everything is computed from answers that are at hand, so another rule of matching asks no model again. What a
model did not find counts as a miss, never as nothing. The protocols are those of AoTD (CVPR 2025, appendix
B.2) with the choices of `aotd.benchmarks.star_units`. Asks no model and draws nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aotd.benchmarks.action_match import MATCHES, Match
from aotd.benchmarks.geometry import box_iou, interval_iou, keyframe_recall
from aotd.benchmarks.moments import Query, moment_scores
from aotd.benchmarks.star_units import ActionUnit, DetectionUnit, EventUnit, QaUnit
from aotd.benchmarks.statistics import Interval, bootstrap, mcnemar
from aotd.tools.models import Detection, Moment, ToolError, VideoAnswer
from aotd.traces.records import GRID, Box, Record

__all__ = [
    "FILLS",
    "Against",
    "Score",
    "action_baseline",
    "actions",
    "against",
    "detection",
    "detection_baseline",
    "events",
    "events_baseline",
    "mean_boxes",
    "qa",
    "qa_baseline",
    "tally",
]

PERSON: Final = "person"

FILLS: Final = "events that fill 90 % of what is shown"
"""Count of events for which the whole clip, or video, is as good as right."""

Window = tuple[int, int]


class Against(Record):
    """A system beside another on the same units: who is right where the other is wrong."""

    system: str
    change: float
    """Of the main figure, in points."""
    only_this: int
    only_other: int
    p: float
    """Exact McNemar test, two-sided."""


class Score(Record):
    """How one system did on one sub-task."""

    n: int
    """Units."""
    metric: str
    """Name of the main figure."""
    mean: float
    """The main figure, in per cent."""
    low: float
    """Its 95 % interval, resampling videos."""
    high: float
    more: dict[str, float] = {}
    """Other figures, in per cent."""
    by: dict[str, float] = {}
    """The main figure by class or type, in per cent."""
    counts: dict[str, int] = {}
    """What became of units."""
    sizes: dict[str, int] = {}
    """Units by class or type."""
    against: Against | None = None
    values: tuple[float, ...] = ()
    """The main figure of each unit, in per cent, in the units' order."""


class Tally(NamedTuple):
    """What a score is made of."""

    metric: str
    values: Sequence[float]
    """In per cent, by unit."""
    kinds: Sequence[str]
    """Class or type of each unit; empty for none."""
    videos: Sequence[str]
    more: Mapping[str, float]
    counts: Mapping[str, int]


def detection(units: Sequence[DetectionUnit], answers: Sequence[tuple[Detection, ...] | ToolError]) -> Score:
    """Score the most confident box of each unit by its overlap; no box is 0."""
    best = [None if isinstance(answer, ToolError) else _best(answer) for answer in answers]
    return _boxes(units, best, _failed(answers))


def detection_baseline(units: Sequence[DetectionUnit]) -> Score:
    """Give each object the mean box of its class in other videos."""
    names, videos = [unit.name for unit in units], [unit.video for unit in units]
    return _boxes(units, mean_boxes([unit.truth for unit in units], names, videos), 0)


def mean_boxes(boxes: Sequence[Box], names: Sequence[str], videos: Sequence[str]) -> list[Box | None]:
    """Give for each box the mean of its class's boxes in other videos, in pixels; None if there is none."""
    sums: dict[tuple[str, str | None], NDArray[np.float64]] = {}
    counts: Counter[tuple[str, str | None]] = Counter()
    for box, name, video in zip(boxes, names, videos, strict=True):
        for key in ((name, None), (name, video)):
            sums[key] = sums.get(key, np.zeros(4)) + box
            counts[key] += 1
    means: list[Box | None] = []
    for name, video in zip(names, videos, strict=True):
        others = counts[name, None] - counts[name, video]
        total = sums[name, None] - sums[name, video]
        mean = [round(value / others) for value in total.tolist()] if others else None
        means.append((mean[0], mean[1], mean[2], mean[3]) if mean else None)
    return means


def _best(answer: tuple[Detection, ...]) -> Box | None:
    return max(answer, key=lambda found: found.score).box if answer else None


def _boxes(units: Sequence[DetectionUnit], found: Sequence[Box | None], failed: int) -> Score:
    nothing = (0, 0, 0, 0)
    overlaps = 100 * box_iou([box or nothing for box in found], [unit.truth for unit in units])
    names = [unit.name for unit in units]
    things = [v for v, name in zip(overlaps, names, strict=True) if name != PERSON]
    missed = sum(box is None for box in found)
    more = {
        "mean of classes": float(np.mean(list(_means(names, overlaps.tolist()).values()))),
        "IoU >= 0.5": float(100 * np.mean(overlaps >= 50)),
        "missed": 100 * missed / len(units),
    }
    if things:
        more["without person"] = float(np.mean(things))
    videos = [unit.video for unit in units]
    counts = {"no box": missed, "failed": failed}
    return tally(Tally("mean IoU", overlaps.tolist(), names, videos, more, counts))


def events(units: Sequence[EventUnit], answers: Sequence[tuple[Moment, ...] | ToolError]) -> Score:
    """Score the first moment of each event by its overlap on the grid of 32; none is 0."""
    ranked = [[] if isinstance(answer, ToolError) else _ranked(answer) for answer in answers]
    return _windows(units, ranked, _failed(answers))


def events_baseline(units: Sequence[EventUnit], window: Window) -> Score:
    """Give every event the same window."""
    return _windows(units, [[window]] * len(units), 0)


def _ranked(answer: Sequence[Moment]) -> list[Window]:
    """Span the windows of each moment, clamped to the grid; what is empty then is no window."""
    spans = [
        (max(0, min(s for s, _ in moment.windows)), min(GRID, max(e for _, e in moment.windows)))
        for moment in answer
        if moment.windows
    ]
    return [(start, end) for start, end in spans if start < end]


def _windows(units: Sequence[EventUnit], ranked: Sequence[Sequence[Window]], failed: int) -> Score:
    first = [windows[0] if windows else (0, 0) for windows in ranked]
    overlaps = 100 * interval_iou(first, [unit.window for unit in units])
    recalls = [keyframe_recall(w, u.positions) or 0.0 for w, u in zip(first, units, strict=True)]
    scale = np.array([[unit.length / GRID] for unit in units])
    exact = interval_iou(np.asarray(first) * scale, [unit.seconds for unit in units])
    moments = moment_scores([Query([u.window], w) for u, w in zip(units, ranked, strict=True)])
    more = {"recall": 100 * float(np.mean(recalls))}
    more |= {f"R1@{at}": share for at, share in moments.r1.items()}
    more |= {"mAP": moments.mean_ap, "IoU in seconds": 100 * float(np.mean(exact))}
    whole = sum(unit.window[1] - unit.window[0] >= 0.9 * GRID for unit in units)
    counts = {"no window": sum(not w for w in ranked), "failed": failed, FILLS: whole}
    kinds, videos = [unit.kind for unit in units], [unit.video for unit in units]
    return tally(Tally("mean IoU", overlaps.tolist(), kinds, videos, more, counts))


def actions(
    units: Sequence[ActionUnit], answers: Sequence[VideoAnswer | ToolError], match: Match = "verb-object"
) -> Score:
    """Score the first action that is named; lenient takes any that is under way in half of the part."""
    texts = [() if isinstance(answer, ToolError) else answer.texts for answer in answers]
    named = {rule: [read(said) for said in texts] for rule, read in MATCHES.items()}
    score = _named(units, named[match], _failed(answers))
    others = {
        f"by {rule}": float(100 * np.mean([u.action in n for u, n in zip(units, found, strict=True)]))
        for rule, found in named.items()
        if rule != match
    }
    return score.model_copy(update={"more": {**score.more, **others}})


def action_baseline(units: Sequence[ActionUnit]) -> Score:
    """Name the action that is most frequent in the units of other videos; by id if several are."""
    total = Counter(unit.action for unit in units)
    by_video: dict[str, Counter[str]] = {}
    for unit in units:
        by_video.setdefault(unit.video, Counter())[unit.action] += 1
    best = {}
    for video, own in by_video.items():
        others = total - own
        best[video] = {min(others, key=lambda a: (-others[a], a))} if others else set[str]()
    return _named(units, [best[unit.video] for unit in units], 0)


def _named(units: Sequence[ActionUnit], named: Sequence[set[str]], failed: int) -> Score:
    right = [100.0 * (unit.action in found) for unit, found in zip(units, named, strict=True)]
    lenient = [100.0 * bool(unit.around & found) for unit, found in zip(units, named, strict=True)]
    counts = {"no class of STAR's": sum(not found for found in named), "failed": failed}
    more = {"lenient": float(np.mean(lenient))}
    kinds, videos = [unit.action for unit in units], [unit.video for unit in units]
    return tally(Tally("top-1", right, kinds, videos, more, counts))


def qa(units: Sequence[QaUnit], answers: Sequence[VideoAnswer | ToolError]) -> Score:
    """Score the option that is chosen; an abstention is wrong."""
    texts = [() if isinstance(answer, ToolError) else answer.texts for answer in answers]
    right = [100.0 * (said[:1] == (unit.answer,)) for unit, said in zip(units, texts, strict=True)]
    failed = _failed(answers)
    return _answered(units, right, {"abstained": sum(not said for said in texts) - failed, "failed": failed})


def qa_baseline(units: Sequence[QaUnit]) -> Score:
    """Expect what drawing an option gives."""
    expected = []
    for unit in units:
        options = unit.request.options or ()
        expected.append(100.0 * sum(option == unit.answer for option in options) / max(1, len(options)))
    return _answered(units, expected, {})


def _answered(units: Sequence[QaUnit], values: Sequence[float], counts: Mapping[str, int]) -> Score:
    kinds, videos = [unit.kind for unit in units], [unit.video for unit in units]
    more = {"mean of types": float(np.mean(list(_means(kinds, values).values())))}
    return tally(Tally("accuracy", values, kinds, videos, more, counts))


def against(score: Score, name: str, other: Score) -> Score:
    """Set a score beside another system's on the same units, each of which is right or wrong.

    Raises
    ------
    ValueError
        If the two were not scored on as many units.
    """
    paired = mcnemar([value > 0 for value in score.values], [value > 0 for value in other.values])
    beside = Against(
        system=name,
        change=score.mean - other.mean,
        only_this=paired.first_only,
        only_other=paired.second_only,
        p=paired.p,
    )
    return score.model_copy(update={"against": beside})


def tally(parts: Tally) -> Score:
    """Sum up the figures of units; intervals resample videos (95 %, 2,000 rounds, seed 0)."""
    interval: Interval = bootstrap(parts.values, list(parts.videos))
    by = {kind: mean for kind, mean in _means(parts.kinds, parts.values).items() if kind}
    sizes = Counter(parts.kinds)
    return Score(
        n=len(parts.values),
        metric=parts.metric,
        mean=interval.mean,
        low=interval.low,
        high=interval.high,
        more=dict(parts.more),
        by=by,
        counts=dict(parts.counts),
        sizes={kind: sizes[kind] for kind in by},
        values=tuple(parts.values),
    )


def _failed(answers: Sequence[object]) -> int:
    return sum(isinstance(answer, ToolError) for answer in answers)


def _means(kinds: Sequence[str], values: Sequence[float]) -> dict[str, float]:
    grouped: dict[str, list[float]] = {}
    for kind, value in zip(kinds, values, strict=True):
        grouped.setdefault(kind, []).append(value)
    return {kind: float(np.mean(group)) for kind, group in sorted(grouped.items())}
