"""Replays: recorded programs run again from the journal, to the same traces, and what parts them is named."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aotd.tools.models import DetectRequest, FrameRef, ToolError
from aotd.tools.recorded import NOT_RECORDED, Journalled
from aotd.traces.records import Example
from aotd.traces.runs import ModelCall, Run
from aotd.world.build import write_annotation
from tests.conftest import Aotd

ENTRY = "def execute_command(video_clip, query, possible_answers):\n"

WITHOUT_MODELS = """
import socket, sys
def refuse(*_): raise OSError("no network in a replay")
socket.socket.connect = refuse
from aotd.cli.main import main
try:
    main()
finally:
    heavy = ("torch", "transformers", "openai", "open_clip", "vllm")
    print("loaded:", [m for m in heavy if m in sys.modules])
"""


def start(*words: object) -> tuple[int, str, str]:
    """Run a command in a process of its own, which then says what it loaded."""
    told = subprocess.run(
        [sys.executable, "-c", WITHOUT_MODELS, *map(str, words)], capture_output=True, text=True, timeout=200
    )
    return told.returncode, told.stdout, told.stderr


def program(*lines: str) -> str:
    """Write a program of these lines."""
    return ENTRY + "".join(f"    {line}\n" for line in lines)


PROGRAMS = {
    "right": program(
        'found = Query_Objs(video_clip, "object taken by the person", possible_answers)',
        "return found[0] if found else select_answer(query, {}, possible_answers)",
    ),
    "raises": program('seen = Find(video_clip, "cup")', "return [1][seen.num_frames + 1]"),
    "empty": program('return Video_query(trim(video_clip, start=3, end=3), "what?", possible_answers)'),
    "loops": program("while True:", "    pass", "return 1"),
    "refused": program("import os", "return 'a'"),
    "many": program("for n in range(99):", '    Count(video_clip, "cup")', "return 'a'"),
    "catches": program(
        "try:",
        "    return Video_caption(trim(video_clip, start=9, end=9))[0]",
        "except EmptyClip:",
        "    return possible_answers[1]",
    ),
}


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose programs end in all kinds of ways; its annotation is gone."""
    folder = tmp_path_factory.mktemp("odd")
    world = write_annotation(folder / "world", clips=1, seed=20)
    ids = [record["question_id"] for record in json.loads(world.read_text())]
    rows = [
        json.dumps({"question_id": key, "source": source})
        for key, source in zip(ids, PROGRAMS.values(), strict=False)
    ]
    (folder / "programs.jsonl").write_text("\n".join(rows))
    words = ["generate", "star", str(world), "--preset", "oracle", "--out", str(folder / "run")]
    words += ["--limit", str(len(PROGRAMS)), "planner.kind=recorded", f"planner.path={folder}/programs.jsonl"]
    words += ["sandbox.wall_seconds=2.0"]
    run_words(words)
    shutil.rmtree(folder / "world")
    (folder / "programs.jsonl").unlink()
    return folder / "run"


def run_words(words: list[str]) -> None:
    """Run a command that must succeed."""
    code = "from aotd.cli.main import main; main()"
    subprocess.run([sys.executable, "-c", code, *words], check=True, capture_output=True, timeout=200)


def examples(run: Path) -> dict[str, Example]:
    """Read the examples of a run."""
    return Run.open(run).examples()


def copied(run: Path, folder: Path) -> Path:
    """Copy a run, to be tampered with."""
    shutil.copytree(run, folder / "copy")
    for path in (folder / "copy").glob("calls.sqlite*"):
        path.unlink()
    return folder / "copy"


def rewrite(path: Path, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> None:
    """Change the rows of a journal; None leaves one out."""
    header, *lines = path.read_text().splitlines()
    rows = [row for line in lines if (row := change(json.loads(line))) is not None]
    path.write_text("\n".join([header, *map(json.dumps, rows)]) + "\n")


@pytest.mark.parametrize(("name", "count"), [("star_full_graphs", 76), ("star_thinned_graphs", 12)])
def test_whole_runs_replay_to_identical_traces_without_models(
    data: Path, tmp_path: Path, name: str, count: int
) -> None:
    """STAR's questions replay with neither model, video, annotation nor network, and no trace differs."""
    (tmp_path / "star/classes").mkdir(parents=True)
    annotation = Path(shutil.copy(data / f"star/{name}.json", tmp_path / "star"))
    shutil.copy(data / "star/classes/video_fps.json", tmp_path / "star/classes")
    run_words(["generate", "star", str(annotation), "--preset", "oracle", "--out", str(tmp_path / "run")])
    shutil.rmtree(tmp_path / "star")
    code, out, _ = start("replay", tmp_path / "run")
    assert f"{count} questions, {count} programs replayed: all identical" in out
    assert "taken from traces" not in out
    assert "loaded: []" in out
    assert code == 0


def test_programs_of_every_end_replay_identically(aotd: Aotd, odd: Path) -> None:
    """Returned, raised, refused, caught, timed out, out of budget: all come out as they were recorded."""
    ends = [example.outcome.value for example in examples(odd).values()]
    assert len(set(ends)) >= 5, ends
    code, out, _ = aotd("replay", odd)
    assert f"{len(PROGRAMS)} questions, {len(PROGRAMS)} programs replayed: all identical" in out
    assert code == 0


def first(run: Path, name: str) -> str:
    """Give the id of the question whose program has this name."""
    return next(key for key, e in examples(run).items() if e.program == PROGRAMS[name])


def test_another_program_is_told_by_the_call_where_it_parts(aotd: Aotd, odd: Path, tmp_path: Path) -> None:
    """A changed call is named with what it was; lines that move without a change of calls are none."""
    question = first(odd, "right")
    other = tmp_path / "other.py"
    other.write_text("\n" + PROGRAMS["right"])
    code, out, _ = aotd("replay", odd, question, "--program", other)
    assert (code, "all identical" in out) == (0, True)
    other.write_text(
        PROGRAMS["right"].replace("Query_Objs(video_clip, ", "Query_Objs(trim(video_clip, end=9), ")
    )
    code, out, _ = aotd("replay", odd, question, "--program", other)
    assert code == 1
    assert f"{question}: first divergence at attempt 1, call 1 (trim, line 2)" in out
    assert '  was  Query_Objs(clip=clip0, query="object taken by the person"' in out
    assert "  now  trim(clip=clip0, end=9)" in out
    other.write_text(program("return 'The cup.'"))
    code, out, _ = aotd("replay", odd, question, "--program", other)
    assert (code, "  now  no such call" in out) == (1, True)
    lines = PROGRAMS["right"].replace("return found[0]", "return 'The moon.'")
    other.write_text(lines)
    code, out, _ = aotd("replay", odd, question, "--program", other)
    assert (code, "first divergence at attempt 1, answer" in out) == (1, True)


def test_a_changed_answer_in_the_journal_is_named(aotd: Aotd, odd: Path, tmp_path: Path) -> None:
    """Another model answer shows at the call that rests on it, and only there."""
    run, question = copied(odd, tmp_path), first(odd, "right")

    def change(row: dict[str, Any]) -> dict[str, Any]:
        if row["model"].startswith(f"oracle/video/{question}/"):
            row["answer"]["texts"] = ["The moon."]
        return row

    rewrite(run / "calls.jsonl", change)
    code, out, _ = aotd("replay", run)
    assert code == 1
    assert f"{question}: first divergence at attempt 1, call 1 (Query_Objs, line 2)" in out
    assert '\u2192 ["The moon."]' in out
    assert "replayed: 1 diverge" in out


def test_what_the_journal_lacks_is_taken_from_the_trace_and_counted(
    aotd: Aotd, odd: Path, tmp_path: Path
) -> None:
    """A journal that lost rows still replays, and the summary says how much of it rests on traces."""
    run, question = copied(odd, tmp_path), first(odd, "right")
    lost = f"oracle/video/{question}/"
    rewrite(run / "calls.jsonl", lambda row: None if row["model"].startswith(lost) else row)
    code, out, _ = aotd("replay", run, question)
    assert code == 0
    assert "1 taken from traces because the journal cannot answer them" in out


def test_changed_prompts_are_named(aotd: Aotd, odd: Path, tmp_path: Path) -> None:
    """A run whose prompts were others is not called identical, and the prompt is named."""
    run = copied(odd, tmp_path)
    was = "0" * 64

    def change(row: dict[str, Any]) -> dict[str, Any]:
        row["provenance"]["prompts"] = {"planner/question": was}
        return row

    rewrite(run / "examples.jsonl", change)
    code, out, _ = aotd("replay", run)
    assert code == 1
    assert "first divergence at prompt planner/question" in out
    assert f"  was  {was[:12]}" in out


def test_what_cannot_be_replayed_is_one_line(aotd: Aotd, odd: Path, tmp_path: Path) -> None:
    """No such run, question or journal, and options that do not fit: each is one line with the mend."""
    run = copied(odd, tmp_path)
    (run / "calls.jsonl").unlink()
    cases = {
        (run,): "calls.jsonl: cannot be read",
        (tmp_path / "no",): "give the folder of a run",
        (odd, "Nothing_T1_1"): "no example of question 'Nothing_T1_1'",
        (odd, "--program", run / "config.yaml"): "give its QUESTION_ID",
        (odd, first(odd, "right"), "--program", tmp_path / "no.py"): "no.py: No such file",
        (odd, first(odd, "refused"), "--program", run / "config.yaml"): "has no trace to replay",
    }
    for words, told in cases.items():
        code, _, err = aotd("replay", *words)
        assert (code, told in err, "Traceback" in err) == (2, True, False), err


def answered(key: str, answer: object, *, error: bool = False) -> ModelCall:
    """Give a row of a journal for one request."""
    return ModelCall.model_validate(
        {
            "key": key,
            "model": "owl",
            "request": {"frame": {"video": "v", "index": 3}, "names": ["cup"]},
            "answer": None if error else answer,
            "error": answer if error else None,
        }
    )


ASKED = DetectRequest(frame=FrameRef(video="v", index=3), names=("cup",))
FAILED = {"kind": "bad", "message": "no", "retryable": False}


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ([answered("k", [])], b"[]"),
        ([answered("k", []), answered("k", [1])], b"[1]"),
        ([answered("k", [1]), answered("k", FAILED, error=True)], b"[1]"),
        ([answered("k", FAILED, error=True), answered("k", [1])], b"[1]"),
        ([answered("k", [1]), answered("l", [1])], b"[1]"),
        ([answered("k", [1]), answered("l", [2])], None),
        ([answered("k", [1]), answered("l", [2]), answered("k", [1])], None),
        ([], None),
    ],
)
def test_the_journal_gives_the_last_answer_of_a_request_and_none_that_was_drawn(
    rows: list[ModelCall], found: bytes | None
) -> None:
    """Later answers of a key win, errors of later tries do not; keys that answer otherwise give none."""
    given = Journalled(rows).find("owl", ASKED)
    if found is None:
        assert isinstance(given, ToolError)
        assert given.kind == NOT_RECORDED
    else:
        assert given == found


def test_a_recorded_error_is_found() -> None:
    """A request that only ever failed fails again."""
    given = Journalled([answered("k", FAILED, error=True)]).find("owl", ASKED)
    assert isinstance(given, bytes)
    assert json.loads(given) == FAILED


def test_oracles_answer_for_their_own_question_only() -> None:
    """An oracle's answer is found by its question, whatever its annotation was called."""
    row = answered("k", []).model_copy(update={"model": f"oracle/detector/a/b/{'0' * 16}/future"})
    assert Journalled([row]).find("oracle/detector/a/b", ASKED) == b"[]"
    assert isinstance(Journalled([row]).find("oracle/detector/a", ASKED), ToolError)
