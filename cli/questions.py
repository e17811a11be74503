"""From settings to questions: load the dataset and refuse what cannot be answered before any work starts."""

from __future__ import annotations

import hashlib
from pathlib import Path

from aotd.agent.config import RunConfig
from aotd.agent.pipeline import Item
from aotd.benchmarks.annotation import AnnotationError
from aotd.benchmarks.nextqa import load_nextqa
from aotd.benchmarks.star import load_star
from aotd.cli.errors import UsageError

__all__ = ["DATASETS", "annotation_digest", "check_dataset", "load_items", "load_questions"]

DATASETS = ("star", "nextqa")


def check_dataset(name: str) -> None:
    """Refuse an unknown data set by name."""
    if name not in DATASETS:
        raise UsageError(f"unknown dataset {name!r}: the datasets are {', '.join(DATASETS)}")


def load_questions(dataset: str, annotations: Path, fps: Path | None, limit: int | None) -> list[Item]:
    """Load questions, and their situation graphs where the dataset has them, in file order."""
    try:
        if dataset == "nextqa":
            items = [Item(question, None) for question in load_nextqa(annotations)]
        else:
            items = [Item(item.question, item.graph) for item in load_star(annotations, fps_file=fps)]
    except AnnotationError as error:
        raise UsageError(str(error)) from None
    if not items:
        raise UsageError(f"{annotations} holds no questions")
    return items[:limit]


def load_items(config: RunConfig) -> list[Item]:
    """Load the questions of a run and check that its models can answer them."""
    source = config.source
    annotations = Path(source.annotations)
    items = load_questions(
        source.dataset, annotations, Path(source.fps) if source.fps else None, source.limit
    )
    if source.videos is not None and not Path(source.videos).is_dir():
        raise UsageError(f"video folder {source.videos} does not exist: give --videos an existing folder")
    reads_graphs = "oracle" in (config.detector.kind, config.grounder.kind, config.video_model.kind)
    for question, graph in items:
        if reads_graphs and graph is None:
            raise UsageError(
                f"{annotations}: {question.id} has no situation graph, which oracle models read: "
                "use STAR's release JSON, or other models"
            )
        if source.videos is None and question.span is None:
            raise UsageError(
                f"{question.id} has no start and end: give --videos DIR so that its video tells them"
            )
        if source.videos is None and question.fps is None:
            raise UsageError(
                f"frames per second of video {question.video_id} ({question.id}) are unknown: "
                f"give --fps FILE, or put video_fps.json beside {annotations}"
            )
    return items


def annotation_digest(annotations: str) -> str:
    """Return the SHA-256 of the annotation file."""
    return hashlib.sha256(Path(annotations).read_bytes()).hexdigest()
