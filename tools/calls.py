"""What the program's functions do, composed from models (the host's side of `aotd.tools.api`).

Each function is index algebra around a few model requests; no pixels pass through here. Nothing found is
an empty clip, list or text: never the whole clip (AoTD's released code returns its input). `trim` is here
too, because the host computes the clips that it lets a program name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from pydantic import JsonValue

from aotd.tools.batching import Answered, Front
from aotd.tools.config import FunctionsConfig
from aotd.tools.models import (
    Choice,
    Detection,
    DetectRequest,
    Frames,
    GroundRequest,
    Moment,
    SelectRequest,
    ToolError,
    VideoAnswer,
    VideoRequest,
)
from aotd.tools.sampling import Timeline
from aotd.traces.records import Box, Clip, Sighting, Value

__all__ = ["EmptyClip", "Evidence", "Fronts", "Functions", "ToolFailed", "trim"]


Answer = TypeVar("Answer")


class EmptyClip(Exception):
    """A function that needs frames was given none."""


class ToolFailed(Exception):
    """A model could not answer a request of the call."""

    def __init__(self, error: ToolError) -> None:
        super().__init__(error.message)
        self.error = error


class Evidence(NamedTuple):
    """A call's result and what it rests on."""

    value: Value
    sightings: tuple[Sighting, ...] = ()
    notes: tuple[str, ...] = ()
    cached: bool = True
    """Every model answer was at hand."""


class Fronts(NamedTuple):
    """The models that answer a question, each behind its front."""

    detector: Front[DetectRequest, tuple[Detection, ...]]
    grounder: Front[GroundRequest, tuple[Moment, ...]]
    video_model: Front[VideoRequest, VideoAnswer]
    selector: Front[SelectRequest, Choice]


def trim(clip: Clip, start: int | None = None, end: int | None = None) -> Clip:
    """Keep the frames with `start` <= grid id < `end`; a border left out is open."""
    low = -1 if start is None else start
    high = clip.grid_ids[-1] + 1 if end is None and clip.grid_ids else end
    return _keep(clip, [i for i, g in enumerate(clip.grid_ids) if high is not None and low <= g < high])


class Functions:
    """The functions as one question's programs call them; method names and parameters are the API's.

    Parameters
    ----------
    fronts
        Models of the question.
    timeline
        Maps grid ids to frames of the video.
    settings
        Margins and switches.
    context
        Names the question and the attempt.
    """

    def __init__(self, fronts: Fronts, timeline: Timeline, settings: FunctionsConfig, context: str) -> None:
        self._context = context
        self._asked = 0
        self._models = fronts
        self._timeline = timeline
        self._settings = settings

    async def Find(self, clip: Clip, obj: str) -> Evidence:
        """Crop to the best sighting in each frame."""
        found = await self._sightings(clip, obj)
        best = _best_by_frame(found.sightings)
        return found._replace(value=self._crop(clip, best), sightings=tuple(best.values()))

    async def Filter_frames_with_act(self, clip: Clip, action: str | list[str]) -> Evidence:
        """Narrow to the best moment of each action in turn."""
        notes: list[str] = []
        cached = True
        for text in [action] if isinstance(action, str) else action:
            if not clip.grid_ids:
                break
            request = GroundRequest(frames=self._frames(clip), text=text)
            moments, at_hand = _one(await self._models.grounder.ask([request], context=self._step()))
            cached = cached and at_hand
            positions = (
                {p for start, end in moments[0].windows for p in range(start, end)} if moments else set()
            )
            clip = _keep(clip, sorted(p for p in positions if p < clip.num_frames))
            notes.extend(moments[0].notes if moments else ())
        return Evidence(clip, notes=tuple(notes), cached=cached)

    async def Filter_frames_with_obj(self, clip: Clip, obj: str) -> Evidence:
        """Keep frames with a sighting."""
        found = await self._sightings(clip, obj)
        best = _best_by_frame(found.sightings)
        kept = _keep(clip, [i for i, g in enumerate(clip.grid_ids) if g in best])
        return found._replace(value=kept, sightings=tuple(best.values()))

    async def exist(self, clip: Clip, query: str) -> Evidence:
        """Sighted, and confirmed by the video model on the crops."""
        found = await self._sightings(clip, query)
        best = _best_by_frame(found.sightings)
        evidence = found._replace(value=bool(best), sightings=tuple(best.values()))
        if not best or not self._settings.confirm_exist:
            return evidence
        crops = self._frames(self._crop(clip, best))
        answer, cached = await self._ask_video(VideoRequest(clip=crops, task="is_this", subject=query))
        said = answer.texts[0].lower() if answer.texts else "nothing"
        if said == "yes":
            return evidence._replace(cached=found.cached and cached)
        note = f"the video model says {said} to: is this {query}?"
        return evidence._replace(value=False, notes=(note,), cached=found.cached and cached)

    async def Count(self, clip: Clip, obj: str) -> Evidence:
        """Count in the frame that shows the most."""
        found = await self._sightings(clip, obj)
        per_frame: dict[int, list[Sighting]] = {}
        for sighting in found.sightings:
            per_frame.setdefault(sighting.frame, []).append(sighting)
        most = max(per_frame.values(), key=len, default=[])
        return found._replace(value=len(most), sightings=tuple(most))

    async def Query_Objs(self, clip: Clip, query: str, possible_answers: list[str] | None = None) -> Evidence:
        """Objects that fit a description."""
        return await self._query(clip, "objects", query, possible_answers)

    async def Query_Actions(
        self, clip: Clip, obj: str | None = None, possible_answers: list[str] | None = None
    ) -> Evidence:
        """The person's actions, with one object if it is given."""
        return await self._query(clip, "actions", obj, possible_answers)

    async def Video_query(
        self, clip: Clip, query: str, possible_answers: list[str] | None = None
    ) -> Evidence:
        """One answer; an abstention is an empty text."""
        task = "open" if possible_answers is None else "choice"
        request = VideoRequest(
            clip=self._frames_of(clip, "Video_query"),
            task=task,
            question=query,
            options=_options(possible_answers),
        )
        return await self._text(request)

    async def Video_summary(self, clip: Clip, query: str | None = None) -> Evidence:
        """One sentence about the clip."""
        frames = self._frames_of(clip, "Video_summary")
        return await self._text(VideoRequest(clip=frames, task="summary", question=query))

    async def Video_caption(self, clip: Clip) -> Evidence:
        """One sentence per frame."""
        frames = self._frames_of(clip, "Video_caption")
        answer, cached = await self._ask_video(VideoRequest(clip=frames, task="caption"))
        return Evidence(list(answer.texts), notes=answer.notes, cached=cached)

    async def Compare(self, a: str, b: str) -> Evidence:
        """Whether `a` alone would select `b`."""
        request = SelectRequest(task="compare", query="", info={"text": a}, options=(b,))
        choice, cached = await self._ask_selector(request)
        return Evidence(choice.text is not None, notes=choice.notes, cached=cached)

    async def select_answer(
        self, query: str, info: dict[str, JsonValue], possible_answers: list[str] | None
    ) -> Evidence:
        """The supported option's text; an abstention is an empty text."""
        request = SelectRequest(query=query, info=info, options=_options(possible_answers))
        choice, cached = await self._ask_selector(request)
        return Evidence(choice.text or "", notes=choice.notes, cached=cached)

    def _frames(self, clip: Clip) -> Frames:
        indices = tuple(self._timeline.index(g) for g in clip.grid_ids)
        return Frames(video=self._timeline.video, indices=indices, crops=clip.crops)

    def _frames_of(self, clip: Clip, function: str) -> Frames:
        if not clip.grid_ids:
            raise EmptyClip(f"{function} of an empty clip")
        return self._frames(clip)

    def _crop(self, clip: Clip, best: dict[int, Sighting]) -> Clip:
        margin = self._settings.crop_margin
        kept = [s for g in clip.grid_ids if (s := best.get(g)) is not None]
        crops = tuple(
            (max(0, s.box[0] - margin), max(0, s.box[1] - margin), s.box[2] + margin, s.box[3] + margin)
            for s in kept
        )
        return clip.model_copy(update={"grid_ids": tuple(s.frame for s in kept), "crops": crops})

    async def _sightings(self, clip: Clip, name: str) -> Evidence:
        refs = [self._timeline.ref(g) for g in clip.grid_ids]
        requests = [DetectRequest(frame=ref, names=(name,)) for ref in refs]
        answered = await self._models.detector.ask(requests, context=self._step())
        crops: Sequence[Box | None] = clip.crops or [None] * len(refs)
        sightings = [
            Sighting(frame=g, name=d.name, box=d.box, score=d.score)
            for g, crop, found in zip(clip.grid_ids, crops, answered, strict=True)
            for d in _value(found)
            if crop is None or _centre_inside(d.box, crop)
        ]
        return Evidence(None, tuple(sightings), cached=all(a.cached for a in answered))

    async def _query(self, clip: Clip, task: str, subject: str | None, options: list[str] | None) -> Evidence:
        frames = self._frames_of(clip, "Query_Objs" if task == "objects" else "Query_Actions")
        request = VideoRequest.model_validate(
            {"clip": frames, "task": task, "subject": subject, "options": _options(options)}
        )
        answer, cached = await self._ask_video(request)
        return Evidence(list(answer.texts), notes=answer.notes, cached=cached)

    async def _text(self, request: VideoRequest) -> Evidence:
        answer, cached = await self._ask_video(request)
        return Evidence(answer.texts[0] if answer.texts else "", notes=answer.notes, cached=cached)

    async def _ask_video(self, request: VideoRequest) -> tuple[VideoAnswer, bool]:
        return _one(await self._models.video_model.ask([request], context=self._step()))

    async def _ask_selector(self, request: SelectRequest) -> tuple[Choice, bool]:
        return _one(await self._models.selector.ask([request], context=self._step()))

    def _step(self) -> str:
        """Name the next request: a model that draws its answers keeps them for this step alone."""
        self._asked += 1
        return f"{self._context}/{self._asked}"


def _keep(clip: Clip, positions: Sequence[int]) -> Clip:
    crops = tuple(clip.crops[p] for p in positions) if clip.crops else ()
    return clip.model_copy(update={"grid_ids": tuple(clip.grid_ids[p] for p in positions), "crops": crops})


def _best_by_frame(sightings: Sequence[Sighting]) -> dict[int, Sighting]:
    best: dict[int, Sighting] = {}
    for sighting in sightings:
        known = best.get(sighting.frame)
        if known is None or sighting.score > known.score:
            best[sighting.frame] = sighting
    return best


def _centre_inside(box: Box, crop: Box) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return crop[0] <= x <= crop[2] and crop[1] <= y <= crop[3]


def _options(options: list[str] | None) -> tuple[str, ...] | None:
    return None if options is None else tuple(options)


def _value(answered: Answered[Answer]) -> Answer:
    if isinstance(answered.answer, ToolError):
        raise ToolFailed(answered.answer)
    return answered.answer


def _one(answered: Sequence[Answered[Answer]]) -> tuple[Answer, bool]:
    return _value(answered[0]), answered[0].cached
