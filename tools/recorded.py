"""Models that answer from a run's journal: nothing is loaded, no video and no annotation is read.

A request is looked up as it was asked, by the model's id and its content. One that the journal lacks, or for
which it holds several answers (a model that draws them), is answered by a `ToolError` of kind `not-recorded`:
nothing is guessed. Oracles are made for one question each, and so are these. This file writes nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

from pydantic import JsonValue, TypeAdapter

from aotd.tools.build import Models
from aotd.tools.models import (
    Choice,
    Detection,
    DetectRequest,
    GroundRequest,
    ModelIdentity,
    Moment,
    Selector,
    SelectRequest,
    ToolError,
    VideoAnswer,
    VideoRequest,
)
from aotd.traces.records import Record
from aotd.traces.runs import ModelCall

__all__ = ["NOT_RECORDED", "Journalled", "recorded_models"]

NOT_RECORDED: Final = "not-recorded"
"""Kind of the error that stands for an answer which the journal does not give."""

Answer = TypeVar("Answer")

_ORACLE: Final = re.compile(
    r"(oracle/(?:detector|grounder|video)/.+)/[0-9a-f]{16}/(?:future|past)", re.DOTALL
)
"""An oracle's id; the first group names its part and its question, the rest its annotation."""

_PARTS: Final = {"detector": "detector", "grounder": "grounder", "video_model": "video"}


class _Kept(NamedTuple):
    key: str
    """Of the last row with this request."""
    answer: bytes
    """As JSON."""
    drawn: bool
    """Rows of other keys answer the same request otherwise."""


class Journalled:
    """The answers of a journal by model and request; an answer takes the place of earlier ones of its key.

    Parameters
    ----------
    calls
        The rows of the journal, in order.
    """

    def __init__(self, calls: Iterable[ModelCall]) -> None:
        self._kept: dict[bytes, _Kept] = {}
        for call in calls:
            self._add(call)

    def __len__(self) -> int:
        """Count the requests that are answered."""
        return len(self._kept)

    def find(self, model: str, request: Record) -> bytes | ToolError:
        """Give the JSON of an answer or of a recorded error, or the error `not-recorded`."""
        kept = self._kept.get(_place(model, request.model_dump(mode="json")))
        if kept is None:
            told = _told(request)
            return ToolError(kind=NOT_RECORDED, message=f"the journal has no answer of {model} to {told}")
        if kept.drawn:
            return ToolError(
                kind=NOT_RECORDED,
                message=f"the journal has several answers of {model} to {_told(request)}, which draws them",
            )
        return kept.answer

    def _add(self, call: ModelCall) -> None:
        oracle = _ORACLE.fullmatch(call.model)
        place = _place(oracle[1] if oracle else call.model, call.request)
        answer = json.dumps(call.answer if call.error is None else call.error).encode()
        known = self._kept.get(place)
        if known is not None and known.key == call.key and call.error is not None:
            return  # an answer outlives the errors of later tries
        drawn = known is not None and (known.drawn or (known.key != call.key and known.answer != answer))
        self._kept[place] = _Kept(call.key, answer, drawn)


def recorded_models(
    journal: Journalled, models: Mapping[str, str], question_id: str, rule: Selector | None = None
) -> Models:
    """Make the models of one question.

    Parameters
    ----------
    journal
        The run's answers.
    models
        Model ids by role, as the provenance of an example has them.
    question_id
        Whose oracles answered, where the models were oracles.
    rule
        Chooses where the journal has no choice.
    """
    ids = {
        role: f"oracle/{_PARTS[role]}/{question_id}" if name == "oracle" and role in _PARTS else name
        for role, name in models.items()
    }
    detector, grounder, video, selector = (_Recorded(journal, ids[role]) for role in Models._fields)
    return Models(detector, grounder, video, selector if rule is None else _RecordedOrRule(selector, rule))


_DETECTIONS: Final[TypeAdapter[tuple[Detection, ...] | ToolError]] = TypeAdapter(
    tuple[Detection, ...] | ToolError
)
_MOMENTS: Final[TypeAdapter[tuple[Moment, ...] | ToolError]] = TypeAdapter(tuple[Moment, ...] | ToolError)
_ANSWER: Final[TypeAdapter[VideoAnswer | ToolError]] = TypeAdapter(VideoAnswer | ToolError)
_CHOICE: Final[TypeAdapter[Choice | ToolError]] = TypeAdapter(Choice | ToolError)


class _Recorded:
    """What a journal tells of one model: it stands for a detector, grounder, video model or selector."""

    reads_pixels = False

    def __init__(self, journal: Journalled, model: str) -> None:
        self.identity = ModelIdentity(id=model)
        self._journal = journal

    def detect(self, requests: Sequence[DetectRequest]) -> Sequence[tuple[Detection, ...] | ToolError]:
        """Give recorded boxes."""
        return [self._find(request, _DETECTIONS) for request in requests]

    def ground(self, requests: Sequence[GroundRequest]) -> Sequence[tuple[Moment, ...] | ToolError]:
        """Give recorded moments."""
        return [self._find(request, _MOMENTS) for request in requests]

    def answer(self, requests: Sequence[VideoRequest]) -> Sequence[VideoAnswer | ToolError]:
        """Give recorded answers."""
        return [self._find(request, _ANSWER) for request in requests]

    def select(self, requests: Sequence[SelectRequest]) -> Sequence[Choice | ToolError]:
        """Give recorded choices."""
        return [self._find(request, _CHOICE) for request in requests]

    def _find(self, request: Record, answers: TypeAdapter[Answer | ToolError]) -> Answer | ToolError:
        found = self._journal.find(self.identity.id, request)
        return found if isinstance(found, ToolError) else answers.validate_json(found)


class _RecordedOrRule:
    """Choices of the journal, and of a rule where it has none: a rule needs no model."""

    reads_pixels = False

    def __init__(self, recorded: _Recorded, rule: Selector) -> None:
        self.identity = recorded.identity
        self._recorded = recorded
        self._rule = rule

    def select(self, requests: Sequence[SelectRequest]) -> Sequence[Choice | ToolError]:
        """Choose for each request."""
        found = self._recorded.select(requests)
        return [
            self._rule.select([request])[0]
            if isinstance(choice, ToolError) and choice.kind == NOT_RECORDED
            else choice
            for request, choice in zip(requests, found, strict=True)
        ]


def _place(model: str, request: Mapping[str, JsonValue]) -> bytes:
    """Name a request of a model: equal requests have equal names."""
    return hashlib.sha256(f"{model}\n{json.dumps(request, sort_keys=True)}".encode()).digest()


def _told(request: Record) -> str:
    """Tell a request in a few words."""
    match request:
        case DetectRequest(frame=frame, names=names):
            return f"where {', '.join(names)} is in frame {frame.index}"
        case GroundRequest(frames=frames, text=text):
            return f'when "{text}" happens in {len(frames.indices)} frames'
        case VideoRequest(clip=clip, task=task, subject=subject, question=question):
            about = f' ("{subject or question}")' if subject or question else ""
            return f"{task}{about} about {len(clip.indices)} frames"
        case _:
            return "which option its information supports"
