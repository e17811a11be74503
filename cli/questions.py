"""From settings to questions: load the dataset and refuse what cannot be answered before any work starts."""

from __future__ import annotations

import hashlib
from pathlib import Path

from aotd.agent.config import RunConfig
from aotd.agent.pipeline import Item
from aotd.benchmarks.star import AnnotationError, load_star
from aotd.cli.errors import UsageError

__all__ = ["DATASETS", "annotation_digest", "check_dataset", "load_items", "load_questions"]

DATASETS = ("star",)


def check_dataset(name: str) -> None:
    """Refuse an unknown data set by name."""
    if name not in DATASETS:
        raise UsageError(f"unknown dataset {name!r}: the datasets are {', '.join(DATASETS)}")


def load_questions(annotations: Path, fps: Path | None, limit: int | None) -> list[Item]:
    """Load questions and their situation graphs, in file order."""
    try:
        loaded = load_star(annotations, fps_file=fps)
    except AnnotationError as error:
        raise UsageError(str(error)) from None
    if not loaded:
        raise UsageError(f"{annotations} holds no questions")
    return [Item(item.question, item.graph) for item in loaded[:limit]]


def load_items(config: RunConfig) -> list[Item]:
    """Load the questions of a run and check that its models can answer them."""
    source = config.source
    annotations = Path(source.annotations)
    items = load_questions(annotations, Path(source.fps) if source.fps else None, source.limit)
    if source.videos is not None and not Path(source.videos).is_dir():
        raise UsageError(f"video folder {source.videos} does not exist: give --videos an existing folder")
    reads_graphs = "oracle" in (config.detector.kind, config.grounder.kind, config.video_model.kind)
    for question, graph in items:
        if reads_graphs and graph is None:
            raise UsageError(
                f"{annotations}: {question.id} has no situation graph, which oracle models read: "
                "use STAR's release JSON, or other models"
            )
        if source.videos is None and question.fps is None:
            raise UsageError(
                f"frames per second of video {question.video_id} ({question.id}) are unknown: "
                f"give --fps FILE, or put video_fps.json beside {annotations}"
            )
        if source.videos is None and question.span is None:
            raise UsageError(
                f"{question.id} has no start and end: give --videos DIR so that its video tells them"
            )
    return items


def annotation_digest(annotations: str) -> str:
    """Return the SHA-256 of the annotation file."""
    return hashlib.sha256(Path(annotations).read_bytes()).hexdigest()
