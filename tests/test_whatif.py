"""Suppositions: one result or the program changed, and what comes of it; the user's page with its example."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import JsonValue

from aotd.agent.whatif import with_line, with_result
from aotd.traces.records import Call, Clip, Trace, Video
from aotd.traces.runs import Run
from aotd.world.build import write_annotation
from tests.conftest import Aotd

PAGE = Path(__file__).resolve().parents[1] / "docs" / "replay.md"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on one episode of the household world; oracles see no future, so some questions abstain."""
    folder = tmp_path_factory.mktemp("made")
    world = write_annotation(folder / "world", clips=1, seed=27)
    words = ["generate", "star", str(world), "--preset", "oracle", "--out", str(folder / "run")]
    code = "from aotd.cli.main import main; main()"
    command = [sys.executable, "-c", code, *words, "oracle.future=false"]
    subprocess.run(command, check=True, capture_output=True, timeout=200)
    return folder / "run"


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A copy of the run."""
    return Path(shutil.copytree(made, tmp_path / "run"))


def test_the_worked_example_of_the_page_comes_out_as_it_says(
    aotd: Aotd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each command of the example prints the lines that the page shows; a wrong answer turns right."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    example = PAGE.read_text(encoding="utf-8").split("## A worked example")[1].split("\n## ")[0]
    told, checked = "", 0
    for kind, block in re.findall(r"```(\w+)\n(.*?)```", example, re.DOTALL):
        if kind == "python":
            Path("in_sight.py").write_text(block)
        elif kind == "sh":
            told = ""
            for line in block.splitlines():
                code, out, err = aotd(*shlex.split(line)[1:])
                assert code == 0, err
                told += out
        else:
            for part in block.split("...\n"):
                assert " ".join(part.split()) in " ".join(told.split()), told
                checked += 1
    assert checked >= 8
    assert Run.open(Path("wrong")).example("Feasibility_T1_1").outcome.value == "wrong"
    mended = Run.open(Path("mended")).example("Feasibility_T1_1")
    assert (mended.outcome.value, mended.kept) == ("right", False)
    assert mended.dropped == "what if: another line 3"


def test_a_result_that_stays_the_same_changes_nothing(aotd: Aotd, run: Path) -> None:
    """Setting any result to what it was gives the same answer, with models and without."""
    question = "Feasibility_T2_1"
    trace = Run.open(run).example(question).trace
    assert trace is not None
    for call in trace.calls:
        given: JsonValue = call.model_dump(mode="json")["result"]
        if isinstance(call.result, Clip):
            given = {"frames": list(call.result.grid_ids)}
        words = ("whatif", run, question, "--call", call.number, "--result", json.dumps(given))
        for more in ((), ("--no-models",)):
            code, out, _ = aotd(*words, *more)
            assert (code, "First difference" in out) == (0, False), out


def test_what_the_future_would_have_shown_turns_the_answer_right(
    aotd: Aotd, run: Path, tmp_path: Path
) -> None:
    """An action that the oracle could not see is what the question lacked; the saved run says so."""
    question, seen = "Feasibility_T2_1", ["open the bag", "take the bag"]
    out = tmp_path / "seen"
    words = ("whatif", run, question, "--call", 5, "--result", json.dumps(seen), "--no-models", "--out", out)
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.suffix != ".sqlite"}
    code, told, _ = aotd(*words)
    assert code == 0
    assert "4 replayed, 1 set by hand" in told
    assert {path.name: path.read_bytes() for path in run.iterdir() if path.name in before} == before
    saved = Run.open(out)
    example = saved.example(question)
    assert example.outcome.value == "right"
    assert (example.kept, example.dropped) == (False, "what if: the result of call 5 was set by hand")
    assert saved.manifest.counts == {"questions": 1, "suppositions": 1}
    assert example.trace is not None
    assert example.trace.calls[4].notes == ("the result was set by hand",)
    code, told, _ = aotd("replay", out)
    assert (code, "1 set by hand" in told, "all identical" in told) == (0, True, True)


def test_without_models_a_request_that_was_never_made_is_named(aotd: Aotd, run: Path) -> None:
    """The first request that the journal lacks stops the run in one line; with models it is answered."""
    words = ("whatif", run, "Feasibility_T2_1", "--call", 1, "--result", '{"start": 3, "end": 9}')
    code, _, err = aotd(*words, "--no-models")
    assert code == 2
    assert "call 2, Video_summary(clip=clip1" in err
    assert "the journal has no answer of oracle/video/Feasibility_T2_1" in err
    assert aotd(*words)[0] == 0


def test_the_journal_answers_when_annotation_and_models_are_gone(aotd: Aotd, run: Path) -> None:
    """Without the annotation the models cannot be asked, which is said; the journal still answers."""
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("world/star.json", "gone/star.json"))
    words = ("whatif", run, "Feasibility_T2_1", "--call", 5, "--result", '["throw the bag"]')
    code, _, err = aotd(*words)
    assert (code, "star.json: no such file" in err) == (2, True)
    assert aotd(*words, "--no-models")[0] == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "suppose one thing"),
        (("--call", "1"), "suppose one thing"),
        (("--call", "1", "--result", "1", "--line", "2", "x"), "suppose one thing"),
        (("--call", "0", "--result", "1"), "call 0: the trace has calls 1 to 7"),
        (("--call", "8", "--result", "1"), "call 8: the trace has calls 1 to 7"),
        (("--call", "5", "--result", "yes"), """a text needs its quotes: --result '"yes"'"""),
        (("--call", "5", "--result", '"yes"'), "call 5, Query_Actions, gives a list of texts, not 'yes'"),
        (("--call", "5", "--result", "[1]"), "gives a list of texts"),
        (("--call", "1", "--result", "[1]"), "call 1, Find, gives a clip: write"),
        (("--call", "1", "--result", '{"frames": [40]}'), "frames [40] are not among those"),
        (("--call", "1", "--result", '{"start": 9, "end": 3}'), "give 0 <= start <= end <= 32"),
        (("--line", "99", "x"), "line 99: the program has lines 1 to 14"),
        (("--program", "no.py"), "no.py: No such file"),
        (("--call", "5", "--result", "[]", "--out", "."), "is there already"),
    ],
)
def test_a_supposition_that_does_not_fit_is_one_line(
    aotd: Aotd, run: Path, words: tuple[str, ...], told: str
) -> None:
    """Options, numbers and results that do not fit are told in one line each, before anything runs."""
    code, out, err = aotd("whatif", run, "Feasibility_T2_1", *words)
    assert (code, out) == (2, "")
    assert told in err.strip().splitlines()[-1]
    assert "Traceback" not in err


def call(number: int, function: str, result: object, **args: JsonValue) -> Call:
    """Make a recorded call."""
    return Call.model_validate(
        {"number": number, "function": function, "line": number + 1, "args": args, "result": result}
    )


ROOT = Clip(video="v", span=None, grid_ids=tuple(range(32)))
FOUND = ROOT.model_copy(update={"grid_ids": (3, 5), "crops": ((0, 0, 9, 9), (1, 1, 8, 8))})
TRACE = Trace(
    video=Video(id="v", digest="id:v"),
    span=None,
    program="p",
    calls=(
        call(1, "Find", FOUND, clip={"$clip": "clip0"}, obj="cup"),
        call(2, "Filter_frames_with_obj", FOUND, clip={"$clip": "clip1"}, obj="dish"),
        call(3, "exist", result=True, clip={"$clip": "clip0"}, query="cup"),
        call(4, "Count", 2, clip={"$clip": "clip0"}, obj="cup"),
        call(5, "trim", ROOT, clip={"$clip": "clip0"}).model_copy(update={"local": True}),
    ),
)


@pytest.mark.parametrize(
    ("number", "given", "frames", "crops"),
    [
        (1, {"frames": [5]}, (5,), ((1, 1, 8, 8),)),
        (1, {"frames": [5, 3, 3]}, (3, 5), FOUND.crops),
        (1, {"frames": [4, 5]}, (4, 5), ()),
        (1, {"frames": []}, (), ()),
        (1, {"start": 2, "end": 5}, (2, 3, 4), ()),
        (2, {"start": 0, "end": 32}, (3, 5), FOUND.crops),
        (2, {"start": 4, "end": 9}, (5,), ((1, 1, 8, 8),)),
    ],
)
def test_a_clip_is_made_of_frames_that_the_call_looked_at(
    number: int, given: JsonValue, frames: tuple[int, ...], crops: tuple[object, ...]
) -> None:
    """Frames come from the clip that was looked at; they keep crops if every one of them has one."""
    clip = with_result(TRACE, number, given).result
    assert isinstance(clip, Clip)
    assert (clip.grid_ids, clip.crops) == (frames, crops)


@pytest.mark.parametrize(
    ("number", "given", "told"),
    [
        (3, 1, "gives true or false, not 1"),
        (4, True, "gives a whole number, not True"),
        (4, 2.5, "gives a whole number"),
        (2, {"frames": [4]}, "frames [4] are not among those that call 2 looked at, frames 3 to 6"),
        (1, {"frames": [True]}, "gives a clip"),
        (1, {"start": 1, "end": 2, "by": 3}, "gives a clip"),
        (5, {"frames": [1]}, "trim(clip=clip0), follows from its arguments: change line 6"),
    ],
)
def test_results_of_another_kind_are_refused(number: int, given: JsonValue, told: str) -> None:
    """A truth value is no number, a number no truth value, and a trim cannot be set."""
    with pytest.raises(ValueError, match=re.escape(told)):
        with_result(TRACE, number, given)


def test_a_line_keeps_its_indentation_unless_it_brings_its_own() -> None:
    """A new line stands where the old one stood."""
    program = "def f():\n    a = 1\n    return a\n"
    assert with_line(program, 2, "a = 2") == "def f():\n    a = 2\n    return a\n"
    assert with_line(program, 2, "  a = 2") == "def f():\n  a = 2\n    return a\n"
    with pytest.raises(ValueError, match="lines 1 to 3"):
        with_line(program, 4, "x")
