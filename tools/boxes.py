"""What the detectors share: what to look for in which frame, boxes in whole pixels, answers put together.

A detector answers for each frame and name on its own: what else is asked in a request or a batch changes
nothing, so answers can be kept and shared. Reads frames and runs no model.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar

from aotd.tools.checkpoints import Checkpoint
from aotd.tools.frames import FrameStore
from aotd.tools.loading import UnusableCheckpoint
from aotd.tools.models import Detection, DetectRequest, FrameRef, ToolError
from aotd.tools.video import VideoError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

__all__ = [
    "Found",
    "Sought",
    "answers",
    "bad_name",
    "chunks",
    "one_size",
    "read_frames",
    "sought",
    "to_found",
]

Found: TypeAlias = tuple[Detection, ...] | ToolError
"""Boxes of one name in one frame, best first, or why there are none to tell."""

Entry = TypeVar("Entry")


class Sought(NamedTuple):
    """One name in one frame."""

    frame: FrameRef
    name: str


def sought(requests: Iterable[DetectRequest]) -> list[Sought]:
    """List what requests look for, each pair once, in order."""
    return list(dict.fromkeys(Sought(r.frame, name) for r in requests for name in r.names))


def answers(requests: Iterable[DetectRequest], found: Mapping[Sought, Found]) -> list[Found]:
    """Answer each request from what was found: all its names' boxes, best first; its first error if any."""
    answered: list[Found] = []
    for request in requests:
        parts = [found[Sought(request.frame, name)] for name in dict.fromkeys(request.names)]
        error = next((part for part in parts if isinstance(part, ToolError)), None)
        boxes = (box for part in parts if not isinstance(part, ToolError) for box in part)
        answered.append(error or tuple(sorted(boxes, key=lambda d: -d.score)))
    return answered


def read_frames(store: FrameStore, refs: Iterable[FrameRef]) -> dict[FrameRef, NDArray[np.uint8] | ToolError]:
    """Read frames; one that cannot be read is an error of its own and spoils no other.

    Returns
    -------
    dict
        [H, W, 3] each, uint8, RGB; or the error.
    """
    by_video: dict[str, list[FrameRef]] = {}
    for ref in dict.fromkeys(refs):
        by_video.setdefault(ref.video, []).append(ref)
    read: dict[FrameRef, NDArray[np.uint8] | ToolError] = {}
    for video, wanted in by_video.items():
        try:
            read.update(zip(wanted, store.read(video, [ref.index for ref in wanted]), strict=True))
        except VideoError:
            read.update((ref, _read_one(store, ref)) for ref in wanted)
    return read


def one_size(
    pairs: Iterable[Sought], images: Mapping[FrameRef, NDArray[np.uint8]], most: int
) -> Iterator[list[Sought]]:
    """Group pairs whose frames have one size, `most` at once: padding would alter answers."""
    by_size: dict[tuple[int, ...], list[Sought]] = {}
    for pair in pairs:
        by_size.setdefault(images[pair.frame].shape, []).append(pair)
    for group in by_size.values():
        yield from chunks(group, most)


def chunks(entries: Sequence[Entry], most: int) -> Iterator[list[Entry]]:
    """Cut a sequence into lists of at most `most`."""
    return (list(entries[start : start + most]) for start in range(0, len(entries), most))


def corners(boxes: torch.Tensor) -> torch.Tensor:
    """Turn boxes [..., 4] of centre x, centre y, width, height into x1, y1, x2, y2."""
    import torch

    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat((centre - half, centre + half), dim=-1)


def to_found(
    name: str, places: torch.Tensor, scores: torch.Tensor, size: tuple[int, int], threshold: float
) -> Found:
    """Make detections of one name's boxes in one frame.

    Parameters
    ----------
    name
        The program's own word.
    places
        [N, 4]: x1, y1, x2, y2 in pixels of the frame, origin top-left; may reach out of it.
    scores
        [N].
    size
        Width and height of the frame, in pixels.
    threshold
        Only boxes that score higher are told.

    Returns
    -------
    Found
        Boxes rounded to whole pixels and cut at the frame's borders. One that has no area there, such as a
        box that lies in the padding of a model's input, is no box of this frame. An error if the model's
        numbers are not finite.
    """
    import torch

    kept = scores > threshold
    if not (scores.isfinite().all() and places[kept].isfinite().all()):
        return ToolError(
            kind="not-finite", message=f"scores of {name!r} are not finite numbers: set dtype=float32"
        )
    order = scores[kept].argsort(descending=True, stable=True)
    limits = torch.tensor([*size, *size], dtype=places.dtype, device=places.device)
    whole = places[kept][order].round().clamp(min=0).minimum(limits).int()
    told = [
        Detection(name=name, box=(x1, y1, x2, y2), score=round(score, 6))
        for (x1, y1, x2, y2), score in zip(whole.tolist(), scores[kept][order].tolist(), strict=True)
        if x2 > x1 and y2 > y1
    ]
    return tuple(told)


def model_kind(checkpoint: Checkpoint, detector: str, kinds: Sequence[str], example: str) -> str:
    """Tell which of its kinds of model a detector's checkpoint holds, from its configuration alone.

    Raises
    ------
    UnusableCheckpoint
        If it is none of them; names an example of what is.
    """
    file = checkpoint.folder / "config.json"
    kind = json.loads(file.read_text(encoding="utf-8")).get("model_type") if file.is_file() else None
    if kind not in kinds:
        told = f"checkpoint {checkpoint.id} ({checkpoint.folder}) is of the kind {kind}"
        raise UnusableCheckpoint(f"{told}; detector {detector} takes {' or '.join(kinds)}, such as {example}")
    return str(kind)


def bad_name(name: str, tokens: int, most: int) -> ToolError | None:
    """Say why a name cannot be asked, if so: it is blank, or longer than the text model reads."""
    if not name.strip():
        return ToolError(kind="bad-request", message="the name of what to look for is blank")
    if tokens > most:
        told = f"{name[:40]!r} takes {tokens} tokens of text and the detector reads {most}"
        return ToolError(kind="bad-request", message=f"{told}: look for something in fewer words")
    return None


def _read_one(store: FrameStore, ref: FrameRef) -> NDArray[np.uint8] | ToolError:
    try:
        return store.read(ref.video, [ref.index])[0]
    except VideoError as error:
        return ToolError(kind=str(error.outcome.value), message=f"frame {ref.index}: {error.message}")
