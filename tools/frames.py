"""Decoded frames by the video's digest, for the models that see: each video is decoded once while it is used.

Keeps the latest videos within a bound of bytes. Frames are RGB, uint8, turned as `aotd.tools.video` says.
Crops and resizing are the models' own.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from aotd.tools.library import Library

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["FrameStore"]


class _Video:
    """What is held of one video; `lock` guards the rest."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.expected: frozenset[int] = frozenset()
        self.frames: dict[int, NDArray[np.uint8]] = {}


class FrameStore:
    """Frames in memory; may be used from many threads.

    Parameters
    ----------
    library
        The run's videos.
    max_bytes
        Bound of what is kept; a read gives more when it is asked more.
    """

    def __init__(self, library: Library, max_bytes: int) -> None:
        self._library = library
        self._max_bytes = max_bytes
        self._videos: OrderedDict[str, _Video] = OrderedDict()
        self._lock = threading.Lock()

    def expect(self, video: str, indices: Iterable[int]) -> None:
        """Say which frames of a video a question can ask for: the first read decodes them all."""
        held = self._held(video)
        with held.lock:
            held.expected = frozenset(indices)

    def fps(self, video: str) -> float | None:
        """Frames per second of a video that was opened, as its file states it."""
        return self._library.probe(video).fps

    def read(self, video: str, indices: Sequence[int]) -> list[NDArray[np.uint8]]:
        """Give frames.

        Parameters
        ----------
        video
            Digest of a video that the library has opened.
        indices
            Frames of the file, from 0; may repeat.

        Returns
        -------
        list of array
            [H, W, 3] each, uint8, RGB; not to be written to.

        Raises
        ------
        VideoError
            If the file is gone or cannot be read any more.
        """
        held = self._held(video)
        with held.lock:  # one pass for all who wait for this video
            if not held.frames.keys() >= set(indices):
                wanted = sorted({*indices, *held.expected} - held.frames.keys())
                decoded = self._library.frames(video, wanted)
                decoded.flags.writeable = False
                held.frames.update(zip(wanted, decoded, strict=True))
            frames = [held.frames[index] for index in indices]
        self._make_room()
        return frames

    def _held(self, video: str) -> _Video:
        with self._lock:
            held = self._videos.setdefault(video, _Video())
            self._videos.move_to_end(video)
            return held

    def _make_room(self) -> None:
        """Let go of the videos that were asked longest ago, whole: their frames share one block of memory."""
        with self._lock:
            taken = {name: sum(f.nbytes for f in list(v.frames.values())) for name, v in self._videos.items()}
            total = sum(taken.values())
            for name in list(self._videos)[:-1]:
                if total <= self._max_bytes:
                    return
                held = self._videos[name]
                if held.lock.acquire(blocking=False):  # else it is being read
                    held.frames.clear()
                    held.lock.release()
                    total -= taken[name]
