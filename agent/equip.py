"""Equip a run: make the models that its settings name, and put each on its device.

Models on one device take turns, models on different devices run at the same time; a server is a device of its
own. Nothing is loaded here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from aotd.agent.config import RunConfig
from aotd.agent.text_models import TextModels
from aotd.prompts.loader import Templates
from aotd.tools.batching import Backbone
from aotd.tools.build import Models, Places, Toolbox
from aotd.tools.config_vision import OracleKind, VideoServerConfig
from aotd.tools.device import Devices
from aotd.tools.frames import FrameStore
from aotd.tools.make import make_detector, make_embedder, make_grounder, make_video_model
from aotd.tools.models import Selector
from aotd.tools.selector import RuleSelector
from aotd.tools.vllm_engine import VllmEngines

__all__ = ["Means", "equip"]


class Means(NamedTuple):
    """What models are made with; all of it lives as long as the run."""

    config: RunConfig
    backbone: Backbone
    """Of oracles and rules, which need no device."""
    devices: Devices
    engines: VllmEngines
    texts: TextModels
    templates: Templates
    frames: FrameStore | None

    def on(self, device: str | None, items: int | None = None) -> Backbone:
        """Place a model on a device, or on the run's own."""
        most = self.backbone.batch_items
        place = self.devices.of(device or self.config.device)
        return replace(self.backbone, device=place, batch_items=min(items or most, most))


def equip(means: Means) -> Toolbox:
    """Make the tools of a run.

    Raises
    ------
    ValueError
        If a checkpoint, a device or the videos that a model needs are not there.
    ModuleNotFoundError
        With the command that installs what is missing.
    """
    config, frames = means.config, means.frames
    selector, selector_place = _selector(means)
    models = Models(
        detector=make_detector(config, frames),
        grounder=make_grounder(config, frames),
        video_model=make_video_model(config, frames, means.texts.connect, means.engines),
        selector=selector,
    )
    detector, grounder = config.detector, config.grounder
    places = Places(
        oracles=means.backbone,
        detector=means.backbone if isinstance(detector, OracleKind) else means.on(detector.device),
        grounder=means.backbone if isinstance(grounder, OracleKind) else means.on(grounder.device),
        video_model=_video_place(means),
        selector=selector_place,
    )
    return Toolbox(config, models, places)


def _video_place(means: Means) -> Backbone:
    settings = means.config.video_model
    if isinstance(settings, OracleKind):
        return means.backbone
    if isinstance(settings, VideoServerConfig):
        return means.texts.place_of(settings.asked)
    return means.on(settings.device, settings.clips_at_once)


def _selector(means: Means) -> tuple[Selector, Backbone]:
    config = means.config
    if config.selector.kind == "llm":
        from aotd.tools.llm_selector import LlmSelector

        texts = means.texts
        selector = LlmSelector(texts.model("selector"), texts.comparer(), means.templates)
        return selector, texts.backbone("selector")
    embedder = make_embedder(config)
    if embedder is None or config.embedder is None:
        return RuleSelector(), means.backbone
    by_meaning = RuleSelector(
        embedder, least_cosine=config.embedder.least_cosine, margin=config.embedder.margin
    )
    return by_meaning, means.on(config.embedder.device, config.embedder.texts_at_once)
