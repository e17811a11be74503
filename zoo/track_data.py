"""Tracks of training clips, kept on disk: each clip is drawn, looked at by the detector once, and labelled.

Half of the clips are whole episodes and half are spans of three seconds and more, each on the 32 positions
of a program's grid; of some the detector is shown a crop around the person or an object, as programs crop.
Trains nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from torch.utils.data import DataLoader, Dataset

from aotd.tools.checkpoints import Checkpoint
from aotd.tools.tracks import Eye, Tracks, shown
from aotd.traces.records import Box
from aotd.traces.star_vocabulary import ACTIONS_BY_ID
from aotd.world.clip import CLASSES, Clip, render_clip
from aotd.world.plan import plan
from aotd.world.scene import FPS, VERBS
from aotd.world.split import Split, seed_of
from aotd.zoo.fit import Batch, alone
from aotd.zoo.frames import as_filmed

__all__ = ["FRAMES", "Shelf", "draw_clip", "keep_tracks", "labels"]

FRAMES: Final = 32
"""Of each clip, all different."""
_EACH: Final = 50
"""Clips of a file."""
_FIRST: Final = {"train": 600_000, "validation": 100_000, "test": 100_000}
"""Number of the first episode: others than the detector learns from and is measured on."""
_CROPPED: Final = ((0.18, "person"), (0.26, "object"))
"""Up to which number by chance a clip is cropped to what."""
_MARGIN: Final = 10
"""Pixels around a crop, as `Find` leaves by default."""
_LOOSE: Final = 4
"""Pixels by which a detector's box is off."""
_AT_ONCE: Final = 16
"""Frames that the detector sees at once."""
_FILMED: Final = 0.6
"""Share of the clips that look filmed."""


class Shelf:
    """Clips on disk, by number.

    Parameters
    ----------
    files
        As `keep_tracks` wrote them.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = list(files)

    def __len__(self) -> int:
        return _EACH * len(self._files)

    @property
    def features(self) -> int:
        """Width of the detector's features."""
        return int(self.clip(0)["scenes"].shape[-1])

    def clip(self, number: int) -> Batch:
        """Read a clip: the parts of its `Tracks`, and the `labels` of its frames."""
        opened = _opened(self._files[number // _EACH])
        return {name: opened.get_slice(name)[number % _EACH] for name in opened.keys()}  # noqa: SIM118 (no dict)


@lru_cache(maxsize=1024)
def _opened(file: Path) -> Any:
    return safe_open(file, "pt")


def keep_tracks(
    detector: Checkpoint,
    folder: Path,
    split: Split,
    count: int,
    actions: Sequence[str],
    *,
    device: str,
    workers: int,
    tell: Callable[[str], None],
) -> Shelf:
    """Look at clips of a split and keep what the detector sees; what was kept earlier is not done again.

    Parameters
    ----------
    detector
        An OWLv2; its revision names the folder of the files.
    folder
        Gets `tracks-REVISION/SPLIT-NUMBER.safetensors`, 15 MB each.
    count
        Clips, in fifties.
    actions
        STAR's ids, in the order of the labels.
    device
        Where the detector runs.
    workers
        Processes that draw.
    tell
        Takes a line of progress.
    """
    kept = folder / f"tracks-{detector.revision}"
    kept.mkdir(parents=True, exist_ok=True)
    files = [kept / f"{split}-{number:04d}.safetensors" for number in range(-(-count // _EACH))]
    missing = [number for number, file in enumerate(files) if not file.is_file()]
    if not missing:
        return Shelf(files)
    eye = Eye(detector, CLASSES, device=device, dtype="bfloat16")
    drawn = _drawn(
        split, [number * _EACH + place for number in missing for place in range(_EACH)], actions, workers
    )
    for number in missing:
        clips = [_look(eye, clip) for clip in islice(drawn, _EACH)]
        fresh = files[number].with_suffix(".new")
        save_file({name: torch.stack([clip[name] for clip in clips]) for name in clips[0]}, fresh)
        fresh.replace(files[number])
        tell(f"tracks {split} {(number + 1) * _EACH} of {count}")
    return Shelf(files)


def _look(eye: Eye, clip: Batch) -> Batch:
    pictures = list(clip["frames"].numpy())
    tracks = [eye.see(pictures[start : start + _AT_ONCE]) for start in range(0, len(pictures), _AT_ONCE)]
    seen = Tracks(*(torch.cat(parts).half() for parts in zip(*tracks, strict=True)))
    return {**seen._asdict(), **{name: value for name, value in clip.items() if name != "frames"}}


class _Clips(Dataset[Batch]):
    """Drawn clips by number: `frames` and labels."""

    def __init__(self, split: Split, actions: Sequence[str]) -> None:
        self._split: Split = split
        self._actions = actions

    def __getitem__(self, number: int) -> Batch:
        clip, pictures = draw_clip(self._split, number)
        return {"frames": torch.from_numpy(np.stack(pictures)), **labels(clip, self._actions)}


def _drawn(split: Split, numbers: list[int], actions: Sequence[str], workers: int) -> Iterator[Batch]:
    loader: Any = DataLoader(
        _Clips(split, actions), batch_size=None, sampler=numbers, num_workers=workers, worker_init_fn=alone
    )
    yield from loader


def draw_clip(split: Split, number: int) -> tuple[Clip, list[NDArray[np.uint8]]]:
    """Draw a clip, and what of its frames is shown."""
    rng = random.Random(f"{split}/{number}")  # noqa: S311 (no secret)
    seed = seed_of(split, _FIRST[split] + number)
    frames = plan(seed).frames
    length = frames if rng.random() < 0.5 else rng.randint(FRAMES, frames)
    first = rng.randint(0, frames - length)
    clip = render_clip(seed, [first + place * length // FRAMES for place in range(FRAMES)])
    pictures = list(clip.frames)
    if rng.random() < _FILMED:
        pictures = [as_filmed(picture, rng) for picture in pictures]
    chance = rng.random()
    focus = next((focus for limit, focus in _CROPPED if chance < limit), None)
    if focus is not None:
        always = [place for place in range(1, len(CLASSES)) if clip.present[:, place].all()]
        place = 0 if focus == "person" else rng.choice(always)
        pictures = [
            shown(picture, _around(box, rng))
            for picture, box in zip(pictures, clip.boxes[:, place].tolist(), strict=True)
        ]
    return clip, pictures


def _around(box: Sequence[float], rng: random.Random) -> Box:
    x1, y1, x2, y2 = (round(edge) + rng.randint(-_LOOSE, _LOOSE) for edge in box)
    return x1 - _MARGIN, y1 - _MARGIN, x2 + _MARGIN, y2 + _MARGIN


def labels(clip: Clip, actions: Sequence[str]) -> Batch:
    """Give the labels of a clip of T frames.

    Returns
    -------
    Batch
        `seconds` [T]; `act` [T], 0 for nothing, else one more than the action's place; `held` [T], -1 for
        nothing; `contact`, `present` [T, C]; `opened` [T, C].
    """
    places = {ACTIONS_BY_ID[key][1:4:2]: place for place, key in enumerate(actions)}
    act = [
        1 + places[VERBS[verb], CLASSES[thing]] if verb >= 0 else 0
        for verb, thing in zip(clip.verb.tolist(), clip.act_object.tolist(), strict=True)
    ]
    return {
        "seconds": torch.from_numpy(clip.indices / FPS).float(),
        "act": torch.tensor(act, dtype=torch.uint8),
        "held": torch.from_numpy(clip.held).to(torch.int8),
        "contact": torch.from_numpy(clip.contact),
        "present": torch.from_numpy(clip.present),
        "opened": torch.from_numpy(clip.opened).half(),
    }
