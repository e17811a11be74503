"""A contact sheet of the household world: for each event one frame with its boxes and what is done in it.

For looking at the data; nothing else reads it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import av
from PIL import Image, ImageDraw

from aotd.traces.star_phrases import action_phrase
from aotd.traces.star_vocabulary import OBJECTS
from aotd.world.annotate import situations, video_id
from aotd.world.draw import draw
from aotd.world.motion import PERSON, Episode
from aotd.world.scene import FPS, HEIGHT, WIDTH

__all__ = ["contact_sheet"]

_SCALE: Final = 2
_CAPTION: Final = 16
_MOST_ROWS: Final = 12

Graph = dict[int, Mapping[str, Any]]
"""A video's annotated frames by frame number, which counts from 1."""


def contact_sheet(source: Path | Episode, out: Path) -> Path:
    """Draw a sheet with a row for each video and a picture for each event, and save it as `out`.

    Parameters
    ----------
    source : Path or Episode
        A folder as `write_world` writes it (its first twelve videos are shown, decoded from their files),
        or one episode, which is drawn afresh.
    out : Path
        The PNG to write.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    FileNotFoundError
        If the folder has no `star.json`.
    """
    rows = [_of_episode(source)] if isinstance(source, Episode) else _of_folder(source)
    width, height = WIDTH * _SCALE, HEIGHT * _SCALE + _CAPTION
    sheet = Image.new("RGB", (width * max(map(len, rows)), height * len(rows)), "white")
    for top, cells in enumerate(rows):
        for left, cell in enumerate(cells):
            sheet.paste(cell, (left * width, top * height))
    sheet.save(out)
    return out


def _of_episode(episode: Episode) -> list[Image.Image]:
    """Give the pictures of one episode."""
    graph: Graph = dict(situations(episode))
    return _cells(
        video_id(episode.plan.seed), graph, lambda numbers: {n: draw(episode, n - 1) for n in numbers}
    )


def _of_folder(folder: Path) -> list[list[Image.Image]]:
    """Give the pictures of a written world, one list for each video."""
    annotation = folder / "star.json"
    if not annotation.is_file():
        raise FileNotFoundError(f"{annotation}: no such file; name a folder that holds a written world")
    graphs: dict[str, Graph] = defaultdict(dict)
    for record in json.loads(annotation.read_text(encoding="utf-8")):
        graphs[record["video_id"]].update({int(key): facts for key, facts in record["situations"].items()})
    return [
        _cells(name, graph, partial(_decode, folder / "videos" / f"{name}.mp4"))
        for name, graph in list(graphs.items())[:_MOST_ROWS]
    ]


def _cells(
    name: str, graph: Graph, pictures: Callable[[Iterable[int]], Mapping[int, Image.Image]]
) -> list[Image.Image]:
    """Draw the middle frame of each action."""
    frames: dict[str, list[int]] = defaultdict(list)
    for number in sorted(graph):
        for action in graph[number]["actions"]:
            frames[action].append(number)
    chosen = {numbers[len(numbers) // 2]: action for action, numbers in frames.items()}
    shown = pictures(chosen)
    return [
        _cell(shown[number], graph[number], f"{name}  {(number - 1) / FPS:.1f} s  {action_phrase(action)}")
        for number, action in chosen.items()
    ]


def _cell(picture: Image.Image, facts: Mapping[str, Any], caption: str) -> Image.Image:
    """Draw one frame enlarged, with its boxes and a caption above it."""
    cell = Image.new("RGB", (WIDTH * _SCALE, HEIGHT * _SCALE + _CAPTION), "white")
    large = picture.resize((WIDTH * _SCALE, HEIGHT * _SCALE), Image.Resampling.NEAREST)
    pen = ImageDraw.Draw(large)
    for label, (x1, y1, x2, y2) in zip(facts["bbox_labels"], facts["bbox"], strict=True):
        colour = "lime" if OBJECTS[label] == PERSON else "magenta"
        corner = (x1 * _SCALE, y1 * _SCALE)
        pen.rectangle((*corner, (x2 + 1) * _SCALE - 1, (y2 + 1) * _SCALE - 1), outline=colour)
        pen.text((corner[0] + 2, corner[1] - 11), OBJECTS[label], fill="black")
    cell.paste(large, (0, _CAPTION))
    ImageDraw.Draw(cell).text((4, 2), caption, fill="black")
    return cell


def _decode(path: Path, numbers: Iterable[int]) -> dict[int, Image.Image]:
    """Read frames of a video by number, which counts from 1."""
    wanted = set(numbers)
    with av.open(str(path)) as container:
        return {
            number: Image.fromarray(frame.to_ndarray(format="rgb24"))
            for number, frame in enumerate(container.decode(video=0), start=1)
            if number in wanted
        }
