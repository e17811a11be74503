"""Compose the tools of a question: each model behind its front, oracles made anew from the annotation.

Models that serve every question are made once (`aotd.tools.make`); oracles are made for each question, from
its annotation.
"""

from __future__ import annotations

from typing import NamedTuple

from pydantic import TypeAdapter

from aotd.tools.batching import Backbone, Front
from aotd.tools.calls import Fronts, Functions
from aotd.tools.config import ToolsConfig
from aotd.tools.models import (
    Choice,
    Detection,
    Detector,
    DetectRequest,
    Grounder,
    GroundRequest,
    Moment,
    Selector,
    ToolError,
    VideoAnswer,
    VideoModel,
    VideoRequest,
)
from aotd.tools.oracle import OracleDetector, OracleGrounder, OracleVideoModel, Sheet
from aotd.tools.sampling import Timeline

__all__ = ["IncompatibleModels", "Models", "Places", "Toolbox"]

_DETECTIONS: TypeAdapter[tuple[Detection, ...] | ToolError] = TypeAdapter(tuple[Detection, ...] | ToolError)
_MOMENTS: TypeAdapter[tuple[Moment, ...] | ToolError] = TypeAdapter(tuple[Moment, ...] | ToolError)
_ANSWER: TypeAdapter[VideoAnswer | ToolError] = TypeAdapter(VideoAnswer | ToolError)
_CHOICE: TypeAdapter[Choice | ToolError] = TypeAdapter(Choice | ToolError)


class Models(NamedTuple):
    """Models that serve every question; None where an oracle is made for each."""

    detector: Detector | None
    grounder: Grounder | None
    video_model: VideoModel | None
    selector: Selector


class Places(NamedTuple):
    """Where each model runs: its device, its batch size, and what all share."""

    oracles: Backbone
    detector: Backbone
    grounder: Backbone
    video_model: Backbone
    selector: Backbone

    @classmethod
    def all_at(cls, backbone: Backbone) -> Places:
        """Put everything in one place."""
        return cls(backbone, backbone, backbone, backbone, backbone)


class IncompatibleModels(ValueError):
    """Settings that cannot be true together; names both sides."""


class Toolbox:
    """The tools of a run.

    Parameters
    ----------
    config
        Settings of the tools.
    models
        The models; an oracle is made for each question where there is None.
    places
        Where they run.

    Raises
    ------
    IncompatibleModels
        If an oracle would see the future beside a model that reads pixels, which end with the question.
    """

    def __init__(self, config: ToolsConfig, models: Models, places: Places) -> None:
        self._config = config
        self._models = models
        self._oracles = places.oracles
        for model in filter(None, models):
            if self.reads_graphs and config.oracle.future and model.reads_pixels:
                raise IncompatibleModels(
                    f"oracle.future=true beside {model.identity.id}, which reads pixels: an oracle that sees "
                    "past the question's end needs times, not a video; set oracle.future=false"
                )
        detector, grounder, video_model = models.detector, models.grounder, models.video_model
        self._detector = Front(detector, detector.detect, _DETECTIONS, places.detector) if detector else None
        self._grounder = Front(grounder, grounder.ground, _MOMENTS, places.grounder) if grounder else None
        self._video_model = (
            Front(video_model, video_model.answer, _ANSWER, places.video_model) if video_model else None
        )
        self._selector = Front(models.selector, models.selector.select, _CHOICE, places.selector)

    @property
    def reads_graphs(self) -> bool:
        """Whether an oracle is among the models."""
        return None in self._models

    def identities(self) -> dict[str, str]:
        """Model ids by role; an oracle's also names its question, which is left out here."""
        return {
            role: "oracle" if model is None else model.identity.id
            for role, model in self._models._asdict().items()
        }

    def prompts(self) -> dict[str, str]:
        """SHA-256 of the models' prompts, by role and name."""
        made = {role: model for role, model in self._models._asdict().items() if model is not None}
        return {
            f"{role}/{name}": sha
            for role, model in made.items()
            for name, sha in model.identity.prompts.items()
        }

    def troubles(self) -> list[str]:
        """Tell what went not smoothly: requests asked again and batches that did not fit, by model."""
        fronts = (self._detector, self._grounder, self._video_model, self._selector)
        counts = [front.counts for front in fronts if front is not None]
        return [
            f"model {c.model}: {c.retries} requests asked again, {c.halvings} batches halved for memory "
            f"(now {c.batch_items} at once)"
            for c in counts
            if c.retries or c.halvings
        ]

    def functions(self, timeline: Timeline, sheet: Sheet | None, context: str) -> Functions:
        """Make the program functions of one question.

        Parameters
        ----------
        timeline
            Frames of the question's span.
        sheet
            What oracles read; needed when `reads_graphs`.
        context
            Names the question and the attempt, for models that draw their answers.
        """
        return Functions(self.fronts(sheet), timeline, self._config.functions, context)

    def fronts(self, sheet: Sheet | None) -> Fronts:
        """Give the models that answer one question, or one part of its annotation."""
        return Fronts(
            detector=self._detector or self._oracle_detector(sheet),
            grounder=self._grounder or self._oracle_grounder(sheet),
            video_model=self._video_model or self._oracle_video_model(sheet),
            selector=self._selector,
        )

    def _oracle_detector(self, sheet: Sheet | None) -> Front[DetectRequest, tuple[Detection, ...]]:
        oracle = OracleDetector(_needed(sheet))
        return Front(oracle, oracle.detect, _DETECTIONS, self._oracles)

    def _oracle_grounder(self, sheet: Sheet | None) -> Front[GroundRequest, tuple[Moment, ...]]:
        oracle = OracleGrounder(_needed(sheet))
        return Front(oracle, oracle.ground, _MOMENTS, self._oracles)

    def _oracle_video_model(self, sheet: Sheet | None) -> Front[VideoRequest, VideoAnswer]:
        oracle = OracleVideoModel(_needed(sheet))
        return Front(oracle, oracle.answer, _ANSWER, self._oracles)


def _needed(sheet: Sheet | None) -> Sheet:
    if sheet is None:
        raise ValueError("an oracle needs the question's situation graph")
    return sheet
