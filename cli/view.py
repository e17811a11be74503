"""`aotd view`: pages of a run that open from disk, one for a question and one that lists them all."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, NamedTuple
from urllib.parse import quote

import typer
from pydantic import JsonValue

from aotd.cli.errors import UsageError
from aotd.cli.stills import NoStills, stills
from aotd.traces.index_page import index_page
from aotd.traces.page import question_page
from aotd.traces.page_text import page_name
from aotd.traces.records import Example
from aotd.traces.runs import Run

PAGES = "pages"
"""Folder of the pages of questions, beside the page that lists them."""


class _Pictures(NamedTuple):
    """Where frames come from and go to."""

    videos: Path | None
    future: bool
    assets: Path | None


def view(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder")],
    question_id: Annotated[str | None, typer.Argument(help="Question; without it, the list of all")] = None,
    out: Annotated[Path | None, typer.Option(help="File to write; by default in RUN/view")] = None,
    every: Annotated[
        bool, typer.Option("--all", help="With the list, write a page for each question")
    ] = False,
    pages: Annotated[
        int, typer.Option(min=0, help="With the list, write pages for the first N questions")
    ] = 0,
    assets: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write frames as files here and link them")
    ] = None,
    videos: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of videos; by default the run's own")
    ] = None,
) -> None:
    """Write a page that shows one question, or a run: one HTML file that needs no server and no network.

    Examples: aotd view runs/val QUESTION_ID; aotd view runs/val --all
    """
    run = Run.open(folder)
    if videos is not None and not videos.is_dir():
        raise UsageError(f"video folder {videos} does not exist: give --videos an existing folder")
    source = _setting(run, "source", "videos")
    oracles = "oracle" in [_setting(run, role, "kind") for role in ("detector", "grounder", "video_model")]
    pictures = _Pictures(
        videos=videos or (Path(source) if isinstance(source, str) else None),
        future=oracles and _setting(run, "oracle", "future") is True,
        assets=assets,
    )
    if question_id is not None:
        if every or pages:
            raise UsageError("--all and --pages go with the list of a run: leave them or the question out")
        path = out or folder / "view" / PAGES / page_name(question_id)
        _write_question(run.example(question_id), path, pictures, index="")
        print(path)
        return
    path = out or folder / "view" / "index.html"
    examples = run.examples()
    chosen = list(examples.values())[: None if every else pages]
    for example in chosen:
        page = path.parent / PAGES / page_name(example.question.id)
        _write_question(example, page, pictures, index=quote(f"../{path.name}"))
    _write(path, index_page(examples.values(), title=folder.resolve().name, pages=_written(examples, path)))
    print(f"{path} lists {len(examples)} questions, {len(_written(examples, path))} of them with a page")


def _setting(run: Run, part: str, name: str) -> JsonValue:
    """Read one setting as it was written: a page can be had of a run that no aotd can go on with."""
    settings = run.config.get(part)
    return settings.get(name) if isinstance(settings, dict) else None


def _written(examples: Mapping[str, Example], index: Path) -> dict[str, str]:
    """Give the addresses of the pages that lie beside the list."""
    names = {question_id: page_name(question_id) for question_id in examples}
    return {
        question_id: f"{PAGES}/{name}"
        for question_id, name in names.items()
        if (index.parent / PAGES / name).is_file()
    }


def _write_question(example: Example, path: Path, pictures: _Pictures, index: str) -> None:
    link = _linker(pictures.assets, path) if pictures.assets is not None else None
    frames = None
    try:
        if pictures.videos is not None:
            frames = stills(example, pictures.videos, future=pictures.future)
        page = question_page(example, frames=frames, link=link, index=index)
    except NoStills as error:
        print(f"aotd: {example.question.id}: no frames: {error}", file=sys.stderr)
        page = question_page(example, index=index)
    _write(path, page)


def _linker(assets: Path, page: Path) -> Callable[[bytes], str]:
    """Make the function that puts a JPEG into the folder and gives its address as seen from the page."""

    def link(jpeg: bytes) -> str:
        file = assets / f"{hashlib.sha256(jpeg).hexdigest()[:20]}.jpg"
        try:
            assets.mkdir(parents=True, exist_ok=True)
            file.write_bytes(jpeg)
        except OSError as error:
            raise UsageError(f"cannot write {file}: {error.strerror}") from None
        return quote(Path(os.path.relpath(file.resolve(), page.resolve().parent)).as_posix())

    return link


def _write(path: Path, page: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None
