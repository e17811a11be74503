"""The commands as a person uses them: what they print, how they fail, what they leave behind."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aotd.traces.records import SCHEMA_VERSION
from aotd.traces.runs import Run
from aotd.world.build import write_annotation, write_world
from tests.conftest import Aotd


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Annotation of six episodes of the household world."""
    return write_annotation(tmp_path_factory.mktemp("world"), clips=6)


def one_line(err: str) -> str:
    """Return the last line of standard error, which tells the fault, without a traceback above it."""
    assert "Traceback" not in err
    return err.strip().splitlines()[-1]


def canonical(folder: Path) -> list[dict[str, Any]]:
    """Canonical rows of a run, by question id."""
    examples = Run.open(folder).examples()
    return [examples[key].canonical() for key in sorted(examples)]


def test_generate_report_show_export(aotd: Aotd, world: Path, tmp_path: Path) -> None:
    """The main job on the household world: every question right, reported, shown and exported."""
    run = tmp_path / "run"
    code, out, _ = aotd("generate", "star", world, "--preset", "oracle", "--out", run)
    assert code == 0
    assert "right" in out
    code, out, _ = aotd("report", run, "--json")
    counted = json.loads(out)
    total = len(json.loads(world.read_text()))
    assert {
        "questions",
        "outcomes",
        "right",
        "accuracy_all",
        "accuracy_answered",
        "funnel",
        "by_type",
        "calls",
    } <= set(counted)
    assert (counted["questions"], counted["right"], counted["accuracy_all"]) == (total, total, 1.0)
    assert sum(counted["outcomes"].values()) == total
    question = json.loads(world.read_text())[0]
    code, out, _ = aotd("show", run, question["question_id"])
    assert code == 0
    assert "execute_command" in out
    assert question["answer"] in out
    code, out, _ = aotd("show", run, question["question_id"], "--text")
    assert "program output:" in out
    code, out, _ = aotd("export", run, "--format", "aotd", "--out", tmp_path / "train.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "train.jsonl").read_text().splitlines()]
    assert len(rows) == total + counted["funnel"]["kept"]
    assert all(set(row) == {"video_path", "conversation"} for row in rows)


def test_resume_does_only_what_is_left(aotd: Aotd, world: Path, tmp_path: Path) -> None:
    """A run cut off after some questions is completed by resume, to the same rows as an uncut run."""
    whole, part = tmp_path / "whole", tmp_path / "part"
    for run in (whole, part):
        assert aotd("generate", "star", world, "--preset", "oracle", "--out", run)[0] == 0
    rows = (part / "examples.jsonl").read_bytes().splitlines(keepends=True)
    (part / "examples.jsonl").write_bytes(b"".join(rows[:9]) + rows[9][:40])
    assert aotd("resume", part)[0] == 0
    assert canonical(part) == canonical(whole)
    assert len((part / "examples.jsonl").read_bytes().splitlines()) == len(rows)
    assert aotd("resume", part, "--retry", "scored")[0] == 0
    assert canonical(part) == canonical(whole)


def test_videos_are_found_counted_and_digested_even_under_oracles(aotd: Aotd, tmp_path: Path) -> None:
    """With a video folder each record tells its file; a missing and a broken one end their questions only."""
    annotations = write_world(tmp_path / "w", clips=3)
    videos = sorted((tmp_path / "w" / "videos").iterdir())
    videos[0].unlink()
    videos[1].write_bytes(b"not a video")
    run = tmp_path / "run"
    code, _, _ = aotd(
        "generate", "star", annotations, "--videos", tmp_path / "w/videos", "--preset", "oracle", "--out", run
    )
    assert code == 0
    outcome = {e.question.video_id: (e.outcome.value, e) for e in Run.open(run).examples().values()}
    assert outcome[videos[0].stem][0] == "missing-video"
    assert outcome[videos[1].stem][0] == "unreadable-video"
    state, example = outcome[videos[2].stem]
    assert state == "right"
    assert example.trace is not None
    video = example.trace.video
    assert (video.path, video.found_as, video.width, video.height, video.fps) == (
        videos[2].name,
        "video",
        240,
        180,
        10.0,
    )
    assert len(video.digest) == 64


def broken(world: Path, folder: Path, change: Callable[[list[dict[str, Any]]], None]) -> Path:
    """Copy the annotation with a fault in it."""
    records = json.loads(world.read_text())
    change(records)
    copy = folder / "star.json"
    copy.write_text(json.dumps(records))
    (folder / "video_fps.json").write_bytes((world.parent / "video_fps.json").read_bytes())
    return copy


def test_a_missing_annotation_file_is_named(aotd: Aotd, tmp_path: Path) -> None:
    """A file that is not there is told in one line, and no run folder is made."""
    code, _, err = aotd(
        "generate", "star", tmp_path / "no.json", "--preset", "oracle", "--out", tmp_path / "run"
    )
    assert code == 2
    assert str(tmp_path / "no.json") in one_line(err)
    assert not (tmp_path / "run").exists()


def test_a_wrong_schema_names_record_and_field(aotd: Aotd, world: Path, tmp_path: Path) -> None:
    """A record without its choices is told by id and field."""
    copy = broken(world, tmp_path, lambda records: records[3].pop("choices"))
    code, _, err = aotd("generate", "star", copy, "--preset", "oracle", "--out", tmp_path / "run")
    assert code == 2
    assert json.loads(copy.read_text())[3]["question_id"] in one_line(err)
    assert "choices" in one_line(err)


def test_a_duplicate_id_names_both_records(aotd: Aotd, world: Path, tmp_path: Path) -> None:
    """Two records of one id are an error that says where both stand."""
    copy = broken(world, tmp_path, lambda records: records.append(records[2]))
    count = len(json.loads(copy.read_text()))
    code, _, err = aotd("generate", "star", copy, "--preset", "oracle", "--out", tmp_path / "run")
    assert code == 2
    line = one_line(err)
    assert json.loads(copy.read_text())[2]["question_id"] in line
    assert {"3", str(count)} <= set(line.replace(",", " ").replace(":", " ").split())


def test_missing_fps_names_the_option(aotd: Aotd, world: Path, tmp_path: Path) -> None:
    """Without frame rates and without videos the error names --fps."""
    copy = tmp_path / "star.json"
    copy.write_bytes(world.read_bytes())
    code, _, err = aotd("generate", "star", copy, "--preset", "oracle", "--out", tmp_path / "run")
    assert code == 2
    assert "--fps FILE" in one_line(err)
    code, *_ = aotd(
        "generate",
        "star",
        copy,
        "--preset",
        "oracle",
        "--fps",
        world.parent / "video_fps.json",
        "--out",
        tmp_path / "run",
    )
    assert code == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["--preset", "orcale"],
            "unknown preset 'orcale': the presets are demo, modern, oracle, paper, served",
        ),
        ([], "--preset"),
        (["--preset", "oracle", "orcale.future=false"], "unknown setting orcale: did you mean oracle?"),
        (["--preset", "oracle", "oracle.past=false"], "unknown setting oracle.past: known here: future"),
        (
            ["--preset", "oracle", "planner.kind=gpt"],
            "planner.kind='gpt': input should be 'grammar', 'recorded' or 'llm'",
        ),
        (["--preset", "oracle", "planner.kind=recorded"], "planner.path=FILE"),
        (["--preset", "oracle", "planner.kind=recorded", "planner.path=/no.jsonl"], "/no.jsonl"),
        (["--preset", "oracle", "nonsense"], "'nonsense' is not a setting"),
        (["--preset", "oracle", "sandbox.calls=many"], "sandbox.calls='many'"),
        (
            ["--preset", "oracle", "--videos", "/no/such/folder"],
            "video folder /no/such/folder does not exist",
        ),
        (["--preset", "oracle", "--config", "/no.yaml"], "cannot read config /no.yaml"),
    ],
)
def test_wrong_settings_are_told_with_the_mend(
    aotd: Aotd, world: Path, tmp_path: Path, words: list[str], told: str
) -> None:
    """Each wrong option or setting is one line that names it, and nothing is written."""
    code, _, err = aotd("generate", "star", world, "--out", tmp_path / "run", *words)
    assert code == 2
    assert told in one_line(err)
    assert not (tmp_path / "run").exists()


def test_an_unknown_dataset_and_a_csv_without_graphs_are_refused(
    aotd: Aotd, world: Path, tmp_path: Path
) -> None:
    """A data set is named from the known ones, and oracles need situation graphs."""
    code, _, err = aotd("generate", "stars", world, "--preset", "oracle", "--out", tmp_path / "run")
    assert (code, one_line(err)) == (2, "aotd: unknown dataset 'stars': the datasets are star, nextqa")
    table = tmp_path / "qa.csv"
    table.write_text(
        ",video_name,question,answer_number,question_id,question_type,a0,a1,a2,a3,answer\n"
        "1,AAAAA_0.0_4.0,What will the person do next?,0,Prediction_T1_1,Prediction_T1,a,b,c,d,a\n"
    )
    code, _, err = aotd("generate", "star", table, "--preset", "oracle", "--out", tmp_path / "run")
    assert code == 2
    assert "situation graph" in one_line(err)


def test_run_folders_are_not_overwritten_and_versions_are_checked(
    aotd: Aotd, world: Path, tmp_path: Path
) -> None:
    """A folder that holds a run is resumed, not overwritten; a run of another schema is refused."""
    run = tmp_path / "run"
    assert aotd("generate", "star", world, "--preset", "oracle", "--out", run, "--limit", 1)[0] == 0
    code, _, err = aotd("generate", "star", world, "--preset", "oracle", "--out", run)
    assert (code, "aotd resume" in one_line(err)) == (2, True)
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["schema_version"] = SCHEMA_VERSION + 1
    (run / "manifest.json").write_text(json.dumps(manifest))
    for command in (["report", run], ["resume", run], ["show", run, "x"]):
        code, _, err = aotd(*command)
        assert code == 2
        assert f"version {SCHEMA_VERSION + 1}" in one_line(err)


def test_unknown_questions_runs_and_outcomes_are_told(aotd: Aotd, world: Path, tmp_path: Path) -> None:
    """Looking for what is not there names what is."""
    run = tmp_path / "run"
    assert aotd("generate", "star", world, "--preset", "oracle", "--out", run, "--limit", 2)[0] == 0
    first = next(iter(Run.open(run).examples()))
    code, _, err = aotd("show", run, first + "0")
    assert (code, f"did you mean {first}" in one_line(err)) == (2, True)
    assert aotd("report", tmp_path / "nothing")[0] == 2
    code, _, err = aotd("resume", run, "--retry", "sadness")
    assert (code, "sadness" in one_line(err)) == (2, True)


def test_changed_annotation_stops_a_resume(aotd: Aotd, world: Path, tmp_path: Path) -> None:
    """A run goes on only with the annotation that it began with."""
    copy = broken(world, tmp_path, lambda _: None)
    assert (
        aotd("generate", "star", copy, "--preset", "oracle", "--out", tmp_path / "run", "--limit", 1)[0] == 0
    )
    copy.write_text(copy.read_text() + " ")
    code, _, err = aotd("resume", tmp_path / "run")
    assert (code, "has changed" in one_line(err)) == (2, True)


def test_plan_writes_programs_that_a_recorded_planner_reads(aotd: Aotd, world: Path, tmp_path: Path) -> None:
    """Planning apart and running the recorded programs gives what planning and running at once gives."""
    programs = tmp_path / "programs.jsonl"
    code, out, _ = aotd("plan", "star", world, "--out", programs)
    rows = [json.loads(line) for line in programs.read_text().splitlines()]
    assert (code, all(row["ok"] for row in rows)) == (0, True)
    assert f"{len(rows)} of {len(rows)} programs pass" in out
    once, twice = tmp_path / "once", tmp_path / "twice"
    assert aotd("generate", "star", world, "--preset", "oracle", "--out", once)[0] == 0
    recorded = ["planner.kind=recorded", f"planner.path={programs}"]
    assert aotd("generate", "star", world, "--preset", "oracle", "--out", twice, *recorded)[0] == 0
    outcomes = [{k: e.outcome for k, e in Run.open(run).examples().items()} for run in (once, twice)]
    assert outcomes[0] == outcomes[1]


def test_schema_and_prompt_are_printed(aotd: Aotd) -> None:
    """The reference commands print JSON Schema and the planner's prompt."""
    assert set(json.loads(aotd("schema")[1])) == {"examples", "calls", "manifest"}
    assert (
        "Filter_frames_with_act(clip: Clip, action: str | list[str]) -> Clip" in aotd("prompt", "planner")[1]
    )


def test_demo_runs_the_main_job_and_spares_other_folders(aotd: Aotd, tmp_path: Path) -> None:
    """The demo renders, answers, exports and shows; it replaces its own folder and no other."""
    words = ("--preset", "oracle", "--out", tmp_path / "demo", "--clips", 2)
    code, out, _ = aotd("demo", *words)
    assert code == 0
    assert "execute_command" in out
    assert (tmp_path / "demo/aotd.jsonl").stat().st_size > 0
    assert (tmp_path / "demo/world/sheet.png").read_bytes().startswith(b"\x89PNG")
    assert aotd("demo", *words)[0] == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.tex").touch()
    code, _, err = aotd("demo", "--out", tmp_path / "mine")
    assert (code, "other files" in one_line(err)) == (2, True)
    assert (tmp_path / "mine/thesis.tex").exists()


def start(*words: object) -> subprocess.Popen[bytes]:
    """Start a command as a process of its own."""
    command = [sys.executable, "-c", "from aotd.cli.main import main; main()", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def lines(path: Path) -> int:
    """Count the lines of a file that may not be there yet."""
    return len(path.read_bytes().splitlines()) if path.exists() else 0


def wait_for(process: subprocess.Popen[bytes], path: Path, count: int) -> None:
    """Wait until a file has so many lines, or the process has ended."""
    limit = time.monotonic() + 60
    while lines(path) < count and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.005)


def test_a_killed_run_resumes_to_the_same_rows(aotd: Aotd, tmp_path: Path) -> None:
    """SIGKILL at random points, then resume: equal canonical rows, no question lost or doubled."""
    annotations = write_annotation(tmp_path, clips=16)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert aotd("generate", "star", annotations, "--preset", "oracle", "--out", whole)[0] == 0
    total, dice = lines(whole / "examples.jsonl") - 1, random.Random(3)
    process = start("generate", "star", annotations, "--preset", "oracle", "--out", killed)
    for part in (0.2, 0.5, 0.8):
        wait_for(process, killed / "examples.jsonl", round(total * part) + dice.randint(0, 9))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert process.stderr is not None
        process.stderr.close()
        process = start("resume", killed)
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert canonical(killed) == canonical(whole)
    assert lines(killed / "examples.jsonl") - 1 == total


def test_an_interrupt_finishes_what_is_in_flight_and_says_how_to_go_on(tmp_path: Path) -> None:
    """Ctrl-C ends a run cleanly with exit code 130, whole rows, and the command that goes on."""
    annotations = write_annotation(tmp_path, clips=16)
    run = tmp_path / "run"
    process = start("generate", "star", annotations, "--preset", "oracle", "--out", run)
    wait_for(process, run / "examples.jsonl", 3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"aotd resume" in err
    assert 0 < len(Run.open(run).examples()) < len(json.loads(annotations.read_text()))


def test_a_full_disk_stops_a_run_that_can_be_resumed(aotd: Aotd, tmp_path: Path) -> None:
    """Without room for a row a run ends with exit code 75 and one line; with room again it is completed."""
    annotations = write_annotation(tmp_path, clips=3)
    run = tmp_path / "run"
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY));"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); from aotd.cli.main import main; main()"
    )
    words = ["generate", "star", str(annotations), "--preset", "oracle", "--out", str(run)]
    told = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert told.returncode == 75
    assert "cannot be written: File too large; whole lines are kept" in one_line(told.stderr)
    assert aotd("resume", run)[0] == 0
    assert len(Run.open(run).examples()) == len(json.loads(annotations.read_text()))
