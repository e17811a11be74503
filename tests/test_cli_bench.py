"""`aotd bench star` as a person uses it: the whole table, a second call, other choices, bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aotd.world.build import write_annotation, write_world
from tests.conftest import Aotd

ORACLE = "oracle (annotation)"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Annotation of two episodes of the household world."""
    return write_annotation(tmp_path_factory.mktemp("world"), clips=2)


def results(out: Path) -> dict[str, Any]:
    """The result of the last call."""
    found: dict[str, Any] = json.loads((out / "results.json").read_text())
    return found


@pytest.mark.parametrize(
    ("name", "n", "solved"), [("star_full_graphs.json", 76, 72), ("star_thinned_graphs.json", 12, 8)]
)
def test_the_full_table_on_star_with_oracles(
    aotd: Aotd, data: Path, tmp_path: Path, name: str, n: int, solved: int
) -> None:
    """Tools at their bound, the grammar planner at the bound of STAR's programs, every file written."""
    out = tmp_path / "out"
    code, told, _ = aotd("bench", "star", data / "star" / name, "--preset", "oracle", "--out", out)
    assert code == 0
    result = results(out)
    planner, bound = result["subtasks"]["decomposition"].values()
    assert planner["n"] == bound["n"] == result["questions"] == n
    assert planner["mean"] == bound["mean"] == pytest.approx(100 * solved / n)
    assert planner["against"]["p"] == 1
    tools = {subtask: systems[ORACLE] for subtask, systems in result["subtasks"].items() if ORACLE in systems}
    assert (tools["detection"]["mean"], tools["grounding"]["mean"]) == (100, 100)
    assert tools["grounding"]["more"]["recall"] == 100
    assert {"mean IoU 24.7", "accuracy 85.7"} <= set(told.replace("\n", ": ").split(": "))
    assert len((out / "units.jsonl").read_text().splitlines()) == sum(score["n"] for score in tools.values())
    assert f"aotd bench star {data / 'star' / name}" in (out / "table.md").read_text()


def test_a_second_call_answers_nothing_anew(aotd: Aotd, world: Path, tmp_path: Path) -> None:
    """Journals stay as they are, and every file of the result but the command in it is the same."""
    out = tmp_path / "out"
    words = ("bench", "star", world, "--preset", "oracle", "--out", out, "--subtask", "all,swap")
    assert aotd(*words)[0] == 0
    journals = {path: path.read_bytes() for path in out.rglob("*.jsonl")}
    first = (out / "results.json").read_bytes()
    assert len(journals) == 7
    code, _, err = aotd(*words)
    assert code == 0
    assert "of 21 questions" not in err
    assert {path: path.read_bytes() for path in out.rglob("*.jsonl")} == journals
    assert (out / "results.json").read_bytes() == first


def test_choices_and_samples_change_in_the_same_folder(aotd: Aotd, world: Path, tmp_path: Path) -> None:
    """Another choice, sub-task or sample goes on in the folder; what was chosen is in the result."""
    words = ("bench", "star", world, "--preset", "oracle", "--out", tmp_path / "out")
    assert aotd(*words, "--subtask", "grounding")[0] == 0
    few = results(tmp_path / "out")
    assert list(few["subtasks"]) == ["grounding"]
    assert aotd(*words, "--subtask", "grounding,decomposition", "--n", 10, "bench.events=all")[0] == 0
    many = results(tmp_path / "out")
    assert (
        many["questions"]
        == many["subtasks"]["decomposition"]["STAR's own programs (bound), future visible"]["n"]
    )
    assert (many["questions"], many["switches"]["events"]) == (10, "all")
    assert many["subtasks"]["grounding"][ORACLE]["n"] > 0


def test_made_up_weights_go_through_every_sub_task(aotd: Aotd, tmp_path: Path) -> None:
    """Tiny models with random weights look at real frames; a second call asks them nothing."""
    world = write_world(tmp_path, clips=1)
    out = tmp_path / "out"
    words = (
        "bench", "star", world, "--preset", "paper", "--fake-weights", "small", "--n", 4, "--out", out,
        "--videos", tmp_path / "videos", "--subtask", "detection,grounding,action,qa", "planner.kind=grammar",
    )  # fmt: skip
    code, told, _ = aotd(*words)
    assert code == 0
    assert "weights are made up" in told
    result = results(out)
    for subtask in ("detection", "grounding", "action", "qa"):
        system, *others = result["subtasks"][subtask]
        assert "random/" in system
        assert others[0] == ORACLE
    journal = (out / "units" / "calls.jsonl").read_bytes()
    assert len(journal.splitlines()) > 10
    before = (out / "results.json").read_bytes()
    assert aotd(*words)[0] == 0
    assert (out / "units" / "calls.jsonl").read_bytes() == journal
    assert (out / "results.json").read_bytes() == before


def test_a_call_that_was_cut_off_is_gone_on_with(aotd: Aotd, tmp_path: Path) -> None:
    """With half of its journal, and a torn line, a call comes to the same result."""
    world = write_world(tmp_path, clips=1)
    out = tmp_path / "out"
    words = (
        "bench", "star", world, "--preset", "paper", "--fake-weights", "small", "--n", 3, "--out", out,
        "--videos", tmp_path / "videos", "--subtask", "detection", "planner.kind=grammar",
    )  # fmt: skip
    assert aotd(*words)[0] == 0
    before = (out / "results.json").read_bytes()
    journal = out / "units" / "calls.jsonl"
    rows = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(rows[: len(rows) // 2]) + b'{"key": "ab')
    assert aotd(*words)[0] == 0
    assert (out / "results.json").read_bytes() == before
    assert len(journal.read_bytes().splitlines()) == len(rows)


def test_missing_videos_are_told(aotd: Aotd, world: Path, tmp_path: Path) -> None:
    """Questions without a video are counted, and a sub-task that is left with nothing says so."""
    (tmp_path / "videos").mkdir()
    code, told, _ = aotd(
        "bench",
        "star",
        world,
        "--preset",
        "oracle",
        "--videos",
        tmp_path / "videos",
        "--out",
        tmp_path / "out",
    )
    assert code == 0
    assert "grounding: there is nothing to ask in this sample" in told
    result = results(tmp_path / "out")
    assert result["faults"] == {"missing-video": result["questions"]}
    assert list(result["subtasks"]) == ["decomposition"]
    assert result["subtasks"]["decomposition"]["planner grammar, oracle tools, future visible"]["mean"] == 100


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nextqa", "W"), "unknown dataset 'nextqa'"),
        (("star", "W", "--subtask", "cooking"), "unknown sub-task 'cooking': known are all, decomposition"),
        (("star", "W", "bench.colour=red"), "unknown choice bench.colour: known are bench.objects"),
        (("star", "W", "bench.events=some"), "bench.events=some: must be 'condition' or 'all'"),
        (("star", "W", "bench.input=full_video"), "give --videos DIR with VIDEO.mp4 files"),
        (("star", "W", "colour=red"), "unknown setting colour"),
        (("star", "none.json"), "none.json: no such file"),
        (("star", "W", "--videos", "none"), "does not exist"),
        (("star", "W", "--keyframes", "none"), "--keyframes none is no folder"),
        (("star", "CSV"), "has no situation graph"),
        (("star", "W", "--subtask", "detection", "detector.kind=owl"), "give --videos DIR"),
    ],
)
def test_bad_input_is_one_line(
    aotd: Aotd, world: Path, tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    """Each fault names the thing and the mend, and no folder is left behind."""
    csv = tmp_path / "star.csv"
    csv.write_text("question_id,video_name,question,answer_number,a0,a1\nSequence_T1_1,v_0_3,What?,0,a,b\n")
    (tmp_path / "video_fps.json").write_text('{"v.mp4": 25}')
    paths = {"W": world, "CSV": csv}
    code, _, err = aotd(
        "bench", *(paths.get(word, word) for word in words), "--preset", "oracle", "--out", tmp_path / "out"
    )
    assert code == 2
    assert told in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_of_other_settings_is_refused(aotd: Aotd, world: Path, tmp_path: Path) -> None:
    """Answers of different settings, or about different annotation, do not mix."""
    copy = tmp_path / "star.json"
    copy.write_bytes(world.read_bytes())
    (tmp_path / "video_fps.json").write_bytes((world.parent / "video_fps.json").read_bytes())
    words = ("bench", "star", copy, "--preset", "oracle", "--out", tmp_path / "out", "--subtask", "qa")
    assert aotd(*words)[0] == 0
    code, _, err = aotd(*words, "functions.crop_margin=0")
    assert (code, "was made with other settings: give --out another folder" in err) == (2, True)
    copy.write_text(json.dumps(json.loads(copy.read_text())[1:]))
    code, _, err = aotd(*words)
    assert (code, "has changed since" in err) == (2, True)


def test_a_damaged_journal_is_told_with_its_line(aotd: Aotd, tmp_path: Path) -> None:
    """Nothing is guessed from a file that was edited."""
    world = write_world(tmp_path, clips=1)
    words = (
        "bench", "star", world, "--preset", "paper", "--fake-weights", "small", "--n", 2,
        "--out", tmp_path / "out", "--videos", tmp_path / "videos", "--subtask", "detection",
    )  # fmt: skip
    assert aotd(*words)[0] == 0
    units = tmp_path / "out" / "units"
    rows = (units / "calls.jsonl").read_bytes().splitlines(keepends=True)
    (units / "calls.jsonl").write_bytes(b"".join([*rows[:2], b"garbage\n", *rows[2:]]))
    for path in units.glob("calls.sqlite*"):
        path.unlink()
    code, _, err = aotd(*words)
    assert code == 2
    assert "calls.jsonl, line 3: not a JSON object" in err


def test_images_of_key_frames_take_the_place_of_videos(aotd: Aotd, data: Path, tmp_path: Path) -> None:
    """With --keyframes detection needs no video, and is asked on the images themselves."""
    folder, out = data / "star", tmp_path / "out"
    code, _, _ = aotd(
        "bench", "star", folder / "star_thinned_graphs.json", "--preset", "paper", "--fake-weights", "small",
        "--keyframes", folder / "keyframes", "--subtask", "detection", "--out", out,
    )  # fmt: skip
    assert code == 0
    result = results(out)
    assert result["faults"] == {"missing-video (images)": 7}
    system, oracle, _ = result["subtasks"]["detection"].values()
    assert (system["n"], oracle["mean"]) == (32, 100)
    rows = [json.loads(line) for line in (out / "units.jsonl").read_text().splitlines()]
    assert {row["request"]["frame"]["index"] for row in rows} == {0}
    assert len({row["request"]["frame"]["video"] for row in rows}) > 10
