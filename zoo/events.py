"""Train the event model on tracks of the trained detector, whose mistakes are thereby in the data.

Clips of the training split are drawn, looked at once by the detector, and kept as its tracks under the home
folder; training reads those. Episodes are others than the detector learnt from. Knows no questions.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aotd.tools.checkpoints import find_checkpoint
from aotd.tools.event_model import EventModel, EventShape, save_event_model
from aotd.tools.event_spans import find_events
from aotd.tools.tracks import Tracks
from aotd.traces.star_vocabulary import ACTIONS_BY_ID
from aotd.world.clip import CLASSES
from aotd.world.scene import USES, Move
from aotd.world.split import Split
from aotd.world.templates import action
from aotd.zoo.fit import Batch, Course, fit, moved
from aotd.zoo.track_data import FRAMES, Shelf, keep_tracks

__all__ = ["ACTIONS", "COURSE", "EventTask", "event_scores", "train_events"]

COURSE: Final = Course(steps=2_400, peak=1.5e-3, warmup=150, decay=0.05, every=300)

ACTIONS: Final = tuple(sorted(action(Move(verb, name)) for verb, names in USES.items() for name in names))
"""STAR's ids of all that is done in the household."""

_CLIPS: Final[dict[Split, int]] = {"validation": 300, "train": 4_000}
_BATCH: Final = 16
_WHOLE: Final = 0.4
"""How often a batch's clips have all of their frames."""
_NOISE: Final = {"boxes": 0.004, "scores": 0.3, "features": 0.1, "scenes": 0.1}
"""What is added to the tracks, standard deviations: there are not many clips."""
_GAPS: Final = 0.3
"""How often frames are left out anywhere, as a filter leaves them out."""


class EventTask:
    """The event model, with heads that are trained beside it.

    Parameters
    ----------
    shape
        The model's.
    train, validation
        Tracks of clips.
    seed
        Of weights and batches.
    """

    def __init__(self, shape: EventShape, train: Shelf, validation: Shelf, seed: int) -> None:
        torch.manual_seed(seed)
        self._seed = seed
        self._train = train
        self._validation = validation
        self.events = EventModel(shape)
        self._heads = _Heads(shape)
        self.model = nn.ModuleDict({"events": self.events, "heads": self._heads})

    def batch(self, step: int) -> Batch:
        """Choose clips, and frames of each: as many of all, so that nothing is padded."""
        rng = random.Random(f"{self._seed}/{step}")  # noqa: S311 (no secret)
        count = FRAMES if rng.random() < _WHOLE else rng.randint(1, FRAMES)
        clips = []
        for _ in range(_BATCH):
            first = rng.randint(0, FRAMES - count)
            frames = list(range(first, first + count))
            if rng.random() < _GAPS:
                frames = sorted(rng.sample(range(FRAMES), count))
            clip = self._train.clip(rng.randrange(len(self._train)))
            clips.append({name: value[frames] for name, value in clip.items()})
        joined = {name: torch.stack([clip[name] for clip in clips]) for name in clips[0]}
        noise = torch.Generator().manual_seed(rng.randrange(1 << 30))
        for name, amount in _NOISE.items():
            values = joined[name].float()
            joined[name] = values + amount * torch.randn(values.shape, generator=noise)
        return joined

    def loss(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Weigh what is said of each frame, and what the heads say."""
        with torch.autocast(batch["boxes"].device.type, torch.bfloat16):
            classes, scenes = self.events.look(_tracks(batch), batch["seconds"].float())
            logits = self.events.tell(classes, scenes).float()
            beside = self._heads.losses(classes, scenes, batch)
        parts = {"act": F.cross_entropy(logits.flatten(0, 1), batch["act"].flatten().long()), **beside}
        return torch.stack(list(parts.values())).sum(), parts

    def scores(self) -> Mapping[str, float]:
        """Measure on the validation split; `event_scores` says what."""
        said, acts, times = [], [], []
        for number in range(len(self._validation)):
            clip = moved(self._validation.clip(number), self.events.of_class.device)
            one = {name: value.unsqueeze(0) for name, value in clip.items()}
            said.append(self.events(_tracks(one), one["seconds"].float())[0].cpu())
            acts.append(clip["act"].cpu().long())
            times.append(clip["seconds"].cpu())
        return event_scores(torch.stack(said), torch.stack(acts), torch.stack(times))


class _Heads(nn.Module):
    """What is told of a frame beside its event: what is held, touched and open."""

    def __init__(self, shape: EventShape) -> None:
        super().__init__()
        self.held = nn.Linear(shape.width, 1)
        self.free = nn.Linear(shape.width, 1)
        self.box = nn.Linear(shape.width, 2)

    def losses(self, classes: Tensor, scenes: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Compare with the labels."""
        held = torch.cat([self.free(scenes), self.held(classes).squeeze(-1)], -1).float()
        states = torch.stack([batch["contact"].float(), batch["opened"].float()], -1)
        there = batch["present"].unsqueeze(-1).expand_as(states)
        boxes = F.binary_cross_entropy_with_logits(self.box(classes).float()[there], states[there])
        return {
            "held": 0.3 * F.cross_entropy(held.flatten(0, 1), batch["held"].flatten().long() + 1),
            "box": 0.3 * boxes,
        }


def _tracks(batch: Batch) -> Tracks:
    return Tracks(*(batch[name].float() for name in Tracks._fields))


def event_scores(logits: Tensor, acts: Tensor, seconds: Tensor) -> dict[str, float]:
    """Measure what is said of clips.

    Parameters
    ----------
    logits
        [clips, frames, 1 + actions].
    acts
        [clips, frames]: what is under way, 0 for nothing.
    seconds
        [clips, frames].

    Returns
    -------
    dict
        Shares of frames that are right: `frames` of all, and of those in which something is under way the
        whole action, its verb, its object. `events`: F1 of events, found if action and half of the span
        (IoU) agree; `named`: if the action agrees.
    """
    said = logits.argmax(-1)
    acting = acts > 0
    verbs = _numbers([ACTIONS_BY_ID[key].verb for key in ACTIONS])
    objects = _numbers([ACTIONS_BY_ID[key].obj for key in ACTIONS])
    spans, names, found, true = 0, 0, 0, 0
    for clip in range(len(logits)):
        told = find_events(logits[clip].softmax(-1), seconds[clip], ACTIONS)
        real = {
            ACTIONS[int(act) - 1]: (acts[clip] == act).nonzero().flatten()
            for act in acts[clip].unique()
            if act
        }
        found, true = found + len(told), true + len(real)
        for event in told:
            frames = real.get(event.action)
            if frames is not None:
                names += 1
                low, high = int(frames[0]), int(frames[-1]) + 1
                common = max(0, min(high, event.end) - max(low, event.start))
                spans += 2 * common >= max(high, event.end) - min(low, event.start)
    return {
        "frames": float((said == acts).float().mean()),
        "action": float((said == acts)[acting].float().mean()),
        "verb": float((verbs[said] == verbs[acts])[acting].float().mean()),
        "object": float((objects[said] == objects[acts])[acting].float().mean()),
        "events": 2 * spans / max(1, found + true),
        "named": 2 * names / max(1, found + true),
    }


def _numbers(words: Sequence[str]) -> Tensor:
    """Number words, equal ones alike; -1 comes first, for nothing."""
    known = sorted(set(words))
    return torch.tensor([-1, *(known.index(word) for word in words)])


def train_events(home: Path, *, seed: int, device: str, workers: int, tell: Callable[[str], None]) -> None:
    """Train the event model, or go on where an earlier call was stopped.

    Parameters
    ----------
    home
        Folder of all models: `detector/model` is read; `events` gets the tracks, the curve and `model`.
    seed, device, workers, tell
        As `zoo.fit.fit`.
    """
    detector = find_checkpoint(str(home / "detector" / "model"))
    folder = home / "events"
    shelves = {
        split: keep_tracks(detector, folder, split, count, ACTIONS, device=device, workers=workers, tell=tell)
        for split, count in _CLIPS.items()
    }
    shape = EventShape(names=CLASSES, actions=ACTIONS, features=shelves["train"].features)
    task = EventTask(shape, shelves["train"], shelves["validation"], seed)
    fit(task, COURSE, folder, seed=seed, device=device, workers=workers, tell=tell)
    save_event_model(task.events, folder / "model")
