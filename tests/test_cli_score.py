"""`aotd score` as a person uses it: what it prints, what it writes, how it fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aotd.world.build import write_annotation, write_world
from tests.conftest import Aotd


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Annotation of two episodes of the household world."""
    return write_annotation(tmp_path_factory.mktemp("world"), clips=2)


def test_a_published_file_is_scored(aotd: Aotd, data: Path, tmp_path: Path) -> None:
    """The table shows the published figures, a comparison with itself finds nothing, the JSON has it all."""
    folder = data / "star"
    theirs = folder / "predictions" / "videotf_4f.jsonl"
    code, out, _ = aotd(
        "score", "star", folder / "STAR_val_qa.csv", "--predictions", theirs, "--against", theirs,
        "--out", tmp_path / "r.json",
    )  # fmt: skip
    assert code == 0
    assert all(figure in out for figure in ("42.45", "46.32", "44.39", "44.69", "44.731"))
    assert "right here only: 0, there only: 0; p = 1" in out
    result = json.loads((tmp_path / "r.json").read_text())
    assert (result["questions"], result["rules"]) == (7098, {"index": 7098})
    assert result["overall"]["low"] < 44.731 < result["overall"]["high"]


def test_moments_and_agreement_are_scored(aotd: Aotd, data: Path) -> None:
    """QVHighlights and TempCompass have commands of their own."""
    folder = data / "qvhighlights"
    code, out, _ = aotd(
        "score",
        "qvhighlights",
        folder / "highlight_val_release.jsonl",
        "--predictions",
        folder / "univtg.jsonl",
    )
    assert code == 0
    assert "45.99" in out
    code, out, _ = aotd("score", "tempcompass", data / "tempcompass/video-llava_auto_eval_multi-choice.json")
    assert code == 0
    assert "the two agree on 1,580 (100.00%)" in out


def test_a_run_of_ours_is_scored(aotd: Aotd, world: Path, tmp_path: Path) -> None:
    """The folder of a run is predictions, and rationales whose boxes and windows are the annotation's."""
    run = tmp_path / "run"
    assert aotd("generate", "star", world, "--preset", "oracle", "--out", run, "oracle.future=false")[0] == 0
    code, out, _ = aotd("score", "star", world, "--predictions", run)
    assert code == 0
    assert "options were read by: exact" in out
    code, out, _ = aotd("score", "rationales", world, "--predictions", run, "--out", tmp_path / "r.json")
    assert code == 0
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["spatial_iou"]["covered"]["mean"] == 100
    assert result["trivial"]["whole clip"]["recall"] == 100
    assert "for reference, LLaVA-NeXT-Video-AoTD (AoTD Table 7, another sample)" in out
    assert len(result["question_ids"]) == result["temporal_iou"]["questions"]
    rows = tmp_path / "rows.jsonl"
    assert aotd("export", run, "--format", "canonical", "--out", rows)[0] == 0
    assert aotd("score", "rationales", world, "--predictions", rows)[1] == out


def test_heights_come_from_the_videos(aotd: Aotd, tmp_path: Path) -> None:
    """Boxes from the bottom are turned over by each video's height; without videos that is refused."""
    world = write_world(tmp_path, clips=1)
    records = json.loads(world.read_text())
    rows = []
    for record in records:
        first = min(f for f in record["situations"] if int(f) - 1 >= round(record["start"] * 10))
        share = ((int(first) - 1) / 10 - record["start"]) / (record["end"] - record["start"])
        frame = record["situations"][first]
        box = dict(zip(frame["bbox_labels"], frame["bbox"], strict=True))["o000"]
        x1, y1, x2, y2 = map(round, box)
        told = f"The person is at {[x1, 180 - y2, x2, 180 - y1]} in frame {int(32 * share)}."
        rows.append({"question_id": record["question_id"], "text": told})
    path = tmp_path / "r.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    words = ("score", "rationales", world, "--predictions", path, "--origin", "bottom")
    code, _, err = aotd(*words)
    assert code == 2
    assert "need the videos' heights: give --videos DIR" in err
    code, out, _ = aotd(*words, "--videos", tmp_path / "videos", "--out", tmp_path / "out.json")
    assert code == 0
    result = json.loads((tmp_path / "out.json").read_text())
    assert result["spatial_iou"]["covered"]["mean"] > 95
    assert result["other_origin"] < 60
    assert "spatial IoU if y counted from the top" in out


def test_a_sample_is_drawn_by_seed(aotd: Aotd, world: Path, tmp_path: Path) -> None:
    """Drawn questions without a row have said nothing; the ids are stored."""
    path = tmp_path / "r.jsonl"
    name = json.loads(world.read_text())[0]["question_id"]
    path.write_text(json.dumps({"question_id": name, "text": "From frame 1 to frame 5."}))
    drawn = []
    for seed in (0, 0, 1):
        words = ("--n", 8, "--seed", seed, "--out", tmp_path / "out.json")
        assert aotd("score", "rationales", world, "--predictions", path, *words)[0] == 0
        drawn.append(json.loads((tmp_path / "out.json").read_text())["question_ids"])
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(drawn[0]) == 8


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("foo", "W", "--predictions", "P"), "unknown dataset 'foo': known are star"),
        (("star", "W"), "give --predictions FILE"),
        (("star", "W", "--predictions", "none"), "none does not exist"),
        (("star", "W", "--predictions", "P", "--rule", "x"), "unknown rule 'x'"),
        (("star", "W", "--predictions", "BAD"), "line 1 is not JSON"),
        (("star", "none.json", "--predictions", "P"), "no such file"),
        (("star", "W", "--predictions", "P", "--out", "no/such/folder"), "cannot write no/such/folder"),
        (("rationales", "W", "--predictions", "P", "--origin", "left"), "--origin left is unknown"),
        (("rationales", "W", "--predictions", "P", "--window", "last"), "--window last is unknown"),
        (("rationales", "W", "--predictions", "P", "--videos", "none"), "video folder none does not exist"),
        (("rationales", "W", "--predictions", "P"), "no row is about a question of"),
        (("rationales", "W", "--predictions", "BAD"), "line 1 is not JSON"),
    ],
)
def test_bad_input_is_one_line(
    aotd: Aotd, world: Path, tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    """Each fault names the thing and the mend, and nothing is printed as a result."""
    (tmp_path / "p.jsonl").write_text('{"question_id": "unknown", "text": "A"}')
    (tmp_path / "bad.jsonl").write_text("{not json")
    paths = {"W": world, "P": tmp_path / "p.jsonl", "BAD": tmp_path / "bad.jsonl"}
    code, _, err = aotd("score", *(paths.get(word, word) for word in words))
    assert code == 2
    assert told in err
    assert len(err.strip().splitlines()) == 1


def test_rationales_need_graphs(aotd: Aotd, data: Path, tmp_path: Path) -> None:
    """The table of questions alone cannot say where anything is."""
    path = tmp_path / "p.jsonl"
    path.write_text('{"question_id": "Interaction_T1_13", "text": "A"}')
    code, _, err = aotd("score", "rationales", data / "star/STAR_val_qa.csv", "--predictions", path)
    assert code == 2
    assert "Interaction_T1_13 has no situation graph" in err
