"""Small made videos, opened, and the comparison of boxes found in them: for tests of detectors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import pytest
from PIL import Image

from aotd.tools.frames import FrameStore
from aotd.tools.library import Library
from aotd.tools.models import Detection, DetectRequest, FrameRef
from aotd.traces.records import Question

__all__ = ["Videos", "assert_alike", "open_videos", "request", "rounded", "write_video"]


class Videos(NamedTuple):
    """Videos that were opened."""

    library: Library
    digests: dict[str, str]

    def store(self) -> FrameStore:
        """Give a store with nothing in it."""
        return FrameStore(self.library, 1 << 24)

    def refs(self, name: str, *indices: int) -> list[FrameRef]:
        """Refer to frames of a video."""
        return [FrameRef(video=self.digests[name], index=index) for index in indices]


def open_videos(folder: Path, *names: str) -> Videos:
    """Open the videos of a folder."""
    library = Library(folder)
    digests = {n: library.open(Question(id="q", dataset="d", video_id=n, text="?")).digest for n in names}
    return Videos(library, {name: str(digest) for name, digest in digests.items()})


def write_video(path: Path, width: int, height: int, frames: int = 6) -> None:
    """Write a video of coarse coloured noise; every frame is another."""
    dice = np.random.default_rng(width)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for _ in range(frames):
            small = Image.fromarray(dice.integers(0, 256, (12, 20, 3), dtype=np.uint8))
            frame = np.asarray(small.resize((width, height), Image.Resampling.NEAREST))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def request(frame: FrameRef, *names: str) -> DetectRequest:
    """Ask for names in a frame."""
    return DetectRequest(frame=frame, names=names)


def rounded(
    name: str, boxes: np.ndarray, scores: Sequence[float], width: int, height: int, least: float
) -> list[Detection]:
    """Whole pixels inside the frame, best first, by numpy."""
    whole = np.clip(np.rint(boxes), 0, [width, height, width, height]).astype(int)
    kept = [
        (float(score), tuple(map(int, box)))
        for score, box in zip(scores, whole, strict=True)
        if score > least and box[2] > box[0] and box[3] > box[1]
    ]
    return [Detection(name=name, box=box, score=score) for score, box in sorted(kept, key=lambda k: -k[0])]


def assert_alike(got: object, expected: Sequence[Detection], tolerance: float) -> None:
    """Compare names, boxes within a pixel, and scores; whatever the order of equal scores."""
    assert isinstance(got, tuple)
    assert [d.score for d in got] == pytest.approx([d.score for d in expected], abs=tolerance)
    left = list(expected)
    for found in got:
        near = [
            other
            for other in left
            if other.name == found.name
            and abs(other.score - found.score) <= tolerance
            and max(abs(a - b) for a, b in zip(other.box, found.box, strict=True)) <= 1
        ]
        assert near, f"{found} is not among {expected}"
        left.remove(near[0])
