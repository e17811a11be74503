"""One question from nothing: what is told live, what is saved, and how it fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aotd.traces.records import Example
from aotd.traces.runs import Run
from aotd.world.build import write_world
from tests.conftest import Aotd


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal so wide that no line is broken."""
    monkeypatch.setenv("COLUMNS", "300")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Annotation of two rendered episodes of the household world."""
    return write_world(tmp_path_factory.mktemp("world"), clips=2)


def record(world: Path, question_id: str) -> dict[str, Any]:
    """Give a record of the annotation."""
    records: list[dict[str, Any]] = json.loads(world.read_text())
    return next(r for r in records if r["question_id"] == question_id)


def clip(world: Path, question_id: str) -> Path:
    """Give the video of a record."""
    return world.parent / "videos" / f"{record(world, question_id)['video_id']}.mp4"


def other_clip(world: Path, question_id: str) -> Path:
    """Give a video that a record is not about."""
    own = clip(world, question_id)
    return next(path for path in sorted(own.parent.glob("*.mp4")) if path != own)


def only(folder: Path) -> Example:
    """Give the one example of a run."""
    (example,) = Run.open(folder).examples().values()
    return example


def test_a_question_of_the_annotation_is_answered_as_a_whole_run_answers_it(
    aotd: Aotd, world: Path, tmp_path: Path
) -> None:
    """Found by its video and words, the question gives the very trace that `generate` gives it."""
    question_id = "Sequence_T3_1"
    asked = record(world, question_id)
    words = ["--annotations", world, "--preset", "oracle", "--out", tmp_path / "asked"]
    code, out, _ = aotd("ask", clip(world, question_id), asked["question"], *words)
    assert code == 0
    whole = ["generate", "star", world, "--videos", clip(world, question_id).parent, "--preset", "oracle"]
    assert aotd(*whole, "--out", tmp_path / "whole")[0] == 0
    example = only(tmp_path / "asked")
    assert example.canonical() | {"provenance": None} == Run.open(tmp_path / "whole").example(
        question_id
    ).canonical() | {"provenance": None}
    assert f"saved to {tmp_path / 'asked'}" in out
    assert aotd("replay", tmp_path / "asked")[0] == 0


def test_the_program_comes_first_then_each_call_then_the_answer(
    aotd: Aotd, world: Path, tmp_path: Path
) -> None:
    """What is told is in the order in which it happens, calls computed in the sandbox among them."""
    asked = record(world, "Sequence_T3_1")
    words = ["--annotations", world, "--preset", "oracle", "--out", tmp_path / "run"]
    _, out, _ = aotd("ask", clip(world, "Sequence_T3_1"), asked["question"], *words)
    trace = only(tmp_path / "run").trace
    assert trace is not None
    assert any(call.local for call in trace.calls)
    lines = [line.strip() for line in out.splitlines()]
    places = [lines.index("Program"), lines.index("Calls")]
    for call in trace.calls:
        told = [n for n, line in enumerate(lines) if line.startswith(f"{call.number} {call.function}(")]
        assert len(told) == 1
        places += told
    places.append(next(n for n, line in enumerate(lines) if line.startswith("Answer")))
    places.append(next(n for n, line in enumerate(lines) if line.startswith("Outcome")))
    assert places == sorted(places)
    assert "right: answered" in out


def test_own_words_go_with_the_annotation_of_a_record(aotd: Aotd, world: Path, tmp_path: Path) -> None:
    """With an id the question may be another one: options and answer are then its own."""
    words = ["--annotations", world, "--question-id", "Interaction_T1_1", "--preset", "oracle"]
    options = ["--option", "The moon.", "--option", "The shoe.", "--answer", "The shoe."]
    video = clip(world, "Interaction_T1_1")
    code, _, _ = aotd("ask", video, "What did the person throw?", *words, *options, "--out", tmp_path / "run")
    example = only(tmp_path / "run")
    assert code == 0
    assert example.question.id == "Interaction_T1_1"
    assert example.question.text == "What did the person throw?"
    assert (example.question.options, example.question.template) == (("The moon.", "The shoe."), None)
    assert example.outcome.value == "right"
    code, _, _ = aotd("ask", video, "What did the person throw?", *words, "--out", tmp_path / "open")
    assert (code, only(tmp_path / "open").question.options) == (0, None)


def test_any_video_is_asked_with_made_up_weights_and_the_answer_is_labelled(
    aotd: Aotd, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No annotation, no weights, a part of the file: all runs, says that it means nothing, and replays."""
    pytest.importorskip("transformers")
    monkeypatch.chdir(tmp_path)
    words = ["--preset", "paper", "--fake-weights", "small", "planner.kind=grammar", "--start", 1, "--end", 3]
    options = ["--option", "The cup.", "--option", "The book."]
    video = clip(world, "Interaction_T1_1")
    code, out, err = aotd("ask", video, "What is the person holding?", *options, *words)
    assert code == 0, err
    assert "weights are made up" in err
    example = only(Path("ask-1"))
    assert example.question.span == (1.0, 3.0)
    assert example.trace is not None
    assert example.trace.video.found_as == "video"
    assert "random/" in example.provenance.models["detector"]
    assert "Outcome" in out
    code, out, _ = aotd("replay", "ask-1")
    assert (code, "all identical" in out) == (0, True)


def test_folders_are_numbered_and_none_is_overwritten(
    aotd: Aotd, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --out each question gets its own folder; one that holds something is refused at once."""
    monkeypatch.chdir(tmp_path)
    video, asked = clip(world, "Interaction_T1_1"), record(world, "Interaction_T1_1")["question"]
    words = ("ask", video, asked, "--annotations", world, "--preset", "oracle")
    for _ in range(2):
        assert aotd(*words)[0] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ask-1", "ask-2"]
    code, out, err = aotd(*words, "--out", "ask-2")
    assert (code, out) == (2, "")
    assert "ask-2 is there already: give --out a new folder" in err


def test_a_question_asked_by_hand_is_not_gone_on_with(aotd: Aotd, world: Path, tmp_path: Path) -> None:
    """A run of one asked question cannot be resumed into a run of the whole annotation."""
    video, asked = clip(world, "Interaction_T1_1"), record(world, "Interaction_T1_1")["question"]
    aotd("ask", video, asked, "--annotations", world, "--preset", "oracle", "--out", tmp_path / "run")
    assert aotd("resume", tmp_path / "run")[0] == 2
    assert len(Run.open(tmp_path / "run").examples()) == 1


FAKE = ("--preset", "paper", "--fake-weights", "small", "planner.kind=grammar")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("no.mp4", "What?", "--preset", "oracle"), "no.mp4: no such video file"),
        (("broken.mp4", "What?", *FAKE), "broken.mp4: "),
        (("film.txt", "What?", *FAKE), "videos have one of these endings: .mp4"),
        (("VIDEO", "What?"), "no settings: give --preset"),
        (
            ("VIDEO", "What?", "--preset", "oracle"),
            "give --annotations FILE, or models that look at the video",
        ),
        (("VIDEO", " ", "--preset", "oracle"), "the question is empty"),
        (("VIDEO", "What?", "--option", "a", *FAKE), "one --option is no choice"),
        (("VIDEO", "What?", "--option", "a", "--option", "b", "--answer", "c", *FAKE), "'c' is none of"),
        (("VIDEO", "What?", "--start", "1", *FAKE), "give --start and --end"),
        (("VIDEO", "What?", "--start", "3", "--end", "1", *FAKE), "the end after the start"),
        (("VIDEO", "What?", "--question-id", "x", *FAKE), "names a record of --annotations FILE"),
        (("VIDEO", "What?", "--annotations", "STAR", "--question-id", "x", *FAKE), "has no question x"),
        (("VIDEO", "Why so?", "--annotations", "STAR", *FAKE), "asks this: ask as one of them does"),
        (("broken.mp4", "What?", "--annotations", "STAR", *FAKE), "has no record whose video is"),
        (
            ("OTHER", "What?", "--annotations", "STAR", "--question-id", "Interaction_T1_1", *FAKE),
            "is not the video of Interaction_T1_1",
        ),
    ],
)
def test_what_cannot_be_asked_is_one_line(
    aotd: Aotd,
    world: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    told: str,
) -> None:
    """Files, options and records that are missing or do not fit are one line each, and nothing is saved."""
    monkeypatch.chdir(tmp_path)
    Path("broken.mp4").write_bytes(b"no video at all")
    Path("film.txt").write_text("a film")
    places = {
        "VIDEO": str(clip(world, "Interaction_T1_1")),
        "OTHER": str(other_clip(world, "Interaction_T1_1")),
        "STAR": str(world),
    }
    code, _, err = aotd("ask", *(places.get(word, word) for word in words))
    assert code == 2
    assert told in err.strip().splitlines()[-1]
    assert "Traceback" not in err
    assert not list(tmp_path.glob("ask-*"))


def test_terminal_escapes_of_programs_and_files_are_not_obeyed(
    aotd: Aotd, world: Path, tmp_path: Path
) -> None:
    """A program with control characters in its words is shown with them written out."""
    source = "def execute_command(video_clip, query, possible_answers):\n    return 'a\x1b[2Jb\u202ec'\n"
    row = {"question_id": "Interaction_T1_1", "source": source}
    (tmp_path / "programs.jsonl").write_text(json.dumps(row))
    video, asked = clip(world, "Interaction_T1_1"), record(world, "Interaction_T1_1")["question"]
    words = ["--annotations", world, "--preset", "oracle", "--out", tmp_path / "run"]
    words += ["planner.kind=recorded", f"planner.path={tmp_path / 'programs.jsonl'}"]
    _, out, _ = aotd("ask", video, asked, *words)
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "\\x1b[2Jb\\u202ec" in out
