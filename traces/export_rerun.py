"""One question as a recording for the Rerun viewer: frames and the boxes of each call over the video's time.

    aotd/question                  what was asked, the program, the answer (text)
    video                          frames, where there are pixels
    video/N_FUNCTION               boxes that call N rests on
    calls                          the calls as a log, on the timeline `call`

Times are seconds of the original video (`video`) and positions of the grid (`frame`). Pixels come through a
function that is passed in; without it boxes stand alone. Needs rerun-sdk, which the extra `rerun` brings.
This file opens no viewer and sends nothing anywhere.
"""

from __future__ import annotations

import io
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from PIL import Image

from aotd.traces.answers import render
from aotd.traces.call_text import call_text
from aotd.traces.page_frames import Frames, canvas_of
from aotd.traces.records import GRID, Call, Example, Trace

if TYPE_CHECKING:
    import rerun as rr

__all__ = ["RerunMissing", "write_rerun"]

_APPLICATION: Final = "aotd"


class RerunMissing(RuntimeError):
    """A recording was asked for and rerun-sdk is not installed."""


def write_rerun(example: Example, out: Path, frames: Frames | None = None) -> None:
    """Write the attempt that counts as a `.rrd` file; equal examples give equal times and boxes.

    Parameters
    ----------
    frames
        Gives the JPEG of a grid position; its size may differ from the video's, boxes are scaled to it.

    Raises
    ------
    RerunMissing
        Without rerun-sdk.
    ValueError
        If the example has no trace.
    OSError
        If the file cannot be written.
    """
    if find_spec("rerun") is None:
        raise RerunMissing("a Rerun recording needs rerun-sdk: pip install 'aotd[rerun]'")
    if example.trace is None:
        raise ValueError(f"{example.question.id} has no trace: it ended as {example.outcome}")
    import rerun as rr

    out.open("wb").close()  # a path that cannot be written is an OSError here, and none of theirs later
    recording = rr.RecordingStream(_APPLICATION, recording_id=example.question.id)
    recording.save(out)
    recording.set_log_time_enabled(False)
    recording.set_log_tick_enabled(False)
    text = rr.TextDocument(_told(example), media_type=rr.MediaType.MARKDOWN)
    recording.log("aotd/question", text, static=True)
    _log_calls(recording, example.trace)
    _log_frames(recording, example.trace, frames)
    recording.flush()
    recording.disconnect()


def _told(example: Example) -> str:
    """Write what is known of a question; indented blocks keep foreign words from being markup."""
    question, trace = example.question, example.trace
    parts = [("Question", question.text)]
    parts += [("Options", "\n".join(question.options))] if question.options else []
    parts += [("Truth", question.answer)] if question.answer is not None else []
    parts.append(("Program", example.program or ""))
    if trace is not None and trace.answer is not None:
        parts.append(("Answer", render(trace.answer)))
    parts.append(("Outcome", f"{example.outcome} {example.detail}"))
    if example.rationale is not None:
        parts.append(("Chain of thought", example.rationale.text))
    return "\n\n".join(f"## {title}\n\n{_block(text)}" for title, text in parts)


def _block(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


def _log_calls(recording: rr.RecordingStream, trace: Trace) -> None:
    import rerun as rr

    for call in trace.calls:
        recording.set_time("call", sequence=call.number)
        level = rr.TextLogLevel.ERROR if call.error is not None else rr.TextLogLevel.INFO
        recording.log("calls", rr.TextLog(f"{call.number}. {call_text(call)}", level=level))
    recording.reset_time()


def _log_frames(recording: rr.RecordingStream, trace: Trace, frames: Frames | None) -> None:
    """Log the grid from its first position to its last: the frame, and the boxes of every call on it."""
    import rerun as rr

    canvas = canvas_of([trace])
    drawn = [call for call in trace.calls if call.sightings]
    for position in range(GRID):
        recording.set_time("frame", sequence=position)
        seconds = _seconds(trace, position)
        if seconds is not None:
            recording.set_time("video", duration=seconds)
        jpeg = frames(position) if frames is not None else None
        scale = 1.0
        if jpeg is not None:
            with Image.open(io.BytesIO(jpeg)) as image:
                scale = image.width / canvas.width
            recording.log("video", rr.EncodedImage(contents=jpeg, media_type="image/jpeg"))
        for call in drawn:
            recording.log(["video", f"{call.number}_{call.function}"], _boxes(call, position, scale))
    recording.reset_time()


def _boxes(call: Call, position: int, scale: float) -> rr.Boxes2D:
    """Give a call's boxes at a position; none are given too, or the viewer would keep the last ones."""
    import rerun as rr

    seen = [sighting for sighting in call.sightings if sighting.frame == position]
    return rr.Boxes2D(
        array=[[edge * scale for edge in sighting.box] for sighting in seen],
        array_format=rr.Box2DFormat.XYXY,
        labels=[f"{sighting.name} {sighting.score:.2f}" for sighting in seen],
    )


def _seconds(trace: Trace, position: int) -> float | None:
    """Give the time of a grid position in the original video; None where nothing tells."""
    video = trace.video
    if trace.span is not None:
        start, end = trace.span
    elif video.frames and video.fps:
        start, end = 0.0, video.frames / video.fps
    else:
        return None
    return start + (end - start) * position / GRID
