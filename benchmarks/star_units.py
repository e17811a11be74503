"""What each tool is asked on STAR, with the truth beside it: the units of the tool benchmark.

A unit is one request to one model, made from ground truth for all steps before it (AoTD, CVPR 2025,
Table 1): a key frame and an object, a clip and an event, the event's part of the clip, the part that a
question speaks of. No unit shows a model anything after the question's end, unless `input=full_video` asks
for the whole video. What the paper leaves open is a switch. Asks no model and scores nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from aotd.agent.grammar import read_question
from aotd.agent.pipeline import Item
from aotd.agent.prepare import Fault, Scene, prepare
from aotd.agent.star_programs import Reading
from aotd.benchmarks.placing import Placed, events_in, place
from aotd.tools.library import Library
from aotd.tools.models import DetectRequest, FrameRef, Frames, GroundRequest, VideoRequest
from aotd.tools.oracle import Sheet
from aotd.tools.sampling import Timeline
from aotd.tools.video import VideoError
from aotd.traces.outcomes import Outcome
from aotd.traces.records import GRID, Box, Question, Record, Span
from aotd.traces.situations import PERSON, Keyframe, SituationGraph
from aotd.traces.star_phrases import action_phrase, parse_phrase
from aotd.traces.star_vocabulary import OBJECTS

__all__ = [
    "ActionUnit",
    "DetectionUnit",
    "EventUnit",
    "QaUnit",
    "QuestionUnits",
    "Switches",
    "picture_units_of",
    "units_of",
]


class Switches(Record):
    """The choices that the paper leaves open; all are printed with every result."""

    objects: Literal["program", "all"] = "program"
    """Detection: the person and what question and answer name, or all annotated objects."""
    frames: Literal["exact", "grid"] = "exact"
    """Detection: the annotated key frame itself, or the frame of the 32 that stands for it."""
    names: Literal["whole", "parts"] = "whole"
    """Detection: ask for `cup/glass/bottle` as it stands, or for each part and take the best box."""
    events: Literal["condition", "all"] = "condition"
    """Grounding: the event that a question names as its condition, or each action of a clip."""
    input: Literal["clip", "full_video"] = "clip"
    """Grounding: within the question's clip, or within the whole video, where that is at hand."""
    wording: Literal["person is", "phrase"] = "person is"
    """Grounding: `person is opening the box`, as programs say it, or `open the box`."""
    match: Literal["verb-object", "class-name"] = "verb-object"
    """Action: an answer counts by its verb and object, or by the very name of a class."""
    part: Literal["part", "clip"] = "part"
    """One-hop questions: on the part that they speak of, or on the whole clip."""
    selector: Literal["rule", "configured"] = "rule"
    """Decomposition: answers are chosen by a rule, or by the configured selector."""


class DetectionUnit(NamedTuple):
    """One object in one key frame."""

    id: str
    video: str
    name: str
    request: DetectRequest
    truth: Box
    sheet: Sheet
    """This key frame alone: several may share a place on the grid."""


class EventUnit(NamedTuple):
    """One event in a clip, or in a whole video."""

    id: str
    video: str
    kind: str
    """The question's type."""
    action: str
    request: GroundRequest
    positions: tuple[int, ...]
    """Grid positions of the event's key frames, ascending."""
    seconds: Span
    """From the event's first key frame to the end of its last, counted from the first frame shown."""
    length: float
    """Seconds that are shown."""
    sheet: Sheet

    @property
    def window(self) -> tuple[int, int]:
        """From the first key frame to the last, half-open, on the grid."""
        return self.positions[0], self.positions[-1] + 1


class ActionUnit(NamedTuple):
    """The action in an event's part of the clip."""

    id: str
    video: str
    request: VideoRequest
    action: str
    around: frozenset[str]
    """Actions under way in at least half of the part's key frames, the event's among them."""
    sheet: Sheet


class QaUnit(NamedTuple):
    """A question about the part of the clip that it speaks of."""

    id: str
    video: str
    request: VideoRequest
    answer: str
    kind: str
    sheet: Sheet


class QuestionUnits(NamedTuple):
    """All units of one question."""

    scene: Scene
    detection: tuple[DetectionUnit, ...] = ()
    events: tuple[EventUnit, ...] = ()
    actions: tuple[ActionUnit, ...] = ()
    qa: tuple[QaUnit, ...] = ()
    without_image: int = 0
    """Key frames of which no image is at hand, where images are what is shown."""


class _Stage(NamedTuple):
    """What is shown, and the key frames in it."""

    shown: Literal["clip", "video"]
    timeline: Timeline
    fps: float
    placed: tuple[Placed, ...]
    sheet: Sheet


def units_of(item: Item, library: Library | None, switches: Switches) -> QuestionUnits | Fault:
    """Make the units of one question; a fault says why it has none."""
    scene = prepare(item.question, item.graph, library, future=False)
    if isinstance(scene, Fault):
        return scene
    stage = _stage(scene, item)
    if isinstance(stage, Fault):
        return stage
    reading = read_question(item.question.text)
    events = _events(scene, stage, reading, switches)
    grounded = events
    if switches.input == "full_video":
        shown = _whole(scene, stage, library)
        if isinstance(shown, Fault):
            return shown
        grounded = _events(scene, shown, reading, switches)
    return QuestionUnits(
        scene=scene,
        detection=_detection(scene, stage, reading, switches),
        events=grounded,
        actions=_actions(stage, events),
        qa=_qa(scene, stage, reading, switches),
    )


def picture_units_of(item: Item, library: Library, switches: Switches) -> QuestionUnits | Fault:
    """Make the detection units of one question on images of its key frames.

    Parameters
    ----------
    library
        Over the folder of images: `QUESTION/KEYFRAME.png`, the question's id and the key frame in six
        digits.
    """
    scene = prepare(item.question, item.graph, None, future=False)
    if isinstance(scene, Fault):
        return scene
    stage = _stage(scene, item)
    if isinstance(stage, Fault):
        return stage
    images: dict[int, FrameRef] = {}
    for placed in stage.placed:
        frame_id = placed.keyframe.frame_id
        # Pre-release questions are marked as such by `pre_`, their images may not be.
        for folder in dict.fromkeys((item.question.id, item.question.id.removeprefix("pre_"))):
            image = _image(item.question, f"{folder}/{frame_id:06d}.png", library)
            if image is not None:
                images.setdefault(frame_id, image)
    missing = len(stage.placed) - len(images)
    if not images:
        return Fault(Outcome.MISSING_VIDEO, f"{item.question.id}: no image of a key frame")
    units = _detection(scene, stage, read_question(item.question.text), switches, images)
    return QuestionUnits(scene, units, without_image=missing)


def _image(question: Question, name: str, library: Library) -> FrameRef | None:
    """Open a picture as a video of one frame."""
    try:
        found = library.open(question.model_copy(update={"clip_file": name, "span": None}))
    except VideoError:
        return None
    return FrameRef(video=found.digest, index=0) if found.found_as == "clip" else None


def _stage(scene: Scene, item: Item) -> _Stage | Fault:
    fps = item.question.fps or scene.video.fps
    if item.graph is None or scene.span is None or fps is None:
        return Fault(Outcome.BAD_ANNOTATION, f"{item.question.id}: no graph, times or frames per second")
    timeline, start = scene.timeline, scene.span[0]
    placed = place(item.graph, timeline, start, fps, within=scene.span)
    return _Stage("clip", timeline, fps, placed, _sheet(item.question.id, placed, timeline, start, fps))


def _sheet(name: str, placed: Iterable[Placed], timeline: Timeline, start: float, fps: float) -> Sheet:
    """Show oracles what counts as true and nothing more."""
    graph = SituationGraph(tuple(p.keyframe for p in placed))
    return Sheet(name, graph, timeline, start, fps, future=False)


def _whole(scene: Scene, stage: _Stage, library: Library | None) -> _Stage | Fault:
    """Show the whole video; what counts as true stays what lies in the question's clip."""
    question = scene.question
    if library is None:
        return Fault(Outcome.MISSING_VIDEO, f"{question.id}: input=full_video needs --videos")
    alone = {"id": question.video_id, "span": None, "clip_file": None}
    video = prepare(question.model_copy(update=alone), None, library, future=False)
    if isinstance(video, Fault):
        return video
    graph = SituationGraph(tuple(p.keyframe for p in stage.placed))
    placed = place(graph, video.timeline, 0.0, stage.fps, within=scene.span or (0.0, 0.0))
    sheet = _sheet(question.id, placed, video.timeline, 0.0, stage.fps)
    return _Stage("video", video.timeline, stage.fps, placed, sheet)


def _detection(
    scene: Scene,
    stage: _Stage,
    reading: Reading | None,
    switches: Switches,
    images: dict[int, FrameRef] | None = None,
) -> tuple[DetectionUnit, ...]:
    wanted = None if switches.objects == "all" else _named(scene, reading)
    units = []
    for placed in stage.placed:
        frame_id = placed.keyframe.frame_id
        at = placed.frame if switches.frames == "exact" else stage.timeline.index(placed.position)
        frame: FrameRef | None = FrameRef(video=stage.timeline.video, index=at)
        if images is not None:
            frame = images.get(frame_id)
        if frame is None:
            continue
        moved = "" if switches.frames == "exact" or images is not None else f"@{at}"
        sheet = _one_frame(placed.keyframe, frame, stage.fps)
        for obj, box in placed.keyframe.boxes:
            name = OBJECTS[obj]
            if box is None or (wanted is not None and name not in wanted):
                continue
            names = (name,) if switches.names == "whole" else tuple(name.split("/"))
            request = DetectRequest(frame=frame, names=names)
            unit = f"{scene.question.video_id}/{frame_id}{moved}/{name}"
            units.append(DetectionUnit(unit, scene.question.video_id, name, request, box, sheet))
    return tuple(units)


def _one_frame(keyframe: Keyframe, frame: FrameRef, fps: float) -> Sheet:
    timeline = Timeline(video=frame.video, first=frame.index, frames=1)
    start = (keyframe.frame_id - 1) / fps
    return Sheet(
        f"frame {keyframe.frame_id}", SituationGraph((keyframe,)), timeline, start, fps, future=False
    )


def _named(scene: Scene, reading: Reading | None) -> set[str]:
    """Name the person and the objects of the question and its answer."""
    names = {OBJECTS[PERSON], parse_phrase(scene.question.answer or "").obj}
    if reading is not None:
        names |= {reading.asked.obj, reading.event.obj, *(parse_phrase(s).obj for s in reading.states)}
    return {name for name in names if name}


def _events(
    scene: Scene, stage: _Stage, reading: Reading | None, switches: Switches
) -> tuple[EventUnit, ...]:
    if switches.events == "condition":
        # As STAR's `Unique`: of several actions that fit the condition, the first to appear.
        present = events_in(stage.placed, reading.event.actions if reading else ())[:1]
    else:
        present = tuple(dict.fromkeys(a for p in stage.placed for a in p.keyframe.actions))
    return tuple(_event(scene, stage, action, switches) for action in present)


def _event(scene: Scene, stage: _Stage, action: str, switches: Switches) -> EventUnit:
    inside = [placed for placed in stage.placed if action in placed.keyframe.actions]
    offsets = [placed.frame - stage.timeline.first for placed in inside]
    text = action_phrase(action)
    if switches.wording == "person is":
        text = f"person is {action_phrase(action, 'gerund')}"
    start, end = scene.span or (0.0, 0.0)
    return EventUnit(
        id=f"{scene.question.video_id}/{stage.shown}/{start:g}-{end:g}/{action}",
        video=scene.question.video_id,
        kind=scene.question.type or "",
        action=action,
        request=GroundRequest(frames=_frames(stage.timeline, range(GRID)), text=text),
        positions=tuple(sorted({placed.position for placed in inside})),
        seconds=(min(offsets) / stage.fps, (max(offsets) + 1) / stage.fps),
        length=stage.timeline.frames / stage.fps,
        sheet=stage.sheet,
    )


def _actions(stage: _Stage, events: Iterable[EventUnit]) -> tuple[ActionUnit, ...]:
    units = []
    for event in events:
        inside = [p.keyframe for p in stage.placed if event.window[0] <= p.position < event.window[1]]
        present = {action for keyframe in inside for action in keyframe.actions}
        around = {a for a in present if 2 * sum(a in k.actions for k in inside) >= len(inside)}
        request = VideoRequest(clip=_frames(stage.timeline, range(*event.window)), task="actions")
        units.append(
            ActionUnit(
                event.id, event.video, request, event.action, frozenset(around | {event.action}), stage.sheet
            )
        )
    return tuple(units)


def _qa(scene: Scene, stage: _Stage, reading: Reading | None, switches: Switches) -> tuple[QaUnit, ...]:
    question = scene.question
    if question.options is None or question.answer is None:
        return ()
    positions = range(GRID) if switches.part == "clip" else _part(stage, reading, question.text)
    request = VideoRequest(
        clip=_frames(stage.timeline, positions),
        task="choice",
        question=question.text,
        options=question.options,
    )
    unit = QaUnit(question.id, question.video_id, request, question.answer, question.type or "", stage.sheet)
    return (unit,)


def _part(stage: _Stage, reading: Reading | None, text: str) -> range:
    """Give the positions that a question speaks of, cut at the edges of its condition's event.

    What comes after (before) an event that fills the clip to its end (start) is cut at its other edge, as
    programs do. Interaction's clip is the answer's own event; Prediction and Feasibility keep the clip up
    to its end, since what they ask for comes later.
    """
    if reading is None or not reading.template.startswith("Sequence"):
        return range(GRID)
    event = events_in(stage.placed, reading.event.actions)[:1]
    at = [p.position for p in stage.placed if event and event[0] in p.keyframe.actions]
    if not at:
        return range(GRID)
    start, end = min(at), max(at) + 1
    if " before " in f" {text.lower()} ":
        return range(start) if start else range(end)
    return range(end, GRID) if end < GRID else range(start, GRID)


def _frames(timeline: Timeline, positions: Iterable[int]) -> Frames:
    return Frames(video=timeline.video, indices=tuple(timeline.index(position) for position in positions))
