"""Frames in memory: the right ones, one pass a video, within a bound."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aotd.tools.frames import FrameStore
from aotd.tools.library import Library
from aotd.tools.video import PYAV, Reader, VideoError, read_frames
from aotd.traces.records import Question
from aotd.world.build import write_world


class Counted:
    """PyAV, and the passes that it made."""

    def __init__(self) -> None:
        self.passes: list[list[int]] = []

    def reader(self) -> Reader:
        """Read as PyAV does, and note what was read."""
        return Reader(PYAV.probe, self._read)

    def _read(self, path: Path, indices: Sequence[int]) -> Any:
        self.passes.append(list(indices))
        return read_frames(path, indices)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rendered clips."""
    folder = tmp_path_factory.mktemp("world")
    write_world(folder, clips=2, seed=0)
    return folder / "videos"


def opened(videos: Path, reader: Reader) -> tuple[Library, list[str], list[Path]]:
    """A library that has opened the clips."""
    library = Library(videos, None, reader)
    files = sorted(videos.iterdir())
    digests = [
        library.open(
            Question(id=file.stem, dataset="star", video_id=file.stem, text="?", options=None)
        ).digest
        for file in files
    ]
    return library, digests, files


def test_frames_are_those_of_the_file_in_the_order_asked(videos: Path) -> None:
    """Frames equal, pixel for pixel, what the reader gives, repeats and order included."""
    library, digests, files = opened(videos, PYAV)
    store = FrameStore(library, 1 << 30)
    wanted = [5, 0, 5, 9]
    found = store.read(digests[0], wanted)
    assert np.array_equal(np.stack(found), read_frames(files[0], wanted))
    assert not found[0].flags.writeable


def test_a_video_is_decoded_once_for_all_that_was_expected(videos: Path) -> None:
    """The first read decodes every expected frame in one pass; later reads decode nothing."""
    counted = Counted()
    library, digests, _ = opened(videos, counted.reader())
    store = FrameStore(library, 1 << 30)
    store.expect(digests[0], range(0, 20, 2))
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda index: store.read(digests[0], [index]), [4, 0, 18, 6, 2, 8]))
    assert counted.passes == [list(range(0, 20, 2))]
    store.read(digests[0], [1, 4])
    assert counted.passes[1:] == [[1]]


def test_videos_asked_longest_ago_are_let_go(videos: Path) -> None:
    """Over the bound, the older video is decoded again when asked again, the newer is not."""
    counted = Counted()
    library, digests, _ = opened(videos, counted.reader())
    store = FrameStore(library, 1)
    for video in (digests[0], digests[1], digests[1], digests[0]):
        store.read(video, [0, 1])
    assert len(counted.passes) == 3


def test_a_file_that_has_gone_is_an_error_of_its_video(videos: Path, tmp_path: Path) -> None:
    """A video that was deleted after it was opened is unreadable; other videos are not concerned."""
    for file in videos.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    library, digests, files = opened(tmp_path, PYAV)
    files[0].unlink()
    store = FrameStore(library, 1 << 30)
    with pytest.raises(VideoError):
        store.read(digests[0], [0])
    assert len(store.read(digests[1], [0])) == 1
