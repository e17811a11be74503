"""A contact sheet of the household world: for each event three frames with boxes, and what is done in it.

`python -m aotd.world.sheet --out sheet.png [--clips N] [--split SPLIT] [--first N]` draws episodes afresh.
For looking at the data; nothing else reads it.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import av
from PIL import Image, ImageDraw

from aotd.traces.star_phrases import action_phrase
from aotd.traces.star_vocabulary import OBJECTS
from aotd.world.annotate import situations, video_id
from aotd.world.draw import draw
from aotd.world.motion import PERSON, Episode, simulate
from aotd.world.scene import FPS, HEIGHT, WIDTH
from aotd.world.split import SPLITS, seed_of

__all__ = ["CAPTION", "contact_sheet"]

CAPTION: Final = 16
"""Height of the line above each event's frames, pixels."""
_SHOWN: Final = 3
"""Frames of each event."""
_MOST_ROWS: Final = 12

Graph = dict[int, Mapping[str, Any]]
"""A video's annotated frames by frame number, which counts from 1."""


def contact_sheet(source: Path | Sequence[Episode], out: Path) -> Path:
    """Draw a sheet with a row for each video and three pictures for each event, and save it as `out`.

    Parameters
    ----------
    source : Path or Sequence[Episode]
        A folder as `write_world` writes it (its first twelve videos are shown, decoded from their files),
        or episodes, which are drawn afresh.
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
    ValueError
        If there is nothing to show.
    """
    rows = _of_folder(source) if isinstance(source, Path) else [_of_episode(each) for each in source]
    if not rows:
        raise ValueError(f"{source}: holds no episode; write a world with at least one clip")
    width, height = WIDTH * _SHOWN, HEIGHT + CAPTION
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
    """Draw an early, a middle and a late frame of each action side by side."""
    frames: dict[str, list[int]] = defaultdict(list)
    for number in sorted(graph):
        for action in graph[number]["actions"]:
            frames[action].append(number)
    chosen = {
        action: [numbers[(len(numbers) - 1) * part // (_SHOWN - 1)] for part in range(_SHOWN)]
        for action, numbers in frames.items()
    }
    shown = pictures({number for numbers in chosen.values() for number in numbers})
    cells = []
    for action, numbers in chosen.items():
        cell = Image.new("RGB", (WIDTH * _SHOWN, HEIGHT + CAPTION), "white")
        caption = f"{name}  {(numbers[0] - 1) / FPS:.1f} s  {action_phrase(action)}"
        ImageDraw.Draw(cell).text((4, 2), caption, fill="black")
        for place, number in enumerate(numbers):
            cell.paste(_boxed(shown[number], graph[number]), (place * WIDTH, CAPTION))
        cells.append(cell)
    return cells


def _boxed(picture: Image.Image, facts: Mapping[str, Any]) -> Image.Image:
    """Draw a frame with its boxes and their names."""
    frame = picture.copy()
    pen = ImageDraw.Draw(frame)
    for label, box in zip(facts["bbox_labels"], facts["bbox"], strict=True):
        pen.rectangle(box, outline="lime" if OBJECTS[label] == PERSON else "magenta")
        pen.text((box[0] + 2, box[1] - 10), OBJECTS[label].partition("/")[0], fill="black")
    return frame


def _decode(path: Path, numbers: Iterable[int]) -> dict[int, Image.Image]:
    """Read frames of a video by number, which counts from 1."""
    wanted = set(numbers)
    with av.open(str(path)) as container:
        return {
            number: Image.fromarray(frame.to_ndarray(format="rgb24"))
            for number, frame in enumerate(container.decode(video=0), start=1)
            if number in wanted
        }


def main() -> None:
    """Draw a sheet of episodes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clips", type=int, default=_MOST_ROWS)
    parser.add_argument("--split", choices=SPLITS, default="train")
    parser.add_argument("--first", type=int, default=0, help="number of the first episode in its split")
    asked = parser.parse_args()
    numbers = range(asked.first, asked.first + asked.clips)
    contact_sheet([simulate(seed_of(asked.split, number)) for number in numbers], asked.out)


if __name__ == "__main__":
    main()
