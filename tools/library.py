"""The videos of a run: each file is decoded and digested once, however many questions ask about it.

Keeps what was counted, never frames (`aotd.tools.frames` does).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING

from aotd.tools.video import PYAV, Probe, Reader, find_video, inspect, missing
from aotd.traces.records import Question, Video

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Library"]


class Library:
    """Looks videos up and opens them; may be used from many threads.

    Parameters
    ----------
    videos
        Folder of videos.
    annotations
        Folder of the annotation, where a record's own clip may lie.
    reader
        What decodes the files.
    """

    def __init__(self, videos: Path, annotations: Path | None = None, reader: Reader = PYAV) -> None:
        self._videos = videos
        self._annotations = annotations
        self._reader = reader
        self._lock = threading.Lock()
        self._inspected: dict[Path, Future[tuple[Probe, str]]] = {}
        self._opened: dict[str, tuple[Path, Probe]] = {}

    def open(self, question: Question) -> Video:
        """Find a question's video, count its frames and take its digest.

        Returns
        -------
        Video
            `path` is relative to the folder of videos, and climbs out of it only for a clip found beside the
            annotation: `videos / video.path` is the file.

        Raises
        ------
        VideoError
            missing-video or unreadable-video.
        """
        found = find_video(self._videos, question, annotation_folder=self._annotations)
        if found is None:
            raise missing(self._videos, question)
        path, found_as = found
        seen, digest = self._inspect(path)
        self._opened[digest] = path, seen
        relative = Path(os.path.relpath(path, self._videos)).as_posix()
        return Video(id=question.video_id, digest=digest, path=relative, found_as=found_as, **seen._asdict())

    def probe(self, digest: str) -> Probe:
        """Say what decoding a video showed; it must have been opened."""
        return self._opened[digest][1]

    def frames(self, digest: str, indices: Sequence[int]) -> NDArray[np.uint8]:
        """Read frames of a video that was opened, [len(indices), H, W, 3], RGB; errors as its reader's."""
        return self._reader.read_frames(self._opened[digest][0], indices)

    def _inspect(self, path: Path) -> tuple[Probe, str]:
        with self._lock:
            known = self._inspected.get(path)
            finding: Future[tuple[Probe, str]] = known or Future()
            self._inspected[path] = finding
        if known is None:
            try:
                finding.set_result(inspect(path, self._reader))
            except BaseException as error:  # noqa: BLE001 - whoever waits for this file gets it raised below
                finding.set_exception(error)
        return finding.result()
