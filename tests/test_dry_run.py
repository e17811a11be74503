"""Whole runs with every model of its true class and made-up weights: plumbing, from pixels to rows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from aotd.traces.outcomes import Outcome
from aotd.traces.page import question_page
from aotd.traces.runs import Run
from aotd.world.build import write_world

pytest.importorskip("transformers")

SMALL = ("--fake-weights", "small")


def aotd(*words: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return subprocess.run(command(words), capture_output=True, text=True, env=environment())


def command(words: Sequence[str]) -> list[str]:
    """The command line of the package under test."""
    return [sys.executable, "-c", "from aotd.cli.main import main; main()", *words]


def environment() -> dict[str, str]:
    """Ours, without a way to the hub."""
    return {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "2"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A few rendered clips: their annotation and their videos."""
    folder = tmp_path_factory.mktemp("world")
    return write_world(folder, clips=2, seed=0), folder / "videos"


@pytest.mark.parametrize("preset", ["paper", "modern"])
def test_every_question_ends_in_an_outcome(preset: str, world: tuple[Path, Path], tmp_path: Path) -> None:
    """With made-up weights in every role but the planner's, each question is looked at and recorded."""
    annotations, videos = world
    words = [*SMALL, "planner.kind=grammar", "--limit", "3", "--out", str(tmp_path / "run")]
    ran = aotd("generate", "star", str(annotations), "--videos", str(videos), "--preset", preset, *words)
    assert ran.returncode == 0, ran.stderr
    assert "weights are made up" in ran.stderr
    run = Run.open(tmp_path / "run")
    examples = run.examples()
    assert len(examples) == 3
    assert {example.outcome for example in examples.values()} <= set(Outcome)
    assert not any(example.kept for example in examples.values())
    assert "Weights are made up" in question_page(next(iter(examples.values())))
    models = run.manifest.models
    for role in ("detector", "grounder", "video_model", "selector", "writer", "judge"):
        assert "random/" in str(models[role])
    assert {"owlv2", "video"} <= {call.model.split("/")[0] for call in run.calls()}


def test_a_model_that_writes_garbage_is_counted_as_no_program(
    world: tuple[Path, Path], tmp_path: Path
) -> None:
    """A planner with made-up weights writes nothing that could run; that is an outcome of its own."""
    annotations, videos = world
    words = [
        *SMALL,
        "text.planner.max_tokens=16",
        "repairs=0",
        "--limit",
        "2",
        "--out",
        str(tmp_path / "run"),
    ]
    ran = aotd("generate", "star", str(annotations), "--videos", str(videos), "--preset", "paper", *words)
    assert ran.returncode == 0, ran.stderr
    outcomes = {example.outcome for example in Run.open(tmp_path / "run").examples().values()}
    assert outcomes <= {Outcome.NO_RESPONSE, Outcome.TRUNCATED, Outcome.UNPARSEABLE}


def test_real_clips_go_through_and_a_killed_run_is_resumed(data: Path, tmp_path: Path) -> None:
    """A dozen real questions, killed on the way, end as in a run that was left alone."""
    star = data / "star"
    words = [
        *("generate", "star", str(star / "star_full_graphs.json"), "--videos", str(star)),
        *("--preset", "paper", *SMALL, "planner.kind=grammar", "--limit", "12"),
    ]
    killed = tmp_path / "killed"
    process = subprocess.Popen(
        command([*words, "--out", str(killed)]), env=environment(), stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 240
    while process.poll() is None and time.monotonic() < deadline and _lines(killed / "calls.jsonl") < 40:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL
    before = _lines(killed / "calls.jsonl")
    resumed = aotd("resume", str(killed))
    assert resumed.returncode == 0, resumed.stderr
    assert aotd(*words, "--out", str(tmp_path / "whole")).returncode == 0
    rows = [
        {name: example.canonical() for name, example in Run.open(folder).examples().items()}
        for folder in (killed, tmp_path / "whole")
    ]
    assert len(rows[0]) == 12
    assert rows[0] == rows[1]
    keys = [call.key for call in Run.open(killed).calls()]
    assert len(keys) == len(set(keys)) >= before - 1


def _lines(file: Path) -> int:
    return file.read_bytes().count(b"\n") if file.exists() else 0


def test_pixels_without_videos_are_refused(world: tuple[Path, Path], tmp_path: Path) -> None:
    """A preset whose models look at pixels says so when there are no videos, before any work."""
    ran = aotd("generate", "star", str(world[0]), "--preset", "paper", *SMALL, "--out", str(tmp_path / "run"))
    assert ran.returncode == 2
    assert "looks at pixels and there are no videos: give --videos DIR" in ran.stderr
    assert not (tmp_path / "run").exists()


def test_a_missing_checkpoint_is_refused_with_the_command_that_fetches_it(
    world: tuple[Path, Path], tmp_path: Path
) -> None:
    """Without the hub, a run names what is missing and how to get it, and does nothing."""
    words = ["--preset", "oracle", "oracle.future=false", "device=cpu", "detector.kind=owl"]
    words += ["detector.weights=nobody/has-this", "--out"]
    ran = aotd("generate", "star", str(world[0]), "--videos", str(world[1]), *words, str(tmp_path / "run"))
    assert ran.returncode == 2
    assert "aotd models fetch nobody/has-this" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_preset_that_does_not_fit_is_refused_by_the_ledger(
    world: tuple[Path, Path], tmp_path: Path
) -> None:
    """Models in a width that no memory holds are refused before anything is looked for or loaded."""
    words = [*("--preset", "paper", "device=cpu", "video_model.dtype=float32", "text.default.dtype=float32")]
    words += ["text.planner.dtype=float32", "--out", str(tmp_path / "run")]
    ran = aotd("generate", "star", str(world[0]), "--videos", str(world[1]), *words)
    if "free and the models on it take" not in ran.stderr:
        pytest.skip("this machine has the memory of a large one")
    assert ran.returncode == 2
    assert "LLaVA-NeXT-Video-7B-DPO-hf" in ran.stderr
