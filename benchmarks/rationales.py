"""How well rationales say when and where: their windows and boxes against STAR's situation graphs.

The measure of AoTD's Table 7 (CVPR 2025): overlap and key-frame recall of the window that a rationale tells,
overlap of the boxes that it tells; with what the paper leaves open as options. Three figures stand for each:
how many rationales say anything valid, the mean over those, and the mean with the others as 0. Beside them
stand trivial answers to the same items. Asks no model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

import numpy as np

from aotd.agent.grammar import read_question
from aotd.agent.pipeline import Item
from aotd.agent.prepare import Fault, prepare
from aotd.benchmarks.annotation import AnnotationError
from aotd.benchmarks.geometry import box_iou, interval_iou, keyframe_recall
from aotd.benchmarks.placing import Placed, events_in, place
from aotd.benchmarks.predictions import rows_by_question
from aotd.benchmarks.rationale_text import Boxed, Origin, Said, Size, Windowed, read_rationale, unflip
from aotd.benchmarks.star_scores import mean_boxes
from aotd.benchmarks.statistics import bootstrap
from aotd.tools.library import Library
from aotd.tools.sampling import Timeline
from aotd.traces.records import GRID, Box, Question, Record
from aotd.traces.runs import Run
from aotd.traces.star_phrases import parse_phrase
from aotd.traces.star_vocabulary import OBJECTS, action_ids

__all__ = [
    "PAPER",
    "Estimate",
    "Measure",
    "RationaleReport",
    "Setting",
    "Which",
    "load_rationales",
    "score_rationales",
    "setting_of",
]

Which = Literal["first", "best"]
"""Of several windows, the one that counts."""

PAPER: Final[Mapping[str, Mapping[str, float]]] = {
    "UniVTG": {"temporal IoU": 22.8, "recall": 31.0},
    "OWLv2": {"spatial IoU": 64.7},
    "LLaVA-NeXT-Video-AoTD": {"temporal IoU": 21.7, "recall": 34.0, "spatial IoU": 45.2},
}
"""AoTD's Table 7 (CVPR 2025), 200 questions of STAR's val split."""

_TEXTS: Final = ("rationale", "cot", "text", "output", "response")


class Setting(NamedTuple):
    """A question and where its annotation lies."""

    question: Question
    timeline: Timeline
    placed: tuple[Placed, ...]
    size: Size | None
    """Of the video, if it is at hand."""


class Estimate(Record):
    """A mean with its 95 % interval, resampling videos."""

    mean: float
    low: float
    high: float


class Measure(Record):
    """One figure over questions, in per cent."""

    questions: int
    valid: int
    """Questions whose rationale has a valid item."""
    scored: int
    """Of these, with a truth to hold it against."""
    coverage: float
    """Valid of all, in per cent."""
    covered: Estimate | None
    """Mean over scored questions."""
    zero_filled: Estimate | None
    """The same with questions without a valid item as 0; those without a truth are left out."""
    items: float | None
    """Mean over items, not questions."""


class RationaleReport(Record):
    """What rationales say, beside what is true."""

    rationales: int
    """Questions with a text."""
    origin: Origin
    window: Which
    temporal_iou: Measure
    recall: Measure
    spatial_iou: Measure
    other_origin: float | None
    """Spatial overlap over scored questions if y counted from the other edge; None without heights."""
    trivial: dict[str, dict[str, float]]
    """Figures of trivial answers to the same items, over scored questions."""
    counts: dict[str, int]
    """Items that could not be scored, by why; and where events were found."""


class _Scored(NamedTuple):
    """The items of one question that were scored."""

    setting: Setting
    windows: list[tuple[tuple[int, int], tuple[int, ...]]]
    """The windows, each with the grid positions of its event's key frames."""
    boxes: list[tuple[Boxed, Box]]
    valid_windows: int
    valid_boxes: int


def load_rationales(path: Path) -> dict[str, str | None]:
    """Read rationales by question id; None where a row has none.

    Parameters
    ----------
    path
        JSON Lines or JSON of rows that name the question and give a text (rationale, cot, text, output or
        response), such as our canonical export; or the folder of a run.

    Raises
    ------
    AnnotationError
        Naming the file, the place and what is wrong.
    """
    if path.is_dir():
        examples = Run.open(path).examples()
        return {name: e.rationale.text if e.rationale else None for name, e in examples.items()}
    found: dict[str, str | None] = {}
    for where, name, row in rows_by_question(path):
        if name in found:
            raise AnnotationError(f"{path}: question {name} has two rationales, the second at {where}")
        key = next((key for key in _TEXTS if key in row), None)
        text = row[key] if key else None
        if key is None or not (text is None or isinstance(text, str)):
            raise AnnotationError(f"{path}, {where} gives no rationale: one of {', '.join(_TEXTS)}, as text")
        found[name] = text
    if not found:
        raise AnnotationError(f"{path} holds no rationales")
    return found


def setting_of(item: Item, library: Library | None) -> Setting | Fault:
    """Settle a question's grid and annotation; with a library, the size of its video too."""
    scene = prepare(item.question, item.graph, library, future=False)
    if isinstance(scene, Fault):
        return scene
    fps = item.question.fps or scene.video.fps
    placed: tuple[Placed, ...] = ()
    if item.graph is not None and scene.span is not None and fps is not None:
        placed = place(item.graph, scene.timeline, scene.span[0], fps, within=scene.span)
    size = (scene.video.width, scene.video.height) if scene.video.width and scene.video.height else None
    return Setting(item.question, scene.timeline, placed, size)


def score_rationales(
    settings: Sequence[Setting],
    texts: Mapping[str, str | None],
    *,
    origin: Origin = "top",
    window: Which = "first",
) -> RationaleReport:
    """Score rationales of some questions.

    Parameters
    ----------
    settings
        The questions; one without a text has said nothing.
    texts
        By question id.
    origin
        Where the writer's y is 0.
    window
        Score the first window of a rationale, or the one that overlaps best.

    Raises
    ------
    ValueError
        If there are no questions, or boxes count from the bottom and a height is not known.
    """
    if not settings:
        raise ValueError("there are no questions to score")
    counts: Counter[str] = Counter()
    scored = [_scored(setting, texts.get(setting.question.id), window, counts) for setting in settings]
    if origin == "bottom" and any(s.boxes and s.setting.size is None for s in scored):
        raise ValueError("boxes that count from the bottom need the videos' heights: give --videos DIR")
    told = [[w for w, _ in s.windows] for s in scored]
    windows = [_overlaps(s, found, window) for s, found in zip(scored, told, strict=True)]
    other: Origin = "top" if origin == "bottom" else "bottom"
    seen = [_box_overlaps(s, origin) for s in scored]
    flipped = [_box_overlaps(s, other) for s in scored if s.setting.size is not None]
    known = [values for values in flipped if values]
    valid_windows = [s.valid_windows for s in scored]
    return RationaleReport(
        rationales=sum(bool(texts.get(s.setting.question.id)) for s in scored),
        origin=origin,
        window=window,
        temporal_iou=_measure(scored, [[i for i, _ in found] for found in windows], valid_windows),
        recall=_measure(scored, [[r for _, r in found] for found in windows], valid_windows),
        spatial_iou=_measure(scored, seen, [s.valid_boxes for s in scored]),
        other_origin=_mean([_mean(values) for values in known]) if known else None,
        trivial=_trivial(scored),
        counts=dict(counts),
    )


def _scored(setting: Setting, text: str | None, which: Which, counts: Counter[str]) -> _Scored:
    said = read_rationale(text or "", setting.size) if text else Said((), (), {})
    counts.update(said.invalid)
    if not text:
        counts["questions without a rationale"] += 1
    windows = []
    for told in said.windows if which == "best" else said.windows[:1]:
        positions = _event(setting, told, counts)
        if positions:
            windows.append((told.window, positions))
    boxes = []
    for boxed in said.boxes:
        truth = _true_box(setting, boxed, counts)
        if truth is not None:
            boxes.append((boxed, truth))
    return _Scored(setting, windows, boxes, len(said.windows), len(said.boxes))


def _event(setting: Setting, told: Windowed, counts: Counter[str]) -> tuple[int, ...]:
    """Find the key frames of the event that a window tells of: by its words, else by the question's."""
    reading = read_question(setting.question.text)
    answer = parse_phrase(setting.question.answer or "")
    verb = answer.verb or (reading.asked.verb if reading else None)
    obj = answer.obj or (reading.asked.obj if reading else None)
    meant = {
        "events by the rationale's words": told.actions,
        "events by the question's condition": reading.event.actions if reading else (),
        "events by the answer": action_ids(verb, obj) if verb and obj else (),
    }
    for how, actions in meant.items():
        event = events_in(setting.placed, actions)[:1]
        if event:
            counts[how] += 1
            return tuple(sorted({p.position for p in setting.placed if event[0] in p.keyframe.actions}))
    counts["windows without an annotated event"] += 1
    return ()


def _true_box(setting: Setting, boxed: Boxed, counts: Counter[str]) -> Box | None:
    """Find the annotated box of the same object on the same frame, else on a neighbour."""
    near = [p for p in setting.placed if p.position == boxed.frame]
    near = near or [p for p in setting.placed if abs(p.position - boxed.frame) == 1]
    if not near or not 0 <= boxed.frame < GRID:
        counts["boxes with no key frame near"] += 1
        return None
    index = setting.timeline.index(boxed.frame)
    keyframe = min(near, key=lambda p: abs(p.frame - index)).keyframe
    truth = next((box for o, box in keyframe.boxes if OBJECTS[o] == boxed.name and box is not None), None)
    if truth is None:
        counts["boxes of what is not annotated there"] += 1
    return truth


def _overlaps(scored: _Scored, told: Sequence[tuple[int, int]], which: Which) -> list[tuple[float, float]]:
    """Give IoU and recall of a question's window, in per cent; nothing if none was scored."""
    found = []
    for window, (_, positions) in zip(told, scored.windows, strict=True):
        true = (positions[0], positions[-1] + 1)
        overlap = 100 * float(interval_iou([window], [true])[0])
        found.append((overlap, 100 * (keyframe_recall(window, positions) or 0.0)))
    return [max(found)] if found and which == "best" else found[:1]


def _box_overlaps(scored: _Scored, origin: Origin) -> list[float]:
    told = [_from_top(boxed.box, scored.setting.size, origin) for boxed, _ in scored.boxes]
    overlaps: list[float] = (100 * box_iou(told, [truth for _, truth in scored.boxes])).tolist()
    return overlaps


def _from_top(
    box: tuple[float, float, float, float], size: Size | None, origin: Origin
) -> tuple[float, float, float, float]:
    return unflip(box, size[1]) if origin == "bottom" and size is not None else box


def _measure(scored: Sequence[_Scored], items: Sequence[Sequence[float]], valid: Sequence[int]) -> Measure:
    by_question = [(s, _mean(values)) for s, values in zip(scored, items, strict=True) if values]
    silent = [s for s, count in zip(scored, valid, strict=True) if not count]
    covered = [value for _, value in by_question]
    videos = [s.setting.question.video_id for s, _ in by_question]
    silent_videos = [s.setting.question.video_id for s in silent]
    every = [value for values in items for value in values]
    filled = [*covered, *(0.0 for _ in silent)]
    said = sum(count > 0 for count in valid)
    return Measure(
        questions=len(scored),
        valid=said,
        scored=len(covered),
        coverage=100 * said / len(scored),
        covered=_estimate(covered, videos),
        zero_filled=_estimate(filled, [*videos, *silent_videos]),
        items=_mean(every) if every else None,
    )


def _estimate(values: Sequence[float], videos: Sequence[str]) -> Estimate | None:
    return Estimate(**bootstrap(values, videos)._asdict()) if values else None


def _trivial(scored: Sequence[_Scored]) -> dict[str, dict[str, float]]:
    """Answer the same items trivially."""
    found: dict[str, dict[str, float]] = {}
    timed = [s for s in scored if s.windows]
    for name, window in (("whole clip", (0, GRID)), ("centre half", (GRID // 4, 3 * GRID // 4))):
        pairs = [_overlaps(s, [window] * len(s.windows), "first")[0] for s in timed]
        if pairs:
            found[name] = {
                "temporal IoU": _mean([overlap for overlap, _ in pairs]),
                "recall": _mean([recall for _, recall in pairs]),
            }
    boxes = [(s.setting.question, boxed.name, truth) for s in scored for boxed, truth in s.boxes]
    if boxes:
        videos = [question.video_id for question, _, _ in boxes]
        guesses = mean_boxes([truth for _, _, truth in boxes], [name for _, name, _ in boxes], videos)
        overlaps = 100 * box_iou([guess or (0, 0, 0, 0) for guess in guesses], [truth for *_, truth in boxes])
        of_question: dict[str, list[float]] = {}
        for (question, _, _), overlap in zip(boxes, overlaps.tolist(), strict=True):
            of_question.setdefault(question.id, []).append(overlap)
        means = [_mean(values) for values in of_question.values()]
        found["mean box of the class, other videos"] = {"spatial IoU": _mean(means)}
    return found


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
