"""Published predictions, scored: the figures must be those that others reported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aotd.benchmarks.accuracy import accuracy, answered, compare
from aotd.benchmarks.annotation import AnnotationError
from aotd.benchmarks.moments import moment_scores
from aotd.benchmarks.nextqa import group_of, load_nextqa
from aotd.benchmarks.predictions import Prediction, load_predictions
from aotd.benchmarks.qvhighlights import load_moments
from aotd.benchmarks.star import load_star
from aotd.benchmarks.tempcompass import agreement, load_tempcompass
from aotd.traces.records import Question


def test_a_published_model_scores_on_star_as_reported(data: Path) -> None:
    """Interaction 42.45, Sequence 46.32, Prediction 44.39, Feasibility 44.69, overall 44.731."""
    questions = [item.question for item in load_star(data / "star" / "STAR_val_qa.csv")]
    predictions = load_predictions(data / "star" / "predictions" / "videotf_4f.jsonl")
    scored = accuracy(answered(questions, predictions), predictions)
    assert {kind: round(share, 2) for kind, (_, share) in scored.by_type.items()} == {
        "Interaction": 42.45, "Sequence": 46.32, "Prediction": 44.39, "Feasibility": 44.69,
    }  # fmt: skip
    assert round(scored.overall.mean, 3) == 44.731
    assert (scored.questions, scored.rules, scored.unknown) == (7098, {"index": 7098}, 0)


def test_a_published_model_scores_on_nextqa_as_reported(data: Path) -> None:
    """HGA: 49.74 overall, 46.26 causal, 50.74 temporal, 59.33 descriptive."""
    questions = load_nextqa(data / "nextqa" / "val.csv")
    predictions = load_predictions(data / "nextqa" / "HGA-bert-ft-h256-val.json")
    scored = accuracy(answered(questions, predictions), predictions, group_of)
    assert {group: round(share, 2) for group, (_, share) in scored.by_group.items()} == {
        "C": 46.26, "T": 50.74, "D": 59.33,
    }  # fmt: skip
    assert (round(scored.overall.mean, 2), scored.right) == (49.74, 2485)


def test_univtg_scores_on_qvhighlights_as_reported(data: Path) -> None:
    """R1@0.5 68.39, R1@0.7 54.0, mAP 45.99, at 0.5 65.6, at 0.75 47.73."""
    folder = data / "qvhighlights"
    queries, missing = load_moments(folder / "highlight_val_release.jsonl", folder / "univtg.jsonl")
    scores = moment_scores(queries)
    assert (len(queries), missing) == (1550, 0)
    figures = (scores.r1[0.5], scores.r1[0.7], scores.mean_ap, scores.ap[0.5], scores.ap[0.75])
    assert [round(figure, 2) for figure in figures] == [68.39, 54.0, 45.99, 65.6, 47.73]


def test_options_are_read_as_tempcompass_rates_them(data: Path) -> None:
    """Of 1,580 answers the benchmark rates 720 right, and reading them by our rule finds the same ones."""
    found = agreement(load_tempcompass(data / "tempcompass" / "video-llava_auto_eval_multi-choice.json"))
    assert (found.answers, found.rated_right, found.read_right, found.agree) == (1580, 720, 720, 1580)


def question(name: str, kind: str = "Interaction") -> Question:
    """A question with four options; the first is right, and so is the third, whose text is equal."""
    options = ("Opened.", "Closed.", "Opened.", "Ate.")
    return Question(
        id=name, dataset="star", video_id=f"v{name}", text="?", options=options, answer="Opened.", type=kind
    )


def test_every_question_counts_and_says_how_it_was_read() -> None:
    """What is missing, out of range or without an option is wrong; equal options are one answer."""
    predictions = {
        "a": Prediction(2, None), "b": Prediction(None, "(B)"), "c": Prediction(9, None),
        "d": Prediction(None, "who knows"), "z": Prediction(0, None),
    }  # fmt: skip
    outcomes = answered([question(name) for name in "abcde"], predictions)
    scored = accuracy(outcomes, predictions)
    assert [outcome.right for outcome in outcomes] == [True, False, False, False, False]
    assert scored.rules == {
        "index": 1, "letter-alone": 1, "index of no option": 1, "unparsed": 1, "no prediction": 1,
    }  # fmt: skip
    assert (scored.overall.mean, scored.unknown) == (20.0, 1)


def test_two_systems_are_compared_on_the_same_questions() -> None:
    """A paired test needs both systems to have answered the same questions."""
    asked = [question(name) for name in "ab"]
    ours = answered(asked, {"a": Prediction(0, None)})
    theirs = answered(asked, {"b": Prediction(0, None)})
    assert compare(ours, theirs)[:2] == (1, 1)
    with pytest.raises(ValueError, match="same questions"):
        compare(ours, theirs[:1])


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("p.jsonl", '{"question_id": "a", "pred": 1}\nnot json', "line 2 is not JSON"),
        ("p.jsonl", '{"question_id": "a", "pred": 1}\n{"question_id": "a", "pred": 2}', "answered twice"),
        ("p.jsonl", '{"pred": 1}', "names no question"),
        ("p.json", '{"a": {"score": 1}}', "gives no prediction"),
        ("p.json", "7", "neither rows nor entries"),
        ("p.json", "[]", "holds no predictions"),
    ],
)
def test_a_faulty_file_of_predictions_is_told_with_its_place(
    name: str, text: str, told: str, tmp_path: Path
) -> None:
    """Each fault is one line that names the file and the place."""
    (tmp_path / name).write_text(text)
    with pytest.raises(AnnotationError, match=told):
        load_predictions(tmp_path / name)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ('{"question_id": "a", "output": "(B)"}\n', {"a": (None, "(B)")}),
        ('{"qid": 7, "pred_ans_idx": 2}\n', {"7": (2, None)}),
    ],
)
def test_rows_of_several_layouts_are_read(
    rows: str, expected: dict[str, tuple[int | None, str | None]], tmp_path: Path
) -> None:
    """An index and a model's words are both predictions, under the names that papers use."""
    (tmp_path / "p.jsonl").write_text(rows)
    assert load_predictions(tmp_path / "p.jsonl") == expected


def test_entries_by_question_are_read(tmp_path: Path) -> None:
    """A JSON object gives an entry, an index or words for each question."""
    entries = {"a": {"prediction": 1, "answer": 0}, "b": 3, "c": "Ate."}
    (tmp_path / "p.json").write_text(json.dumps(entries))
    assert load_predictions(tmp_path / "p.json") == {"a": (1, None), "b": (3, None), "c": (None, "Ate.")}
