"""UniVTG as a grounder: the windows of a clip in which a text happens.

Joins CLIP's features and the network, and turns the network's spans into half-open windows over the
positions of a request's frames. Positions are taken as evenly spaced, whatever frames they are: UniVTG knows
no other time. Differs from AoTD's released code where that loses something, and can be set to do as it does
(`offset`, `quantise_seconds`, `antialias`). Suppresses no overlaps between windows, only equal ones.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from aotd.tools.clip_features import ClipFeatures, ClipWeights, TokenRows, load_clip
from aotd.tools.frames import FrameStore
from aotd.tools.loading import UnusableCheckpoint, torch_device
from aotd.tools.models import Frames, GroundRequest, ModelIdentity, Moment, ToolError
from aotd.tools.univtg import UniVtgModel, load_univtg, unit_rows, with_ends
from aotd.tools.video import VideoError

__all__ = ["Offset", "UniVtg", "frame_borders", "frame_spacing", "frame_window"]

Offset = Literal["trained", "aotd"]

Answer = tuple[Moment, ...] | ToolError

_OUTSIDE: Final = "the window that UniVTG gave lies outside the clip: its nearest frame is told"


class _Loaded(NamedTuple):
    net: UniVtgModel
    features: ClipFeatures


class _Input(NamedTuple):
    """A request that can be answered."""

    request: GroundRequest
    video: Tensor
    """[frames, CLIP's width]."""
    text: TokenRows


class UniVtg:
    """UniVTG on CLIP features (Lin et al., ICCV 2023); for use by one thread.

    Weights are loaded at the first request. The network computes in float32 whatever the `dtype`, since it
    is small and its scores lie close together.

    Parameters
    ----------
    weights
        Checkpoint file; an `UnusableCheckpoint` is raised at the first request if it does not load.
    clip
        CLIP ViT-B/32.
    frames
        Decoded frames.
    device, dtype
        Where it runs, such as `cuda:0`; and CLIP's numbers, such as `bfloat16`.
    offset
        Where a frame's centre lies: `trained` is one frame on, as UniVTG was trained; `aotd` is as many
        frames on as there are seconds between two frames, as AoTD's released code has it.
    quantise_seconds
        Cut borders to whole seconds and take the nearest frames, as AoTD's released code does.
    antialias
        Shrink frames smoothly; AoTD's pinned libraries did not.
    threshold
        Least score of a window; with None the best one is always given.
    top_k
        Windows that are given at most, all different.
    feature_mb
        Bound of the features kept, in MB.
    """

    reads_pixels = True

    def __init__(
        self,
        weights: Path,
        clip: ClipWeights,
        frames: FrameStore,
        *,
        device: str,
        dtype: str = "float32",
        offset: Offset = "trained",
        quantise_seconds: bool = False,
        antialias: bool = True,
        threshold: float | None = None,
        top_k: int = 1,
        feature_mb: int = 256,
    ) -> None:
        self.identity = ModelIdentity(
            id=f"{'random/' if _made_up(weights) else ''}univtg/{weights.stem}",
            revision=f"file-{_digest(weights)}",
            dtype=dtype,
            settings={
                "clip": clip.checkpoint.id,
                "clip_revision": clip.checkpoint.revision,
                "clip_kind": clip.kind,
                "offset": offset,
                "quantise_seconds": quantise_seconds,
                "antialias": antialias,
                "threshold": threshold,
                "top_k": top_k,
            },
        )
        self._weights = weights
        self._clip = clip
        self._frames = frames
        self._device = device
        self._dtype = dtype
        self._offset = offset
        self._quantise = quantise_seconds
        self._antialias = antialias
        self._threshold = threshold
        self._top_k = top_k
        self._feature_mb = feature_mb
        self._loaded: _Loaded | None = None

    def ground(self, requests: Sequence[GroundRequest]) -> Sequence[Answer]:
        """Give the windows of each request, best first; none for a clip without frames.

        A blank text is a `bad-request`, a video that cannot be read an error of its own requests.
        """
        answers: dict[int, Answer] = {}
        asked: dict[int, GroundRequest] = {}
        for place, request in enumerate(requests):
            if not request.text.strip():
                answers[place] = ToolError(kind="bad-request", message="the text of what to find is blank")
            elif not request.frames.indices:
                answers[place] = ()
            else:
                asked[place] = request
        inputs = self._inputs(asked, answers) if asked else {}
        for places in _by_length(inputs):
            found = self._look([inputs[place] for place in places])
            answers.update(zip(places, found, strict=True))
        return [answers[place] for place in range(len(requests))]

    def _load(self) -> _Loaded:
        if self._loaded is None:
            place = torch_device(self._device)
            net = load_univtg(self._weights).to(place)
            features = ClipFeatures(
                load_clip(self._clip, self._dtype, self._device),
                self._frames,
                antialias=self._antialias,
                max_bytes=self._feature_mb << 20,
            )
            self._loaded = _Loaded(net, features)
        return self._loaded

    def _inputs(self, asked: Mapping[int, GroundRequest], answers: dict[int, Answer]) -> dict[int, _Input]:
        """Compute features; what fails on the way goes to the answers."""
        net, features = self._load()
        videos = features.of_frames([request.frames for request in asked.values()])
        texts = features.of_texts([request.text for request in asked.values()])
        inputs = {}
        for (place, request), video, text in zip(asked.items(), videos, texts, strict=True):
            if isinstance(video, VideoError):
                answers[place] = ToolError(kind=str(video.outcome.value), message=video.message)
                continue
            given = (video.shape[1] + 2, text.rows.shape[1])
            if given != (net.video_width, net.text_width):
                raise UnusableCheckpoint(
                    f"{self._weights} takes video and text features {net.video_width} and {net.text_width} "
                    f"wide, and {self._clip.checkpoint.id} gives {given[0]} and {given[1]}: use the "
                    "checkpoint for CLIP ViT-B/32 features alone, and that CLIP"
                )
            inputs[place] = _Input(request, video, text)
        return inputs

    @torch.inference_mode()
    def _look(self, inputs: Sequence[_Input]) -> list[Answer]:
        """Run the network on clips of one length: padded frames would be seen by the convolutions."""
        net, _ = self._load()
        device = net.token_type_embeddings.weight.device
        words = [unit_rows(entry.text.rows) for entry in inputs]
        seen = net(
            torch.stack([with_ends(entry.video) for entry in inputs]).to(device),
            pad_sequence(words, batch_first=True).to(device),
            text_mask=pad_sequence([row.new_ones(len(row)) for row in words], batch_first=True).to(device),
        )
        scores, spans = seen.scores.cpu(), seen.spans.cpu()
        return [self._moments(*each) for each in zip(inputs, scores, spans, strict=True)]

    def _moments(self, entry: _Input, scores: Tensor, spans: Tensor) -> Answer:
        """Turn spans [L, 2] into windows, the best first."""
        if not (scores.isfinite().all() and spans.isfinite().all()):
            return ToolError(kind="not-finite", message="UniVTG's numbers are not finite: set dtype=float32")
        frames = entry.request.frames
        seconds = self._seconds(frames)
        if isinstance(seconds, ToolError):
            return seconds
        notes = _notes(frames, entry.text)
        borders = frame_borders(spans, seconds if self._offset == "aotd" else 1.0).tolist()
        found: dict[tuple[int, int], Moment] = {}
        for place in scores.argsort(descending=True, stable=True).tolist():
            score = float(scores[place])
            if len(found) == self._top_k or (self._threshold is not None and score < self._threshold):
                break
            start, end = borders[place]
            window = frame_window(start, end, len(scores), seconds if self._quantise else None)
            if window not in found:
                away = (_OUTSIDE,) if end <= 0 or start >= len(scores) else ()
                found[window] = Moment(windows=(window,), score=round(score, 6), notes=notes + away)
        return tuple(found.values())

    def _seconds(self, frames: Frames) -> float | ToolError:
        """Tell the seconds between two frames, where they matter."""
        if self._offset == "trained" and not self._quantise:
            return 1.0
        fps = self._frames.fps(frames.video)
        if fps is None:
            return ToolError(
                kind="no-fps",
                message="the video's file states no frame rate: set offset=trained, quantise_seconds=false",
            )
        return frame_spacing(frames.indices) / fps


def frame_borders(spans: Tensor, offset: float) -> Tensor:
    """Place spans on the frames: frame i covers i..i+1, and its span starts from i + `offset`.

    Parameters
    ----------
    spans
        [L, 2]: signed ways to start and end, in units of all L frames.
    offset
        In frames.

    Returns
    -------
    Tensor
        [L, 2]: borders in frames, which may lie outside 0..L.
    """
    length = len(spans)
    centres = (torch.arange(length, dtype=spans.dtype, device=spans.device) + offset) / length
    return (spans + centres[:, None]) * length


def frame_window(start: float, end: float, length: int, seconds: float | None = None) -> tuple[int, int]:
    """Take the frames that a window touches, at least one.

    Parameters
    ----------
    start, end
        Borders in frames, finite.
    length
        Frames of the clip; the window is cut to them. One that lies outside becomes the nearest frame.
    seconds
        Between two frames: borders are cut to whole seconds first and the nearest frames taken, as AoTD's
        released code does. With None they are not.

    Returns
    -------
    tuple of int
        Half-open, 0 <= first < second <= length.
    """
    if seconds is None:
        first, last = math.floor(start), math.ceil(end)
    else:
        rate = 1 / seconds
        first, last = (round(max(0, int(border * seconds)) * rate) for border in (start, end))
    first = min(max(first, 0), length - 1)
    return first, min(max(last, first + 1), length)


def frame_spacing(indices: Sequence[int]) -> float:
    """Tell how many frames of the file lie between two of a clip's, as the clip was sampled.

    Steps of an even sampling differ by one at most, so longer ones are gaps that a filter left, and do not
    count. Frames that are all the same share one frame's time.
    """
    steps = [after - before for before, after in pairwise(sorted(indices))]
    even = [step for step in steps if step <= min(steps) + 1]
    return sum(even) / len(even) if any(even) else 1 / len(indices)


def _notes(frames: Frames, text: TokenRows) -> tuple[str, ...]:
    steps = [after - before for before, after in pairwise(frames.indices)]
    notes = []
    if steps and max(steps) > min(steps) + 1:
        notes.append(f"the {len(frames.indices)} frames are unevenly spaced and were read as if evenly")
    if text.tokens > len(text.rows):
        notes.append(f"the text has {text.tokens} tokens and UniVTG reads {len(text.rows)}: its end is cut")
    return tuple(notes)


def _by_length(inputs: Mapping[int, _Input]) -> Iterable[list[int]]:
    groups: dict[int, list[int]] = {}
    for place, entry in inputs.items():
        groups.setdefault(len(entry.video), []).append(place)
    return groups.values()


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()[:16]


def _made_up(file: Path) -> bool:
    """Tell whether a checkpoint says of itself that its weights are random."""
    if file.suffix != ".safetensors":
        return False
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt") as opened:
            return "random" in (opened.metadata() or {})
    except SafetensorError:  # loading it will say what is wrong
        return False
