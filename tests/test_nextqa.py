"""NExT-QA's tables: what is read from them and how faults are told."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from aotd.benchmarks.annotation import AnnotationError
from aotd.benchmarks.nextqa import TYPES, group_of, load_nextqa

CHOICE = "video,frame_count,width,height,question,answer,qid,type,a0,a1,a2,a3,a4"
OPEN = "video,frame_count,width,height,question,answer,qid,type"
ROW = "0012,300,640,480,why did the dog bark,3,6,CW,hungry,tired ,sees a cat,wants to play,wants to play"


def written(folder: Path, *lines: str, name: str = "val.csv") -> Path:
    """Write a table."""
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def complaint(path: Path, map_file: Path | None = None) -> str:
    """Give what a refused load says after the folder's name."""
    with pytest.raises(AnnotationError) as caught:
        load_nextqa(path, map_file=map_file)
    said = str(caught.value)
    assert "\n" not in said
    return said.replace(f"{path.parent}/", "")


def test_a_row_of_choices_becomes_a_question(tmp_path: Path) -> None:
    """The id joins video and qid, zeros in front stay, the answer is the numbered option, equal ones stay."""
    (question,) = load_nextqa(written(tmp_path, CHOICE, ROW))
    assert (question.id, question.dataset, question.video_id) == ("0012_6", "nextqa", "0012")
    assert (question.text, question.type) == ("why did the dog bark", "CW")
    assert question.options == ("hungry", "tired", "sees a cat", "wants to play", "wants to play")
    assert question.answer == "wants to play"
    assert (question.span, question.fps, question.clip_file) == (None, None, None)


@pytest.mark.parametrize("header", [OPEN, OPEN + ",additional_ref_answer"])
def test_an_open_row_has_a_text_for_an_answer(tmp_path: Path, header: str) -> None:
    """Without columns of options a question is open-ended; a second reference answer is not read."""
    row = "12,300,640,480,is the dog awake,yes,6,DB" + (",awake" if "additional" in header else "")
    (question,) = load_nextqa(written(tmp_path, header, row))
    assert (question.options, question.answer, question.type) == (None, "yes", "DB")


def test_an_answer_may_be_withheld(tmp_path: Path) -> None:
    """An empty answer is no answer."""
    (question,) = load_nextqa(written(tmp_path, CHOICE, ROW.replace(",3,6,", ",,6,")))
    assert question.answer is None
    assert question.options is not None


def test_a_second_qid_is_told_apart_by_its_type(tmp_path: Path) -> None:
    """The later of two questions that share video and qid, as in NExT-OE's training split, gets its type."""
    rows = ("7,1,1,1,how did the man react,laugh,2,TN", "7,1,1,1,how did the man react,astonished,2,TC")
    assert [q.id for q in load_nextqa(written(tmp_path, OPEN, *rows))] == ["7_2", "7_2_TC"]


def test_the_map_beside_the_table_leads_to_the_video(tmp_path: Path) -> None:
    """A listed video's file is VidOR's folder/id; a video that is not listed has none."""
    (tmp_path / "map_vid_vidorID.json").write_text('{"0012": "1164/3238737531"}')
    path = written(tmp_path, CHOICE, ROW, ROW.replace("0012,", "12,"))
    assert [q.clip_file for q in load_nextqa(path)] == ["1164/3238737531.mp4", None]


def test_a_given_map_wins(tmp_path: Path) -> None:
    """The map that is named is read, not the one beside the table."""
    (tmp_path / "map_vid_vidorID.json").write_text('{"0012": "a/b"}')
    (tmp_path / "mine.json").write_text('{"0012": "c/d"}')
    (question,) = load_nextqa(written(tmp_path, CHOICE, ROW), map_file=tmp_path / "mine.json")
    assert question.clip_file == "c/d.mp4"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (ROW.replace(",3,6,", ",5,6,"), "0012_6: answer '5' must be an option's number, 0 to 4, or empty"),
        (ROW.replace(",3,6,", ",-1,6,"), "0012_6: answer '-1' must be an option's number, 0 to 4, or empty"),
        (ROW.replace(",3,6,", ",tired,6,"), "0012_6: answer 'tired' must be an option's number, 0 to 4, or"),
        (ROW.replace("CW", "XX"), "0012_6: type 'XX' must be one of CW, CH, TN, TP, TC, DC, DL, DO, DB"),
        (ROW.replace("why did the dog bark", " "), "0012_6: question: is empty"),
        (ROW.replace("sees a cat", ""), "0012_6: a2: is empty"),
        (ROW.replace("0012,", ","), "_6: video: is empty"),
        (ROW.removesuffix(",wants to play"), "0012_6: row 1 must have 13 fields"),
    ],
)
def test_a_faulty_row_is_named(tmp_path: Path, row: str, message: str) -> None:
    """A row that breaks the layout is refused with its id and what is wrong."""
    assert complaint(written(tmp_path, CHOICE, row)).startswith(f"val.csv: record {message}")


def test_one_question_twice_is_refused(tmp_path: Path) -> None:
    """Three rows with the same video, qid and type cannot be told apart, and both places are named."""
    path = written(tmp_path, CHOICE, ROW, ROW, ROW)
    assert complaint(path) == "val.csv: record 0012_6_CW: duplicate id, at records 2 and 3"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("val.json", "[]", "val.json: NExT-QA's annotation must be a .csv file, not '.json'"),
        ("val.csv", "video_id,question", "val.csv: no column video, answer, qid, type; it has video_id,"),
        ("val.csv", f'{CHOICE}\n"', "val.csv: line 1: not CSV (unexpected end"),
        ("val.csv", None, "val.csv: no such file; give the path of NExT-QA's annotation"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, name: str, text: str | None, message: str) -> None:
    """What cannot be NExT-QA's table is told in one line."""
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    assert complaint(path).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "map.json: must map video ids to VidOR's folder/id, not list"),
        ('{"0012": 4}', "map.json: 0012: must be a text such as 1164/3238737531"),
        ("{", "map.json: not JSON"),
        (None, "map.json: no such file; give NExT-QA's map_vid_vidorID.json"),
    ],
)
def test_a_faulty_map_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    """The map is checked whole, whether its faulty entry is needed or not."""
    if text is not None:
        (tmp_path / "map.json").write_text(text)
    assert complaint(written(tmp_path, CHOICE, ROW), tmp_path / "map.json").startswith(message)


def test_types_are_grouped_as_reported() -> None:
    """Causal, temporal and descriptive types are told by the benchmark's groups, and no other is known."""
    assert "".join(group_of(kind) for kind in TYPES) == "CCTTTDDDD"
    with pytest.raises(ValueError, match="'C' must be one of"):
        group_of("C")


def test_the_real_val_split_gives_a_published_models_accuracy(data: Path) -> None:
    """Predictions published with the benchmark score 49.74, by group 46.26, 50.74 and 59.33."""
    questions = load_nextqa(data / "nextqa" / "val.csv")
    predicted = json.loads((data / "nextqa" / "HGA-bert-ft-h256-val.json").read_text())
    asked, right = Counter[str](), Counter[str]()
    for question in questions:
        assert question.options is not None
        assert question.type is not None
        group = group_of(question.type)
        asked[group] += 1
        right[group] += question.options[predicted[question.id]["prediction"]] == question.answer
    assert (len(questions), right.total()) == (4996, 2485)
    assert {g: round(100 * right[g] / asked[g], 2) for g in asked} == {"C": 46.26, "T": 50.74, "D": 59.33}


def test_the_real_val_split_is_read_whole(data: Path) -> None:
    """570 videos, all of them mapped, and three questions with two equal options."""
    questions = load_nextqa(data / "nextqa" / "val.csv")
    assert len({q.video_id for q in questions}) == 570
    assert all(q.clip_file for q in questions)
    assert sum(len(set(q.options or ())) < 5 for q in questions) == 3
