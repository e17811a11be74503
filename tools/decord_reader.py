"""The second reader of video files: decord in place of PyAV, with the same frames under the same numbers.

Both functions keep the contract of their namesakes in `aotd.tools.video`. decord counts packets, and fills up
with copies what lies past the last frame that shows, so frames are counted by decoding here too. Sound files
of 8 bits a channel, progressive, give the same pixels to the bit. decord 0.6 differs in these: it rounds
10-bit and interlaced frames otherwise, conceals bit errors otherwise, knows no AV1, and cannot go past a
packet that does not decode, so that a file whose end was cut inside a frame is refused. PyAV still opens each
file first, for decord would follow a playlist to other files. This file seeks nowhere, keeps no file open
between calls and uses no GPU. It needs the extra `decord`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aotd.tools.video import Probe, Reader, open_container, unreadable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["decord_reader", "probe", "read_frames"]

_NO_COPIES: Final = 1e-9
"""Share of frames that decord may fill up with copies; for it, 0 means any number of them."""

_COUNT: Final = """\
import sys
from pathlib import Path
from aotd.tools.decord_reader import _decode
frames = 0
for frames, frame in enumerate(_decode(Path(sys.argv[1])), 1):
    height, width, _ = frame.shape
print(width, height, frames)
"""
"""What the child process runs."""


def decord_reader() -> Reader:
    """Give this file's functions as a reader.

    Raises
    ------
    ModuleNotFoundError
        Without the library; says in one line how to install it.
    """
    _library()
    return Reader(probe, read_frames)


def probe(path: Path) -> Probe:
    """Decode a whole file in a child process and say what was seen.

    decord can end its process over a damaged file; here that is the file's fault and nobody else's.

    Raises
    ------
    VideoError
        unreadable-video: no frame decodes, or the file is damaged.
    """
    _library()
    with open_container(path) as container:
        rate = container.streams.video[0].average_rate
    child = subprocess.run(
        [sys.executable, "-P", "-c", _COUNT, str(path)], capture_output=True, text=True, check=False
    )
    if child.returncode:
        raise unreadable(path, "decord does not decode all of it")
    width, height, frames = map(int, child.stdout.split())
    return Probe(width, height, float(rate) if rate else None, frames)


def read_frames(path: Path, indices: Sequence[int]) -> NDArray[np.uint8]:
    """Read frames in one pass from the start of a file, in this process: give it files that `probe` accepts.

    Parameters
    ----------
    path
        A video file.
    indices
        Frame numbers from 0, at least one, in any order, repeats allowed.

    Returns
    -------
    array of uint8, shape (len(indices), height, width, 3)
        RGB, in the order asked for, turned as the file's rotation tag says.

    Raises
    ------
    IndexError
        When a frame does not exist.
    VideoError
        unreadable-video, as `probe`.
    """
    import numpy as np

    if not indices or min(indices) < 0:
        raise IndexError(f"{path}: asked for frames {list(indices)}; give at least one, from 0")
    open_container(path).close()
    wanted, last = set(indices), max(indices)
    images: dict[int, NDArray[np.uint8]] = {}
    count = 0
    for number, frame in enumerate(_decode(path)):
        count = number + 1
        if number in wanted:
            images[number] = frame.asnumpy()
        if number == last:
            break
    if count <= last:
        raise IndexError(f"{path}: frame {last} does not exist; the file has frames 0..{count - 1}")
    return np.stack([images[index] for index in indices])


def _library() -> Any:
    """Import decord and keep it quiet."""
    try:
        import decord
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "the reader decord needs a library that is not installed: pip install 'aotd[decord]'"
        ) from None
    decord.logging.set_level(decord.logging.QUIET)
    return decord


def _decode(path: Path) -> Iterator[Any]:
    """Yield the frames that show, in order, as decord's arrays; VideoError when one does not decode."""
    decord = _library()
    try:
        # One thread: with several, the frame before which an error comes is a matter of chance.
        reader = decord.VideoReader(str(path), num_threads=1, fault_tol=_NO_COPIES)
        for number in range(len(reader)):
            try:
                frame = reader.next()
            except decord.DECORDLimitReachedError as error:
                if number == 0:
                    raise unreadable(path, "no frame decodes") from error
                return
            yield frame
    except (decord.DECORDError, RuntimeError) as error:
        raise unreadable(path, "decord does not decode all of it") from error
