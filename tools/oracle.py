"""Oracle models: they answer from STAR's situation graph instead of pixels.

An upper bound for what a program can reach, and a stand-in that lets everything run without weights. Each is
made for one question and may replace one model at a time. At grid position i an oracle knows the keyframes
that fall on i, and nothing where there is none. It reads the program's own words with STAR's vocabulary;
words it does not know find nothing. An oracle guesses nothing and tells no answer: summaries are empty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from aotd.tools.deeds import fitting_options, told_actions, told_objects
from aotd.tools.models import (
    Detection,
    DetectRequest,
    Frames,
    GroundRequest,
    ModelIdentity,
    Moment,
    ToolError,
    VideoAnswer,
    VideoRequest,
)
from aotd.tools.sampling import Timeline, keyframe_offset
from aotd.traces.situations import Keyframe, SituationGraph
from aotd.traces.star_phrases import action_phrase, parse_phrase
from aotd.traces.star_vocabulary import ACTIONS, ACTIONS_BY_ID, OBJECTS, Action, object_id, relation_id

__all__ = ["OracleDetector", "OracleGrounder", "OracleVideoModel", "Sheet"]

_Test = Callable[[Keyframe], bool]


class Sheet:
    """What is annotated at each grid position of a question.

    Parameters
    ----------
    question_id
        Part of the oracles' identity: their answers belong to this question.
    graph
        The question's situation graph.
    timeline
        Frames of the question's span.
    start
        Start of the span, seconds.
    fps
        Frames per second of the original video.
    future
        Whether the span was lengthened to show keyframes after the question's end; part of the identity.
    end
        End of the span, seconds; keyframes after it are not seen. A clip cut without re-encoding decodes a
        few frames more than its times say, and what is annotated there is the future.
    """

    def __init__(
        self,
        question_id: str,
        graph: SituationGraph,
        timeline: Timeline,
        start: float,
        fps: float,
        *,
        future: bool,
        end: float | None = None,
    ) -> None:
        self.timeline = timeline
        self.key = f"{question_id}/{graph.digest[:16]}/{'future' if future else 'past'}"
        self._by_position: dict[int, list[Keyframe]] = {}
        self.outside = 0
        """Keyframes outside the span, which no oracle sees."""
        for keyframe in graph.keyframes:
            offset = keyframe_offset(keyframe.frame_id, start, fps, timeline.frames)
            position = None if offset is None else timeline.position(timeline.first + offset)
            late = end is not None and keyframe.frame_id - 1 > round(end * fps)
            if position is None or late:
                self.outside += 1
            else:
                self._by_position.setdefault(position, []).append(keyframe)

    def at(self, index: int) -> list[Keyframe]:
        """Keyframes on the grid position of a frame of the file."""
        position = self.timeline.position(index)
        return [] if position is None else self._by_position.get(position, [])

    def during(self, frames: Frames) -> list[Keyframe]:
        """Keyframes of a clip, in order, each once."""
        positions = sorted({p for i in frames.indices if (p := self.timeline.position(i)) is not None})
        return [k for p in positions for k in self._by_position.get(p, [])]


class OracleDetector:
    """Boxes from the annotation, score 1: for each name the first box that its class has at the position."""

    reads_pixels = False

    def __init__(self, sheet: Sheet) -> None:
        self.identity = ModelIdentity(id=f"oracle/detector/{sheet.key}")
        self._sheet = sheet

    def detect(self, requests: Sequence[DetectRequest]) -> Sequence[tuple[Detection, ...] | ToolError]:
        """Give at most one box per name."""
        return [self._boxes(r) for r in requests]

    def _boxes(self, request: DetectRequest) -> tuple[Detection, ...]:
        keyframes = self._sheet.at(request.frame.index)
        found = []
        for name in request.names if keyframes else ():
            known = parse_phrase(name).obj
            wanted = None if known is None else object_id(known)
            boxes = (box for k in keyframes for o, box in k.boxes if o == wanted and box is not None)
            first = next(boxes, None)
            if first is not None:
                found.append(Detection(name=name, box=first, score=1.0))
        return tuple(found)


class OracleGrounder:
    """Moments from the annotation.

    Readings of a text are tried in turn, and the first with a keyframe in the clip wins: the action class
    of that very phrase; actions of its verb and object; its relation and object on one pair; its object
    alone, if it names neither verb nor relation.
    """

    reads_pixels = False

    def __init__(self, sheet: Sheet) -> None:
        self.identity = ModelIdentity(id=f"oracle/grounder/{sheet.key}")
        self._sheet = sheet

    def ground(self, requests: Sequence[GroundRequest]) -> Sequence[tuple[Moment, ...] | ToolError]:
        """Give one moment, or none if the text is not annotated in the clip."""
        return [self._moment(r) for r in requests]

    def _moment(self, request: GroundRequest) -> tuple[Moment, ...]:
        keyframes = [self._sheet.at(i) for i in request.frames.indices]
        found: list[tuple[str, tuple[tuple[int, int], ...]]] = []
        for rule, test in _readings(request.text):
            windows = _windows([[test(k) for k in at] for at in keyframes])
            if windows:
                found.append((rule, windows))
        if not found:
            return ()
        rule, windows = found[0]
        notes = [f"rule: {rule}"]
        notes += [
            f"ambiguous: {other} gives other frames" for other, frames in found[1:] if frames != windows
        ]
        return (Moment(windows=windows, score=1.0, notes=tuple(notes)),)


class OracleVideoModel:
    """Answers from the annotated actions and objects of a clip."""

    reads_pixels = False

    def __init__(self, sheet: Sheet) -> None:
        self.identity = ModelIdentity(id=f"oracle/video/{sheet.key}")
        self._sheet = sheet

    def answer(self, requests: Sequence[VideoRequest]) -> Sequence[VideoAnswer | ToolError]:
        """Answer each request from the clip's keyframes."""
        return [self._answer(r) for r in requests]

    def _answer(self, request: VideoRequest) -> VideoAnswer:
        keyframes = self._sheet.during(request.clip)
        if request.task == "objects":
            return VideoAnswer(texts=told_objects(request, _in_order(keyframes), _there(keyframes)))
        if request.task == "actions":
            return VideoAnswer(texts=told_actions(request, _in_order(keyframes)))
        if request.task == "is_this":
            return VideoAnswer(texts=("yes" if _shown(request.subject or "", keyframes) else "no",))
        if request.task == "choice":
            return _choice(request, keyframes)
        return VideoAnswer(texts=(), notes=(f"an oracle does not {_UNTOLD[request.task]}",))


_UNTOLD = {"summary": "summarise", "caption": "caption", "open": "answer open questions"}


def _readings(text: str) -> Iterable[tuple[str, _Test]]:
    """List the readings of a grounding text, the most literal first."""
    phrase = parse_phrase(text)
    obj = None if phrase.obj is None else object_id(phrase.obj)
    plain = " ".join(text.lower().split())
    literal = {a.id for a in ACTIONS if plain in (a.label, action_phrase(a.id))}
    if literal:
        yield "action class", lambda k: not literal.isdisjoint(k.actions)
    if phrase.actions:
        meant = set(phrase.actions)
        yield "verb and object", lambda k: not meant.isdisjoint(k.actions)
    if phrase.relation is not None and obj is not None:
        pair = (relation_id(phrase.relation), obj)
        yield "relation and object", lambda k: pair in k.relations
    if phrase.verb is None and phrase.relation is None and obj is not None:
        yield "object", lambda k: any(o == obj for o, _ in k.boxes)


def _windows(hits: Sequence[Sequence[bool]]) -> tuple[tuple[int, int], ...]:
    """Join neighbouring annotated positions that hit; positions without annotation lie between them."""
    annotated = [p for p, at in enumerate(hits) if at]
    wanted = {p for p in annotated if any(hits[p])}
    windows: list[tuple[int, int]] = []
    for before, here in pairwise([None, *annotated]):
        if here not in wanted or here is None:
            continue
        if before in wanted and windows:
            windows[-1] = (windows[-1][0], here + 1)
        else:
            windows.append((here, here + 1))
    return tuple(windows)


def _there(keyframes: Sequence[Keyframe]) -> list[str]:
    """Names of the objects of a clip, the person left out."""
    names = [OBJECTS[o] for k in keyframes for o, _ in k.boxes]
    return [n for n in names if n != "person"]


def _choice(request: VideoRequest, keyframes: Sequence[Keyframe]) -> VideoAnswer:
    """Choose the one option that an action of the clip, or an object of one, fits; else abstain."""
    fitting = fitting_options(request.options or (), _in_order(keyframes))
    if len(fitting) == 1:
        return VideoAnswer(texts=fitting, notes=("rule: one option fits the annotated actions",))
    return VideoAnswer(texts=(), notes=(f"{len(fitting)} options fit the annotated actions",))


def _in_order(keyframes: Sequence[Keyframe]) -> list[Action]:
    """Distinct actions by first appearance, list order breaking ties."""
    return [ACTIONS_BY_ID[a] for a in dict.fromkeys(a for k in keyframes for a in k.actions)]


def _shown(subject: str, keyframes: Sequence[Keyframe]) -> bool:
    name = parse_phrase(subject).obj
    return name is not None and any(o == object_id(name) for k in keyframes for o, _ in k.boxes)
