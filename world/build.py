"""Write the household world to a folder: videos, STAR annotation, frame rates. The same seed, the same world.

The annotation's bytes depend on the arguments alone; a video's pixels also depend on the encoder's version.
Nothing is downloaded, and no other file of the folder is touched.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import av
import numpy as np
from av.video.stream import VideoStream

from aotd.world.annotate import ask, video_id
from aotd.world.draw import draw
from aotd.world.motion import Episode, simulate
from aotd.world.scene import FPS, HEIGHT, WIDTH

__all__ = ["write_annotation", "write_video", "write_world"]

_MOST_CLIPS: Final = 1000
"""Episodes that belong to one seed: the next seed's begin after them."""


def write_world(folder: Path, *, clips: int, seed: int = 0) -> Path:
    """Write `star.json`, `video_fps.json` and `videos/ID.mp4` for a number of episodes.

    Parameters
    ----------
    folder : Path
        Made if it is not there; files of the same names are replaced.
    clips : int
        How many episodes, each a video of its own with about nine questions; 1 to 1000.
    seed : int
        Different seeds give different episodes: 0 to 1199 those of the training split, 1200 to 1399 of the
        validation split, 1400 to 1599 of the test split (see `split.py`).

    Returns
    -------
    Path
        The annotation, `folder/star.json`.

    Raises
    ------
    ValueError
        If `clips` or `seed` is out of range.
    """
    episodes = _episodes(clips, seed)
    videos = folder / "videos"
    videos.mkdir(parents=True, exist_ok=True)
    for episode in episodes:
        write_video(episode, videos / f"{video_id(episode.plan.seed)}.mp4")
    return _annotate(folder, episodes, seed)


def write_annotation(folder: Path, *, clips: int, seed: int = 0) -> Path:
    """Write `star.json` and `video_fps.json` alone, for models that read annotation; as `write_world`."""
    folder.mkdir(parents=True, exist_ok=True)
    return _annotate(folder, _episodes(clips, seed), seed)


def _episodes(clips: int, seed: int) -> list[Episode]:
    """Make the episodes of a world."""
    if not 1 <= clips <= _MOST_CLIPS:
        raise ValueError(f"clips: {clips} is not between 1 and {_MOST_CLIPS}")
    if seed < 0:
        raise ValueError(f"seed: {seed} is negative")
    return [simulate(seed * _MOST_CLIPS + number) for number in range(clips)]


def _annotate(folder: Path, episodes: list[Episode], seed: int) -> Path:
    """Write rates and questions."""
    rates = {f"{video_id(episode.plan.seed)}.mp4": float(FPS) for episode in episodes}
    (folder / "video_fps.json").write_text(json.dumps(rates, indent=1) + "\n", encoding="utf-8")
    annotation = folder / "star.json"
    annotation.write_text(json.dumps(ask(episodes, seed=seed)) + "\n", encoding="utf-8")
    return annotation


def write_video(episode: Episode, path: Path) -> None:
    """Encode one episode as H.264 where the encoder is built in, else as MPEG-4, on one thread."""
    h264 = "libx264" in av.codecs_available
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264" if h264 else "mpeg4", rate=FPS)
        if not isinstance(stream, VideoStream):
            raise TypeError(f"{path}: the encoder gave no video stream")
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        # More threads would make the pixels depend on the machine.
        stream.options = {"crf": "20", "preset": "veryfast", "threads": "1"} if h264 else {"qscale": "3"}
        stream.thread_count = 1
        for index in range(len(episode.frames)):
            pixels = np.asarray(draw(episode, index))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
