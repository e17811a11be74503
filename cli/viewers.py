"""Files for other viewers: a Rerun recording of a question, an Inspect log of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from aotd.agent.config import RunConfig
from aotd.cli.errors import UsageError
from aotd.cli.settings import check_config
from aotd.cli.stills import NoStills, stills
from aotd.traces.export_inspect import InspectMissing, write_inspect
from aotd.traces.export_rerun import RerunMissing, write_rerun
from aotd.traces.page_frames import Frames
from aotd.traces.records import Example
from aotd.traces.runs import Run

__all__ = ["Viewer", "write_for_viewer"]

Viewer = Literal["rerun", "inspect"]


def write_for_viewer(
    run: Run, viewer: Viewer, out: Path, question_id: str | None, videos: Path | None
) -> list[str]:
    """Write a run, or one question of it, for a viewer; say what was written, in lines.

    Parameters
    ----------
    out
        A `.rrd` file, or an Inspect log that ends in `.eval` or `.json`.
    question_id
        The question; a Rerun recording is of one.
    videos
        Folder of videos for the recording's frames; by default the run's own.

    Raises
    ------
    UsageError
        If something is missing, with the mend.
    """
    write = _inspect if viewer == "inspect" else _rerun
    try:
        return write(run, out, question_id, videos)
    except (InspectMissing, RerunMissing, NoStills, ValueError) as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror or error}") from None


def _inspect(run: Run, out: Path, question_id: str | None, _: Path | None) -> list[str]:
    chosen = run.examples() if question_id is None else {question_id: run.example(question_id)}
    samples = write_inspect(chosen.values(), run.manifest, out)
    return [f"{samples} samples written to {out}; look at them by: inspect view --log-dir {out.parent}"]


def _rerun(run: Run, out: Path, question_id: str | None, videos: Path | None) -> list[str]:
    if question_id is None:
        raise UsageError("a Rerun recording shows one question: give --question ID")
    example = run.example(question_id)
    frames, told = _frames(example, check_config(dict(run.config)), videos)
    write_rerun(example, out, frames)
    return [*told, f"written to {out}; look at it by: rerun {out}"]


def _frames(example: Example, config: RunConfig, videos: Path | None) -> tuple[Frames | None, list[str]]:
    """Find the frames of a question; without them the recording has boxes alone, and a line says why."""
    folder = videos or (Path(config.source.videos) if config.source.videos else None)
    if folder is None:
        return None, ["no frames: the run opened no videos; give --video-dir DIR"]
    oracles = "oracle" in (config.detector.kind, config.grounder.kind, config.video_model.kind)
    try:
        return stills(example, folder, future=oracles and config.oracle.future), []
    except NoStills as error:
        return None, [f"no frames: {error}"]
