"""Exports for other viewers, each opened by the viewer's own library."""

from __future__ import annotations

import io
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import pytest
from PIL import Image

from aotd.cli.errors import UsageError
from aotd.cli.viewers import write_for_viewer
from aotd.traces.export_inspect import write_inspect
from aotd.traces.export_rerun import write_rerun
from aotd.traces.outcomes import Outcome
from aotd.traces.records import (
    Attempt,
    Call,
    CallError,
    Clip,
    Example,
    Provenance,
    Question,
    Rationale,
    Sentence,
    Sighting,
    Trace,
    Video,
)
from aotd.traces.runs import Run, new_manifest

WORDS = "<img src=x onerror=alert(1)> **# \u202ewhat?"
CUP = Clip(video="v", span=(2.0, 6.0), grid_ids=(3, 4))
TRACE = Trace(
    video=Video(id="v", digest="d" * 64, path="v.mp4", width=200, height=100, frames=40, fps=10.0),
    span=(2.0, 6.0),
    program="def execute_command(video_clip, query, possible_answers):\n    return 'The cup.'\n",
    calls=(
        Call(
            number=1,
            function="Find",
            line=2,
            args={"clip": {"$clip": "clip0"}, "obj": "cup"},
            result=CUP,
            sightings=(
                Sighting(frame=3, name="cup", box=(10, 20, 30, 40), score=0.5),
                Sighting(frame=4, name="cup", box=(20, 20, 40, 40), score=0.75),
            ),
            seconds=0.25,
        ),
        Call(number=2, function="exist", line=3, args={}, error=CallError(kind="bad", message="no")),
    ),
    answer="The cup.",
)


def example(key: str, outcome: Outcome = Outcome.RIGHT, trace: Trace | None = TRACE) -> Example:
    """Make an example."""
    return Example(
        question=Question(
            id=key,
            dataset="star",
            video_id="v",
            text=WORDS,
            options=("The dish.", "The cup."),
            answer="The cup.",
        ),
        attempts=(Attempt(program=TRACE.program, trace=trace),),
        outcome=outcome,
        detail="so it is",
        rationale=Rationale(writer="w", sentences=(Sentence(text="A cup is seen."),)) if trace else None,
        provenance=Provenance(run="r", models={"planner": "grammar"}),
    )


def jpeg(_: int) -> bytes:
    """Draw a frame of half the video's size."""
    out = io.BytesIO()
    Image.new("RGB", (100, 50), "grey").save(out, "JPEG")
    return out.getvalue()


needs_rerun = pytest.mark.skipif(find_spec("rerun") is None, reason="rerun-sdk is not installed")
needs_inspect = pytest.mark.skipif(find_spec("inspect_ai") is None, reason="inspect-ai is not installed")


def chunks(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Read a recording back by rerun's reader: rows by entity."""
    from rerun.chunk import RrdReader

    found: dict[str, list[dict[str, Any]]] = {}
    for chunk in RrdReader(path).stream():
        found.setdefault(chunk.entity_path, []).extend(chunk.to_record_batch().to_pylist())
    return found


@needs_rerun
def test_a_recording_has_frames_and_boxes_over_the_videos_time(tmp_path: Path) -> None:
    """Rerun reads 32 frames from 2 s to 6 s, boxes scaled to them where they were seen and none elsewhere."""
    write_rerun(example("q 1"), tmp_path / "q.rrd", jpeg)
    found = chunks(tmp_path / "q.rrd")
    assert {"/video", "/calls", "/aotd/question", "/video/1_Find"} <= set(found)
    rows = sorted(found["/video/1_Find"], key=lambda row: row["frame"])
    assert [row["frame"] for row in rows] == list(range(32))
    assert [row["video"].total_seconds() for row in rows] == [2.0 + 4.0 * n / 32 for n in range(32)]
    seen = {row["frame"]: row for row in rows if row["Boxes2D:centers"]}
    assert set(seen) == {3, 4}
    # 10..30 and 20..40 of 200 x 100 pixels, on pictures of 100 x 50
    assert seen[3]["Boxes2D:centers"] == [[10.0, 15.0]]
    assert seen[3]["Boxes2D:half_sizes"] == [[5.0, 5.0]]
    assert seen[4]["Boxes2D:labels"] == ["cup 0.75"]
    assert len(found["/video"]) == 32
    assert len(found["/calls"]) == 2


@needs_rerun
def test_a_recording_without_pixels_keeps_the_boxes_as_they_are(tmp_path: Path) -> None:
    """Without frames boxes are in pixels of the video."""
    write_rerun(example("q"), tmp_path / "q.rrd")
    found = chunks(tmp_path / "q.rrd")
    assert "/video" not in found
    seen = [row for row in found["/video/1_Find"] if row["frame"] == 3]
    assert seen[0]["Boxes2D:centers"] == [[20.0, 30.0]]


@needs_rerun
def test_what_cannot_be_recorded_is_told(tmp_path: Path) -> None:
    """No trace, no such folder, no question: one line each."""
    with pytest.raises(ValueError, match="q has no trace: it ended as no-response"):
        write_rerun(example("q", Outcome.NO_RESPONSE, None), tmp_path / "q.rrd")
    with pytest.raises(OSError, match=r"q\.rrd"):
        write_rerun(example("q"), tmp_path / "no" / "q.rrd")


def made(folder: Path) -> Run:
    """Write a run of three questions."""
    manifest = new_manifest(
        "0" * 16, models={"planner": "grammar"}, prompts={}, seeds={}, annotation=None, counts={}
    )
    kinds = ("detector", "grounder", "video_model")
    run = Run.create(folder, {name: {"kind": "oracle"} for name in kinds}, manifest)
    with run.writer() as writer:
        writer.example(example("b", Outcome.WRONG))
        writer.example(example("a"))
        writer.example(example("c", Outcome.NO_RESPONSE, None))
    return run


@needs_inspect
@pytest.mark.parametrize("ending", ["eval", "json"])
def test_a_log_is_read_by_inspect(tmp_path: Path, ending: str) -> None:
    """Inspect reads a sample per question with letters, scores, calls and the accuracy over all of them."""
    from inspect_ai.log import read_eval_log

    run = made(tmp_path / "run")
    out = tmp_path / f"run.{ending}"
    assert write_inspect(run.examples().values(), run.manifest, out) == 3
    log = read_eval_log(str(out))
    assert (log.status, log.eval.model, log.eval.task) == ("success", "grammar", "star")
    assert log.results is not None
    assert log.results.scores[0].metrics["accuracy"].value == pytest.approx(1 / 3)
    assert log.samples is not None
    assert [sample.id for sample in log.samples] == ["a", "b", "c"]
    first = log.samples[0]
    assert (first.input, first.target, first.choices) == (WORDS, "B", ["The dish.", "The cup."])
    assert [s.scores["aotd"].value for s in log.samples if s.scores] == ["C", "I", "I"]
    assert [event.function for event in first.events if event.event == "tool"] == ["Find", "exist"]
    assert [m.role for m in first.messages] == ["user", "assistant", "tool", "tool", "assistant"]
    assert first.messages[-1].text == "A cup is seen."


@needs_inspect
def test_a_log_of_another_ending_is_refused(tmp_path: Path) -> None:
    """The ending decides the format, so another one is told."""
    run = made(tmp_path / "run")
    with pytest.raises(UsageError, match=r"ends in \.eval or \.json"):
        write_for_viewer(run, "inspect", tmp_path / "log.txt", None, None)


@needs_rerun
def test_a_recording_of_a_run_is_of_one_question(tmp_path: Path) -> None:
    """Without a question the mend is told; without videos the recording says that it has no frames."""
    run = made(tmp_path / "run")
    with pytest.raises(UsageError, match="give --question ID"):
        write_for_viewer(run, "rerun", tmp_path / "q.rrd", None, None)
    told = write_for_viewer(run, "rerun", tmp_path / "q.rrd", "a", None)
    assert told[0].startswith("no frames: the run opened no videos")
    assert "/video/1_Find" in chunks(tmp_path / "q.rrd")


@pytest.mark.parametrize(("viewer", "module"), [("rerun", "rerun"), ("inspect", "inspect_ai")])
def test_without_the_library_the_extra_is_named(
    tmp_path: Path, viewer: Literal["rerun", "inspect"], module: str
) -> None:
    """Where a viewer's library is not installed, the command that installs it is told."""
    if find_spec(module) is not None:
        pytest.skip(f"{module} is installed")
    with pytest.raises(UsageError, match=rf"pip install 'aotd\[{viewer}\]'"):
        write_for_viewer(made(tmp_path / "run"), viewer, tmp_path / "out.eval", "a", None)
    assert not (tmp_path / "out.eval").exists()
