"""Compose the tools from their settings, by hand: the only file that names concrete models.

Models that serve every question are made once; oracles are made for each question, from its annotation.
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

__all__ = ["IncompatibleModels", "Models", "Toolbox"]

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


class IncompatibleModels(ValueError):
    """Settings that cannot be true together; names both sides."""


class Toolbox:
    """The tools of a run.

    Parameters
    ----------
    config
        Settings of the tools.
    backbone
        Cache, device and journal that all models share.
    models
        The models; an oracle is made for each question where there is None.
    selects_on
        Where the selector runs, if it asks a server.

    Raises
    ------
    IncompatibleModels
        If an oracle would see the future beside a model that reads pixels, which end with the question.
    """

    def __init__(
        self, config: ToolsConfig, backbone: Backbone, models: Models, selects_on: Backbone | None = None
    ) -> None:
        self._config = config
        self._backbone = backbone
        self._models = models
        for model in filter(None, models):
            if self.reads_graphs and config.oracle.future and model.reads_pixels:
                raise IncompatibleModels(
                    f"oracle.future=true beside {model.identity.id}, which reads pixels: an oracle that sees "
                    "past the question's end needs times, not a video; set oracle.future=false"
                )
        detector, grounder, video_model = models.detector, models.grounder, models.video_model
        self._detector = Front(detector, detector.detect, _DETECTIONS, backbone) if detector else None
        self._grounder = Front(grounder, grounder.ground, _MOMENTS, backbone) if grounder else None
        self._video_model = Front(video_model, video_model.answer, _ANSWER, backbone) if video_model else None
        self._selector = Front(models.selector, models.selector.select, _CHOICE, selects_on or backbone)

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
        fronts = Fronts(
            detector=self._detector or self._oracle_detector(sheet),
            grounder=self._grounder or self._oracle_grounder(sheet),
            video_model=self._video_model or self._oracle_video_model(sheet),
            selector=self._selector,
        )
        return Functions(fronts, timeline, self._config.functions, context)

    def _oracle_detector(self, sheet: Sheet | None) -> Front[DetectRequest, tuple[Detection, ...]]:
        oracle = OracleDetector(_needed(sheet))
        return Front(oracle, oracle.detect, _DETECTIONS, self._backbone)

    def _oracle_grounder(self, sheet: Sheet | None) -> Front[GroundRequest, tuple[Moment, ...]]:
        oracle = OracleGrounder(_needed(sheet))
        return Front(oracle, oracle.ground, _MOMENTS, self._backbone)

    def _oracle_video_model(self, sheet: Sheet | None) -> Front[VideoRequest, VideoAnswer]:
        oracle = OracleVideoModel(_needed(sheet))
        return Front(oracle, oracle.answer, _ANSWER, self._backbone)


def _needed(sheet: Sheet | None) -> Sheet:
    if sheet is None:
        raise ValueError("an oracle needs the question's situation graph")
    return sheet
