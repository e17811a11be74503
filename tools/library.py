"""The videos of a run: each file is decoded and digested once, however many questions ask about it.

Keeps what was counted, never frames.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future
from pathlib import Path

from aotd.tools.video import PYAV, Probe, Reader, find_video, inspect, missing
from aotd.traces.records import Question, Video

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
        relative = Path(os.path.relpath(path, self._videos)).as_posix()
        return Video(id=question.video_id, digest=digest, path=relative, found_as=found_as, **seen._asdict())

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
