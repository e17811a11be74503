"""A small video model that answers from events: tracks of a detector, a network that names deeds, rules.

Its answers are STAR's words for the classes and actions that it was trained on; it reads no language beyond
them. Frames are taken at their times in the file, in order and each once, so they may repeat and lie anyhow.
Weights are loaded at the first request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Final

import torch
from torch import Tensor

from aotd.tools.checkpoints import Checkpoint
from aotd.tools.event_answers import Sight, answer_from
from aotd.tools.event_model import EventModel, load_event_model, read_event_shape
from aotd.tools.event_spans import find_events, smoothed
from aotd.tools.frames import FrameStore
from aotd.tools.loading import UnusableCheckpoint
from aotd.tools.models import Frames, ModelIdentity, ToolError, VideoAnswer, VideoRequest
from aotd.tools.tracks import Tracker, Tracks
from aotd.traces.records import Box

__all__ = ["EventVideo"]

_NEEDED: Final = {"choice": "question", "open": "question", "objects": "subject", "is_this": "subject"}


class EventVideo:
    """Questions about a clip, answered from its events; for use by one thread.

    Parameters
    ----------
    checkpoint
        The event model.
    detector
        The OWLv2 on whose tracks it was trained.
    frames
        Where the pixels come from.
    device, dtype
        Where both run, and the numbers of the detector; the event model computes in float32.
    threshold
        Least probability of an event that is told.
    option_threshold
        Least probability of an event that answers where options are given and none is surer.
    presence
        Least score, averaged over the clip's frames, of an object that is in view.
    frames_at_once
        Frames in one pass of the detector.
    feature_mb
        Bound of the tracks kept, in MB; a frame takes about 19 kB.

    Raises
    ------
    UnusableCheckpoint
        If a folder holds something else; at the first request, if weights are missing or the two do not go
        together.
    """

    reads_pixels = True

    def __init__(
        self,
        checkpoint: Checkpoint,
        detector: Checkpoint,
        frames: FrameStore,
        *,
        device: str,
        dtype: str = "float32",
        threshold: float = 0.3,
        option_threshold: float = 0.02,
        presence: float = 0.25,
        frames_at_once: int = 8,
        feature_mb: int = 64,
    ) -> None:
        self.identity = ModelIdentity(
            id=f"tracks/{checkpoint.id}",
            revision=checkpoint.revision,
            dtype=dtype,
            settings={
                "detector": detector.id,
                "detector_revision": detector.revision,
                "threshold": threshold,
                "option_threshold": option_threshold,
                "presence": presence,
            },
        )
        self._checkpoint = checkpoint
        self._detector = detector
        self._device = device
        self._frames = frames
        self._sure, self._least, self._view = threshold, option_threshold, presence
        shape = read_event_shape(checkpoint)
        self._tracker = Tracker(
            detector,
            frames,
            shape.names,
            device=device,
            dtype=dtype,
            frames_at_once=frames_at_once,
            max_bytes=feature_mb << 20,
        )

    def answer(self, requests: Sequence[VideoRequest]) -> Sequence[VideoAnswer | ToolError]:
        """Answer each request; a clip that several ask about is looked at once."""
        bad = [_bad(request) for request in requests]
        clips = list(dict.fromkeys(r.clip for r, error in zip(requests, bad, strict=True) if error is None))
        seen = dict(zip(clips, self._look(clips), strict=True)) if clips else {}
        told: list[VideoAnswer | ToolError] = []
        for request, error in zip(requests, bad, strict=True):
            sight = error or seen[request.clip]
            told.append(sight if isinstance(sight, ToolError) else answer_from(request, sight))
        return told

    def _look(self, clips: Sequence[Frames]) -> list[Sight | ToolError]:
        """See the events of clips; those of as many frames go through the network together."""
        ordered = [_ordered(clip) for clip in clips]
        tracks = self._tracker.follow(ordered)
        seconds: dict[int, Tensor] = {}
        seen: dict[int, Sight | ToolError] = {}
        for place, (clip, track) in enumerate(zip(ordered, tracks, strict=True)):
            fps = self._frames.fps(clip.video)
            if isinstance(track, ToolError):
                seen[place] = track
            elif not fps:
                seen[place] = ToolError(
                    kind="no-fps",
                    message="the video's file states no frame rate, without which events have no length",
                )
            else:
                seconds[place] = torch.tensor(clip.indices) / fps
        by_length: dict[int, list[int]] = {}
        for place, times in seconds.items():
            by_length.setdefault(len(times), []).append(place)
        for places in by_length.values():
            some = {place: t for place in places if not isinstance(t := tracks[place], ToolError)}
            acts = self._acts(list(some.values()), [seconds[place] for place in places])
            for place, of_clip in zip(places, acts, strict=True):
                seen[place] = self._sight(clips[place], ordered[place], some[place], of_clip, seconds[place])
        return [seen[place] for place in range(len(clips))]

    @torch.inference_mode()
    def _acts(self, tracks: Sequence[Tracks], seconds: Sequence[Tensor]) -> Tensor:
        """Give probabilities [clips, T, 1 + actions]."""
        device = self._model.of_class.device
        parts = (torch.stack(part).to(device) for part in zip(*tracks, strict=True))
        times = torch.stack([rising - rising[0] for rising in seconds])
        logits: Tensor = self._model(Tracks(*parts), times.to(device))
        return logits.softmax(-1).cpu()

    def _sight(
        self, asked: Frames, ordered: Frames, tracks: Tracks, acts: Tensor, seconds: Tensor
    ) -> Sight | ToolError:
        if not (acts.isfinite().all() and tracks.scores.isfinite().all()):
            return ToolError(kind="not-finite", message="scores are not finite numbers: set dtype=float32")
        shape = self._model.shape
        places = _places(ordered)
        return Sight(
            names=shape.names,
            actions=shape.actions,
            seen=tracks.scores.sigmoid(),
            acts=smoothed(acts, seconds)[:, 1:],
            events=find_events(acts, seconds, shape.actions, threshold=min(self._least, self._sure)),
            frames=tuple(places[frame] for frame in _pairs(asked)),
            sure=self._sure,
            least=self._least,
            view=self._view,
        )

    @cached_property
    def _model(self) -> EventModel:
        model = load_event_model(self._checkpoint, self._device)
        width = self._tracker.eye.width
        if width != model.shape.features:
            raise UnusableCheckpoint(
                f"checkpoint {self._checkpoint.id} takes features {model.shape.features} wide, and detector "
                f"{self._detector.id} gives {width}: set video_model.detector to the one it was trained with"
            )
        return model


def _bad(request: VideoRequest) -> ToolError | None:
    """Say what a request lacks."""
    needed = _NEEDED.get(request.task)
    if needed is not None and getattr(request, needed) is None:
        return ToolError(kind="bad-request", message=f"the task {request.task} needs a {needed}")
    if request.task == "choice" and request.options is None:
        return ToolError(kind="bad-request", message="the task choice needs options")
    if not request.clip.indices:
        return ToolError(kind="bad-request", message="the clip has no frames")
    return None


def _pairs(clip: Frames) -> list[tuple[int, Box | None]]:
    """List the frames of a clip, each with its crop."""
    crops: Sequence[Box | None] = clip.crops or [None] * len(clip.indices)
    return list(zip(clip.indices, crops, strict=True))


def _places(ordered: Frames) -> Mapping[tuple[int, Box | None], int]:
    return {frame: place for place, frame in enumerate(_pairs(ordered))}


def _ordered(clip: Frames) -> Frames:
    """Put frames in order, each once."""
    frames = sorted(dict.fromkeys(_pairs(clip)), key=lambda frame: (frame[0], frame[1] or ()))
    crops = tuple(crop for _, crop in frames if crop is not None)
    return Frames(video=clip.video, indices=tuple(index for index, _ in frames), crops=crops)
