"""Run the STAR tool benchmark: ask each tool its units, score the answers, set other systems beside it.

Answers come from models behind their fronts, so they are asked in batches, journalled, and found again by a
later call. Beside each model stand the oracle, which reads the annotation, and trivial answers. The units
are `aotd.benchmarks.star_units`'s, the figures `aotd.benchmarks.star_scores`'s. Opens no file and prints
nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

from pydantic import JsonValue

from aotd.agent.prepare import Fault
from aotd.benchmarks import star_scores as scores
from aotd.benchmarks.star_scores import Score
from aotd.benchmarks.star_units import ActionUnit, DetectionUnit, EventUnit, QaUnit, QuestionUnits, Switches
from aotd.tools.batching import Front
from aotd.tools.build import Toolbox
from aotd.tools.models import Detection, Moment, ToolError, VideoAnswer
from aotd.tools.oracle import OracleDetector, OracleGrounder, OracleVideoModel
from aotd.traces.records import GRID, Record

__all__ = [
    "ORACLE",
    "PAPER",
    "ROLES",
    "SUBTASKS",
    "Answers",
    "BenchResult",
    "Published",
    "Subtask",
    "Units",
    "ask",
    "count_faults",
    "frames_of",
    "gather",
    "oracle_answers",
    "score_units",
    "unit_rows",
]

Subtask = Literal["decomposition", "detection", "grounding", "action", "qa", "swap"]

SUBTASKS: Final[tuple[Subtask, ...]] = ("decomposition", "detection", "grounding", "action", "qa", "swap")

ROLES: Final[Mapping[Subtask, Literal["detector", "grounder", "video_model"]]] = {
    "detection": "detector",
    "grounding": "grounder",
    "action": "video_model",
    "qa": "video_model",
}
"""The model that answers the units of a sub-task."""

ORACLE: Final = "oracle (annotation)"


class Published(Record):
    """A published figure, for reference."""

    system: str
    figures: dict[str, float]


_TABLE_1: Final = "AoTD Table 1, STAR train"

PAPER: Final[Mapping[Subtask, Published]] = {
    "decomposition": Published(system=f"DeepSeek-Coder-6.7B ({_TABLE_1})", figures={"accuracy": 85.7}),
    "detection": Published(system=f"OWLv2 ({_TABLE_1})", figures={"mean IoU": 63.0}),
    "grounding": Published(system=f"UniVTG ({_TABLE_1})", figures={"mean IoU": 24.7, "recall": 35.3}),
    "action": Published(system=f"LLaVA-NeXT-Video-7B-DPO ({_TABLE_1})", figures={"top-1": 18.2}),
    "qa": Published(system=f"LLaVA-NeXT-Video-7B-DPO ({_TABLE_1})", figures={"accuracy": 53.4}),
}
"""The best model of each sub-task in AoTD (CVPR 2025); its samples and protocols are not published."""


class BenchResult(Record):
    """Everything that a table of results says."""

    command: str
    settings: dict[str, JsonValue]
    switches: Switches
    seed: int
    questions: int
    faults: dict[str, int]
    """Questions without units, by what is wrong with them; and what else is lacking."""
    models: dict[str, str]
    """Model ids by role."""
    labels: tuple[str, ...] = ()
    """What a reader must know, such as that weights are made up."""
    subtasks: dict[Subtask, dict[str, Score]]
    """Scores by sub-task and system."""
    paper: dict[Subtask, Published] = dict(PAPER)


AnyUnit: TypeAlias = DetectionUnit | EventUnit | ActionUnit | QaUnit


class Units(NamedTuple):
    """What is asked, each unit once; empty for a sub-task that is not."""

    detection: Sequence[DetectionUnit] = ()
    events: Sequence[EventUnit] = ()
    actions: Sequence[ActionUnit] = ()
    qa: Sequence[QaUnit] = ()


class Answers(NamedTuple):
    """Answers to units, in their order; empty for a sub-task that was not asked."""

    detection: Sequence[tuple[Detection, ...] | ToolError] = ()
    events: Sequence[tuple[Moment, ...] | ToolError] = ()
    actions: Sequence[VideoAnswer | ToolError] = ()
    qa: Sequence[VideoAnswer | ToolError] = ()


Request = TypeVar("Request", bound=Record)
Request_co = TypeVar("Request_co", bound=Record, covariant=True)
Answer = TypeVar("Answer")


class _Unit(Protocol[Request_co]):
    """Anything that is asked of a model."""

    @property
    def id(self) -> str:
        """Names the unit; its answer belongs to it if the model draws its answers."""
        ...

    @property
    def request(self) -> Request_co:
        """What is asked."""
        ...


def gather(questions: Iterable[QuestionUnits], subtasks: Sequence[Subtask]) -> Units:
    """Collect the units of the sub-tasks, in order of videos; those that questions share once."""
    ordered = sorted(questions, key=lambda units: units.scene.question.video_id)
    return Units(
        detection=_distinct(u for q in ordered for u in q.detection) if "detection" in subtasks else (),
        events=_distinct(u for q in ordered for u in q.events) if "grounding" in subtasks else (),
        actions=_distinct(u for q in ordered for u in q.actions) if "action" in subtasks else (),
        qa=_distinct(u for q in ordered for u in q.qa) if "qa" in subtasks else (),
    )


Kind = TypeVar("Kind", DetectionUnit, EventUnit, ActionUnit, QaUnit)


def _distinct(units: Iterable[Kind]) -> list[Kind]:
    kept: dict[str, Kind] = {}
    for unit in units:
        kept.setdefault(unit.id, unit)
    return list(kept.values())


def frames_of(units: Units) -> dict[str, set[int]]:
    """List the frames that units ask about, by video, so that each video is decoded once."""
    frames: dict[str, set[int]] = {}
    for detected in units.detection:
        frames.setdefault(detected.request.frame.video, set()).add(detected.request.frame.index)
    clips = [event.request.frames for event in units.events]
    clips += [unit.request.clip for unit in units.actions]
    clips += [unit.request.clip for unit in units.qa]
    for clip in clips:
        frames.setdefault(clip.video, set()).update(clip.indices)
    return frames


async def ask(
    units: Units, toolbox: Toolbox, subtasks: Sequence[Subtask], done: Callable[[], object]
) -> Answers:
    """Ask models the units of some sub-tasks, all at once; answers that are at hand are not asked again.

    Raises
    ------
    ModelDown
        If a model stops answering; what it answered is journalled.
    """
    one = next(_all(units), None)
    if one is None:
        return Answers()
    fronts = toolbox.fronts(one.sheet)  # a sheet for the oracles among them, which are not asked here
    answers = Answers()
    if "detection" in subtasks:
        boxes = await _ask(fronts.detector, units.detection, done)
        answers = answers._replace(detection=boxes)
    if "grounding" in subtasks:
        moments = await _ask(fronts.grounder, units.events, done)
        answers = answers._replace(events=moments)
    if "action" in subtasks:
        named = await _ask(fronts.video_model, units.actions, done)
        answers = answers._replace(actions=named)
    if "qa" in subtasks:
        chosen = await _ask(fronts.video_model, units.qa, done)
        answers = answers._replace(qa=chosen)
    return answers


def _all(units: Units) -> Iterator[AnyUnit]:
    yield from units.detection
    yield from units.events
    yield from units.actions
    yield from units.qa


async def _ask(
    front: Front[Request, Answer], units: Sequence[_Unit[Request]], done: Callable[[], object]
) -> list[Answer | ToolError]:
    async def one(unit: _Unit[Request]) -> Answer | ToolError:
        (answered,) = await front.ask([unit.request], context=f"bench/{unit.id}")
        done()
        return answered.answer

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(unit)) for unit in units]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from failed
    return [task.result() for task in tasks]


def oracle_answers(units: Units) -> Answers:
    """Answer from the annotation: the most that a tool can reach under these protocols."""
    return Answers(
        detection=[OracleDetector(u.sheet).detect([u.request])[0] for u in units.detection],
        events=[OracleGrounder(u.sheet).ground([u.request])[0] for u in units.events],
        actions=[OracleVideoModel(u.sheet).answer([u.request])[0] for u in units.actions],
        qa=[OracleVideoModel(u.sheet).answer([u.request])[0] for u in units.qa],
    )


def score_units(
    units: Units, systems: Mapping[Subtask, Mapping[str, Answers]], switches: Switches
) -> dict[Subtask, dict[str, Score]]:
    """Score systems, and trivial answers to the same units beside them.

    Parameters
    ----------
    systems
        By sub-task: the answers of each system, by its name.
    """
    found: dict[Subtask, dict[str, Score]] = {}
    for subtask, answers in systems.items():
        if subtask == "detection" and units.detection:
            scored = {name: scores.detection(units.detection, a.detection) for name, a in answers.items()}
            scored["mean box of the class, other videos"] = scores.detection_baseline(units.detection)
        elif subtask == "grounding" and units.events:
            scored = {name: scores.events(units.events, a.events) for name, a in answers.items()}
            shown = "clip" if switches.input == "clip" else "video"
            scored[f"whole {shown}"] = scores.events_baseline(units.events, (0, GRID))
            scored["centre half"] = scores.events_baseline(units.events, (GRID // 4, 3 * GRID // 4))
        elif subtask == "action" and units.actions:
            scored = {
                name: scores.actions(units.actions, a.actions, switches.match) for name, a in answers.items()
            }
            scored["most frequent action, other videos"] = scores.action_baseline(units.actions)
        elif subtask == "qa" and units.qa:
            scored = {name: scores.qa(units.qa, a.qa) for name, a in answers.items()}
            scored["random option (expected)"] = scores.qa_baseline(units.qa)
        else:
            continue
        found[subtask] = scored
    return found


def unit_rows(
    units: Units,
    systems: Mapping[Subtask, Mapping[str, Answers]],
    scored: Mapping[Subtask, Mapping[str, Score]],
) -> Iterator[dict[str, JsonValue]]:
    """Give a row for each unit: what was asked, what is true, what each system said and its score."""
    for subtask, by_system in scored.items():
        truths = _truths(units, subtask)
        answers = {name: _of(subtask, found) for name, found in systems[subtask].items()}
        for place, (unit, truth) in enumerate(truths):
            said: dict[str, JsonValue] = {name: _plain(found[place]) for name, found in answers.items()}
            values: dict[str, JsonValue] = {name: s.values[place] for name, s in by_system.items()}
            yield {
                "subtask": subtask,
                "unit": unit.id,
                "video": unit.video,
                "request": unit.request.model_dump(mode="json", exclude_none=True),
                "truth": truth,
                "answers": said,
                "scores": values,
            }


def _truths(units: Units, subtask: Subtask) -> list[tuple[AnyUnit, JsonValue]]:
    found: list[tuple[AnyUnit, JsonValue]] = []
    if subtask == "detection":
        found += [(unit, list(unit.truth)) for unit in units.detection]
    elif subtask == "grounding":
        found += [
            (unit, {"action": unit.action, "window": list(unit.window), "key_frames": list(unit.positions)})
            for unit in units.events
        ]
    elif subtask == "action":
        found += [
            (unit, {"action": unit.action, "under_way": [*sorted(unit.around)]}) for unit in units.actions
        ]
    elif subtask == "qa":
        found += [(unit, unit.answer) for unit in units.qa]
    return found


def _of(subtask: Subtask, answers: Answers) -> Sequence[object]:
    by_subtask: dict[Subtask, Sequence[object]] = {
        "detection": answers.detection,
        "grounding": answers.events,
        "action": answers.actions,
        "qa": answers.qa,
    }
    return by_subtask[subtask]


def _plain(answer: object) -> JsonValue:
    """Give an answer as JSON: detectors and grounders give several records, others one."""
    if isinstance(answer, tuple):
        return [_plain(item) for item in answer]
    plain: JsonValue = answer.model_dump(mode="json") if isinstance(answer, Record) else None
    return plain


def count_faults(found: Iterable[QuestionUnits | Fault]) -> dict[str, int]:
    """Count the questions that have no units, by why; and key frames of which no image is at hand."""
    faults: Counter[str] = Counter()
    for units in found:
        if isinstance(units, Fault):
            faults[units.outcome.value] += 1
        elif units.without_image:
            faults["key frames without an image"] += units.without_image
    return dict(faults)
