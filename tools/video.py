"""Video files: finding a question's file, counting its frames and reading some of them.

Frame numbers are counts of decoded frames from 0; headers are not trusted, since files cut without
re-encoding carry edit lists and half of their packets never show. Names from annotation and the content of
files are untrusted: a name cannot leave its folder, and a file cannot make the reader open another. PyAV
decodes here; `aotd.tools.decord_reader` gives a second `Reader`. This file does not choose frames
(`aotd.tools.sampling` does), keeps nothing in memory between calls, and does not cut, scale or write video.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from aotd.traces.outcomes import Outcome
from aotd.traces.records import Question

if TYPE_CHECKING:
    import av
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "EXTENSIONS",
    "PICTURE",
    "PYAV",
    "FoundAs",
    "Probe",
    "Reader",
    "VideoError",
    "find_video",
    "inspect",
    "missing",
    "open_container",
    "probe",
    "read_frames",
    "unreadable",
]

FoundAs = Literal["clip", "segment", "question", "video"]

EXTENSIONS: Final = (".mp4", ".mkv", ".webm", ".avi", ".mov")
"""Extensions of the look-up, in its order."""

PICTURE: Final = ".png"
"""Extension of a picture, which is a video of one frame; read where a record names it as its own clip."""

_CONTAINERS: Final = "mov,matroska,avi,mpegts,mpeg,flv,asf,ogg,png_pipe"
"""Formats that are read, whatever the file's name: none of them can point at other files, as playlists do."""


class VideoError(Exception):
    """A question's video cannot be used; says why in one line and ends that question only."""

    def __init__(
        self, outcome: Literal[Outcome.MISSING_VIDEO, Outcome.UNREADABLE_VIDEO], message: str
    ) -> None:
        super().__init__(outcome, message)
        self.outcome = outcome
        self.message = " ".join(message.split())

    def __str__(self) -> str:
        return self.message


class Probe(NamedTuple):
    """What decoding a whole file shows."""

    width: int
    """Pixels, after the file's rotation tag; so is the height."""
    height: int
    fps: float | None
    """Average rate as the container states it."""
    frames: int
    """Frames that decode."""


def find_video(
    folder: Path, question: Question, *, annotation_folder: Path | None = None
) -> tuple[Path, FoundAs] | None:
    """Look up the file of a question's video; the first name that exists wins.

    The order is the record's own clip (in the video folder, then beside the annotation),
    `{video}_{start}_{end}`, `{question}`, `{video}`, each with the known extensions; the record's own may be
    a picture. Names that are
    absolute, climb, or end outside their folder through a link are passed over.

    Returns
    -------
    tuple of path and str, or None
        The path as reached from its folder, and which name matched.
    """
    for name, found_as in _names(question):
        folders = [folder, annotation_folder] if found_as == "clip" else [folder]
        for place in folders:
            path = _inside(place, name) if place is not None else None
            if path is not None:
                return path, found_as
    return None


def probe(path: Path) -> Probe:
    """Decode a whole file and say what was seen; a tail that does not decode is left out.

    Raises
    ------
    VideoError
        unreadable-video: no frame decodes, or the file is damaged before its end.
    """
    shape = _Shape(0, 0, 0)
    fps: float | None = None
    frames = 0
    for frame, rate in _decode(path):
        if frames == 0:
            shape, fps = _Shape.of(frame), rate
        frames += 1
    width, height = (shape.height, shape.width) if shape.turns % 2 else (shape.width, shape.height)
    return Probe(width, height, fps, frames)


def read_frames(path: Path, indices: Sequence[int]) -> NDArray[np.uint8]:
    """Read frames in one pass from the start of the file to the last one asked for.

    Parameters
    ----------
    path
        A video file.
    indices
        Frame numbers from 0, at least one, in any order, repeats allowed.

    Returns
    -------
    array of uint8, shape (len(indices), height, width, 3)
        RGB, in the order asked for, turned as the file's rotation tag says. All have the first frame's
        size.

    Raises
    ------
    IndexError
        When a frame does not exist.
    VideoError
        unreadable-video, as `probe`.
    """
    import numpy as np

    places: dict[int, list[int]] = {}
    for place, index in enumerate(indices):
        places.setdefault(index, []).append(place)
    if not places or min(places) < 0:
        raise IndexError(f"{path}: asked for frames {list(indices)}; give at least one, from 0")
    pixels: NDArray[np.uint8] | None = None
    shape = _Shape(0, 0, 0)
    last, count = max(places), 0
    for number, (frame, _) in enumerate(_decode(path)):
        shape = shape if number else _Shape.of(frame)
        count = number + 1
        if number in places:
            image = frame.to_ndarray(format="rgb24", width=shape.width, height=shape.height)
            image = np.rot90(image, shape.turns)
            if pixels is None:
                pixels = np.empty((len(indices), *image.shape), np.uint8)
            pixels[places[number]] = image
        if number == last:
            break
    if pixels is None or count <= last:
        raise IndexError(f"{path}: frame {last} does not exist; the file has frames 0..{count - 1}")
    return pixels


class Reader(NamedTuple):
    """What decodes files; whichever it is, numbers and pixels of frames are the same."""

    probe: Callable[[Path], Probe]
    """As `probe`."""
    read_frames: Callable[[Path, Sequence[int]], NDArray[np.uint8]]
    """As `read_frames`."""


PYAV: Final = Reader(probe, read_frames)
"""The reader of this file."""


def inspect(path: Path, reader: Reader = PYAV) -> tuple[Probe, str]:
    """Decode a file once to count its frames, and take its digest (SHA-256, hex).

    Raises
    ------
    VideoError
        unreadable-video.
    """
    seen = reader.probe(path)
    try:
        with path.open("rb") as file:
            return seen, hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, f"cannot be read: {error.strerror}") from error


def missing(folder: Path, question: Question) -> VideoError:
    """Make the error that says which names were looked for."""
    tried = dict.fromkeys(name.rpartition(".")[0] for name, _ in _names(question))
    return VideoError(
        Outcome.MISSING_VIDEO,
        f"question {question.id}: {folder} holds none of {', '.join(tried)} "
        f"({' '.join(EXTENSIONS)}); add the file or give another --videos folder",
    )


class _Shape(NamedTuple):
    """How the first frame lies: its size as coded, and quarter turns counter-clockwise to show it."""

    width: int
    height: int
    turns: int

    @classmethod
    def of(cls, frame: av.VideoFrame) -> _Shape:
        """Read it off a frame."""
        return cls(frame.width, frame.height, round(frame.rotation / 90))


class _Decoded(NamedTuple):
    """A frame, and the average rate of its stream."""

    frame: av.VideoFrame
    fps: float | None


def _decode(path: Path) -> Iterator[_Decoded]:
    """Yield the frames that show, in order.

    A bad packet is forgiven only when nothing after it decodes (a file cut short). Otherwise a hole would
    shift all later frame numbers without notice, so the file is refused.
    """
    import av

    frames, bad = 0, ""
    try:
        with open_container(path) as container:
            stream = container.streams.video[0]
            fps = float(stream.average_rate) if stream.average_rate else None
            for packet in container.demux(stream):
                try:
                    batch = packet.decode()
                except av.FFmpegError as error:
                    bad = bad or f"packet after frame {frames} does not decode ({error.strerror})"
                    continue
                if bad and packet.size:
                    raise unreadable(path, f"damaged: a {bad}, but later ones do")
                for frame in batch:
                    frames += 1
                    yield _Decoded(frame, fps)
    except (av.FFmpegError, OSError) as error:
        # Demuxing can fail at the cut of a file that was cut short; what came before still counts.
        bad = bad or f"cannot be read: {error.strerror or error}"
    if frames == 0:
        raise unreadable(path, bad or "no frame decodes")


def open_container(path: Path) -> av.container.InputContainer:
    """Open a file that holds video and cannot point at other files; close it after use.

    Raises
    ------
    VideoError
        unreadable-video: no such container, or no video in it.
    """
    import av

    av.logging.set_level(av.logging.PANIC)  # the decoders' chatter; errors still arrive as exceptions
    options = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"}
    try:
        # Titles in old files are often not UTF-8; they are not our concern.
        container = av.open(str(path), options=options, metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:
        raise unreadable(path, f"cannot be read: {error.strerror or error}") from error
    if not container.streams.video:
        container.close()
        raise unreadable(path, "holds no video stream")
    return container


def unreadable(path: Path, reason: str) -> VideoError:
    """Make the error that names the file, the reason and the mend."""
    return VideoError(
        Outcome.UNREADABLE_VIDEO,
        f"{path}: {reason}; fetch the file again, or re-encode it with ffmpeg",
    )


def _names(question: Question) -> Iterator[tuple[str, FoundAs]]:
    """List the names of the look-up, in its order."""
    if question.clip_file is not None:
        if question.clip_file.lower().endswith((*EXTENSIONS, PICTURE)):
            yield question.clip_file, "clip"
        else:
            yield from ((question.clip_file + extension, "clip") for extension in EXTENSIONS)
    stems: list[tuple[str, FoundAs]] = []
    if question.span is not None:
        start, end = question.span
        # As Python prints the numbers, and in short: 0.0 and 18.099999999999998, 0 and 18.1.
        stems += [(f"{question.video_id}_{start}_{end}", "segment")]
        stems += [(f"{question.video_id}_{start:g}_{end:g}", "segment")]
    stems += [(question.id, "question"), (question.video_id, "video")]
    for stem, found_as in stems:
        yield from ((stem + extension, found_as) for extension in EXTENSIONS)


def _inside(folder: Path, name: str) -> Path | None:
    """Give the file of this name if it exists in the folder, by a link of the folder's owner or not."""
    relative = PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts or "\0" in name:
        return None
    path = folder / relative
    # `os.path.isfile` says False where `Path.is_file` raises, as for names that are too long.
    return path if os.path.isfile(path) else None  # noqa: PTH113
