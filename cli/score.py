"""`aotd score`: score a file of predictions, of whatever system, against a dataset's annotation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from pydantic import JsonValue
from rich.console import Console
from rich.table import Table

from aotd.benchmarks.accuracy import Accuracy, Answered, accuracy, answered, compare
from aotd.benchmarks.annotation import AnnotationError
from aotd.benchmarks.extraction import RULES, Rule
from aotd.benchmarks.moments import moment_scores
from aotd.benchmarks.nextqa import group_of
from aotd.benchmarks.predictions import load_predictions
from aotd.benchmarks.qvhighlights import load_moments
from aotd.benchmarks.tempcompass import agreement, load_tempcompass
from aotd.cli.errors import UsageError
from aotd.cli.questions import load_questions
from aotd.cli.score_rationales import RationaleOptions, rationales
from aotd.traces.records import Question

__all__ = ["score"]

SCORED = ("star", "nextqa", "qvhighlights", "tempcompass", "rationales")


def score(
    dataset: Annotated[str, typer.Argument(help=f"What is scored: {', '.join(SCORED)}")],
    annotations: Annotated[Path, typer.Argument(help="The dataset's annotation, as for `generate`")],
    predictions: Annotated[
        Path | None, typer.Option(help="JSON or JSON Lines by question, or the folder of a run")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="Predictions to compare with, question by question")
    ] = None,
    rule: Annotated[str, typer.Option(help=f"How options are read: {', '.join(RULES)}")] = "mc_v1",
    out: Annotated[Path | None, typer.Option(help="Write the result as JSON")] = None,
    origin: Annotated[str, typer.Option(help="rationales: their boxes' y counts from top or bottom")] = "top",
    window: Annotated[
        str, typer.Option(help="rationales: score the first window of each, or the best")
    ] = "first",
    videos: Annotated[Path | None, typer.Option(help="rationales: videos, which tell heights")] = None,
    fps: Annotated[Path | None, typer.Option(help='rationales: JSON {"VIDEO.mp4": frames a second}')] = None,
    n: Annotated[
        int | None, typer.Option("--n", min=1, help="rationales: draw so many questions, evenly by type")
    ] = None,
    seed: Annotated[int, typer.Option(help="rationales: of the draw")] = 0,
) -> None:
    """Score predictions: accuracy for star and nextqa, moments for qvhighlights, agreement for tempcompass.

    rationales: what texts of chains of thought say of when and where, against STAR's situation graphs.

    Example: aotd score star STAR_val.json --predictions mine.jsonl --against theirs.jsonl
    """
    if dataset not in SCORED:
        raise UsageError(f"unknown dataset {dataset!r}: known are {', '.join(SCORED)}")
    if rule not in RULES:
        raise UsageError(f"unknown rule {rule!r}: known are {', '.join(RULES)}")
    chosen = next(known for known in RULES if known == rule)
    if predictions is None and dataset != "tempcompass":
        raise UsageError("give --predictions FILE, or the folder of a run")
    try:
        if dataset == "tempcompass":
            result = _agreement(annotations, chosen)
        elif dataset == "rationales":
            options = RationaleOptions(origin, window, videos, fps, n, seed)
            result = rationales(annotations, _given(predictions), options)
        elif dataset == "qvhighlights":
            result = _moments(annotations, _given(predictions))
        else:
            result = _accuracy(dataset, annotations, _given(predictions), against, chosen)
    except (AnnotationError, ValueError) as error:
        raise UsageError(str(error)) from None
    if out is not None:
        _write(result, out)


def _write(result: dict[str, JsonValue], out: Path) -> None:
    try:
        out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror}") from None


def _given(path: Path | None) -> Path:
    if path is None or not path.exists():
        raise UsageError(f"{path} does not exist: give a file of predictions, or the folder of a run")
    return path


def _accuracy(
    dataset: str, annotations: Path, predictions: Path, against: Path | None, rule: Rule
) -> dict[str, JsonValue]:
    questions = [item.question for item in load_questions(dataset, annotations, None, None)]
    outcomes, scored = _scored(dataset, questions, predictions, rule)
    _show_accuracy(scored)
    result: dict[str, JsonValue] = {"dataset": dataset, "rule": rule, **_plain(scored)}
    if against is not None:
        others, _ = _scored(dataset, questions, _given(against), rule)
        paired = compare(outcomes, others)
        result["against"] = dict(paired._asdict())
        print(
            f"right here only: {paired.first_only}, there only: {paired.second_only}; "
            f"p = {paired.p:.2g} (exact McNemar)"
        )
    return result


def _scored(
    dataset: str, questions: Sequence[Question], path: Path, rule: Rule
) -> tuple[list[Answered], Accuracy]:
    predictions = load_predictions(path)
    outcomes = answered(questions, predictions, rule)
    return outcomes, accuracy(outcomes, predictions, group_of if dataset == "nextqa" else None)


def _plain(scored: Accuracy) -> dict[str, JsonValue]:
    plain: dict[str, JsonValue] = json.loads(json.dumps(scored._asdict()))
    mean, low, high = scored.overall
    return {**plain, "overall": {"mean": mean, "low": low, "high": high}}


def _show_accuracy(scored: Accuracy) -> None:
    table = Table("type", "questions", "accuracy", box=None)
    for kind, (count, share) in (scored.by_type | scored.by_group).items():
        table.add_row(kind, f"{count:,}", f"{share:.2f}")
    table.add_row("mean of types", "", f"{scored.mean_of_types:.2f}")
    mean, low, high = scored.overall
    table.add_row("overall", f"{scored.questions:,}", f"{mean:.3f}  [{low:.1f}, {high:.1f}]")
    Console().print(table)
    read = ", ".join(f"{rule} {count:,}" for rule, count in scored.rules.items())
    print(f"options were read by: {read}")
    if scored.unknown:
        print(f"{scored.unknown:,} predictions are for questions that were not asked")


def _moments(annotations: Path, predictions: Path) -> dict[str, JsonValue]:
    queries, missing = load_moments(annotations, predictions)
    scores = moment_scores(queries)
    table = Table("measure", "%", box=None)
    for at, share in scores.r1.items():
        table.add_row(f"R1 at IoU {at}", f"{share:.2f}")
    table.add_row("mean IoU of the first", f"{scores.mean_iou:.2f}")
    for at in (0.5, 0.75):
        table.add_row(f"mAP at IoU {at}", f"{scores.ap[at]:.2f}")
    table.add_row("mAP", f"{scores.mean_ap:.2f}")
    Console().print(table)
    print(f"{scores.queries:,} queries, {missing:,} without a prediction")
    plain: dict[str, JsonValue] = json.loads(json.dumps(scores._asdict()))
    return {"dataset": "qvhighlights", "missing": missing, **plain}


def _agreement(annotations: Path, rule: Rule) -> dict[str, JsonValue]:
    found = agreement(load_tempcompass(annotations), rule)
    print(
        f"{found.answers:,} answers: right by the file's rating {found.rated_right:,}, by {rule} "
        f"{found.read_right:,}; the two agree on {found.agree:,} ({found.agree / found.answers:.2%})"
    )
    for answer, read in found.parted[:20]:
        print(f"  {answer.id} (read by {read}): {answer.words[:100]!r}")
    return {
        "dataset": "tempcompass",
        "rule": rule,
        "answers": found.answers,
        "rated_right": found.rated_right,
        "read_right": found.read_right,
        "agree": found.agree,
        "parted": [answer.id for answer, _ in found.parted],
    }
