"""Train a small UniVTG on CLIP features of the household, and measure it.

It looks for sayings in excerpts of episodes and in parts of them, for what is there and for what is not.
Window borders are learnt in the middle of their first and last position, so that rounding outward, as the
grounder does, gives just these. Source of the losses: Lin et al., UniVTG (ICCV 2023).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from aotd.benchmarks.geometry import interval_iou_table
from aotd.tools.checkpoints import find_checkpoint
from aotd.tools.clip_features import ClipTowers, ClipWeights, load_clip
from aotd.tools.univtg import UniVtgModel, UniVtgOutput, unit_rows, with_ends
from aotd.tools.univtg_grounder import frame_borders, frame_window
from aotd.traces.records import GRID
from aotd.zoo.excerpts import Excerpts, Part, kept_excerpts
from aotd.zoo.fit import Batch, Course, fit
from aotd.zoo.phrases import ACTIONS, FACTS, SAYINGS, meant, pick_text, runs

__all__ = ["COURSE", "GrounderTask", "grounding_scores", "save_grounder", "targets", "train_grounder"]

COURSE: Final = Course(steps=1_500, peak=7e-4, warmup=200, every=500)

_TRAINED: Final = 1_200
_MEASURED: Final = 200
"""Episodes."""
_FIRST: Final = 600_000
"""First training episode: those before it are CLIP's."""

_CLIPS: Final = 12
_ASKED: Final = 6
"""Clips of a batch, and texts that are looked for in each."""
_WHOLE: Final = 0.7
"""Share of batches in which all 32 positions are shown; in the others it is a part."""
_LEAST: Final = 8
_DEEDS: Final = 3
_ABSENT: Final = 2
"""Of the texts, at most so many of actions that are there, and at least so many of what is not."""
_WARMTH: Final = 0.07


def train_grounder(home: Path, *, seed: int, device: str, workers: int, tell: Callable[[str], None]) -> None:
    """Train UniVTG on the CLIP in `home/clip/model`; it goes to `home/grounder/model`."""
    folder, clip = home / "grounder", home / "clip" / "model"
    towers = load_clip(ClipWeights("transformers", find_checkpoint(str(clip), None)), "float32", device)
    weights = clip / "model.safetensors"
    train, measured = (
        kept_excerpts(folder / f"{part.split}.safetensors", towers, weights, part, workers=workers, tell=tell)
        for part in (Part("train", _FIRST, _TRAINED), Part("validation", 0, _MEASURED))
    )
    task = GrounderTask(towers, train, measured, seed)
    fit(task, COURSE, folder, seed=seed, device=device, workers=workers, tell=tell)
    save_grounder(task, folder / "model")


class _Texts(NamedTuple):
    """Features of all wordings."""

    rows: Tensor
    """[texts, tokens, width], unit rows."""
    mask: Tensor
    """[texts, tokens]"""
    first: tuple[int, ...]
    """Number of each saying's first wording."""


class GrounderTask:
    """UniVTG of 0.9 million weights.

    Parameters
    ----------
    towers
        CLIP, for the texts.
    train, measured
        Excerpts to learn from, and to measure on.
    seed
        Of the weights and of batches.
    width
        Of the network; its heads are 8.
    """

    def __init__(
        self, towers: ClipTowers, train: Excerpts, measured: Excerpts, seed: int, *, width: int = 128
    ) -> None:
        torch.manual_seed(seed)
        self._seed = seed
        self._train = train
        self._measured = measured
        self._texts = _read_texts(towers)
        self.model = UniVtgModel(
            width=width,
            inner=2 * width,
            video_width=train.features.shape[-1] + 2,
            text_width=self._texts.rows.shape[-1],
            layers=3,
            words=1,
            input_dropout=0.1,
        )

    def batch(self, step: int) -> Batch:
        """Choose clips of one length, and what to look for in each."""
        rng = random.Random(f"{self._seed}/{step}")  # noqa: S311 (no secret)
        length = GRID if rng.random() < _WHOLE else rng.randint(_LEAST, GRID - 1)
        videos, numbers, hits = [], [], []
        for _ in range(_CLIPS):
            excerpt = rng.randrange(len(self._train.features))
            first = rng.randint(0, GRID - length)
            videos.append(with_ends(self._train.features[excerpt, first : first + length].float()))
            told = self._train.told[excerpt, first : first + length].numpy()
            for saying in _choose(rng, told):
                numbers.append(self._texts.first[saying] + pick_text(rng, SAYINGS[saying]))
                hits.append(meant(SAYINGS[saying], told))
        wanted = torch.from_numpy(np.stack(hits))
        score, weight, spans = targets(wanted)
        return {
            "video": torch.stack(videos),
            "words": self._texts.rows[numbers],
            "mask": self._texts.mask[numbers],
            "hits": wanted,
            "score": score,
            "weight": weight,
            "spans": spans,
            "step": torch.tensor(step),
        }

    def loss(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Weigh which frames are in a window, its borders, and which frame and text belong together."""
        clips, length, _ = batch["video"].shape
        asked = len(batch["hits"]) // clips
        with torch.random.fork_rng():  # what is dropped follows from the step, as the batch does
            torch.manual_seed(int(batch["step"]))
            seen: UniVtgOutput = self.model(
                batch["video"].repeat_interleave(asked, 0), batch["words"], text_mask=batch["mask"]
            )
        each = F.binary_cross_entropy(seen.scores, batch["score"], reduction="none")
        inside = batch["score"] > 0
        parts = {
            "frames": 4 * (each * batch["weight"]).sum() / batch["weight"].sum(),
            **_border_losses(seen.spans, batch["spans"], inside),
            **_saliency_losses(
                seen.saliency.view(clips, asked, length), batch["hits"].view(clips, asked, length)
            ),
        }
        return torch.stack(list(parts.values())).sum(), parts

    def scores(self) -> Mapping[str, float]:
        """Measure on the validation excerpts; `grounding_scores` says what."""
        return grounding_scores(self.look, self._measured)

    @torch.inference_mode()
    def look(self, features: Tensor, sayings: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Look for sayings in one clip: scores [S, L] and spans [S, L, 2]."""
        device = self.model.token_type_embeddings.weight.device
        numbers = [self._texts.first[saying] for saying in sayings]
        video = with_ends(features.float()).expand(len(numbers), -1, -1)
        seen = self.model(
            video.to(device),
            self._texts.rows[numbers].to(device),
            text_mask=self._texts.mask[numbers].to(device),
        )
        return seen.scores.cpu(), seen.spans.cpu()


def _read_texts(towers: ClipTowers) -> _Texts:
    texts = [text for saying in SAYINGS for text in saying.texts]
    rows = [unit_rows(found.rows.float().cpu()) for found in towers.texts(texts)]
    starts = np.cumsum([0, *(len(saying.texts) for saying in SAYINGS)])[:-1]
    return _Texts(
        pad_sequence(rows, batch_first=True),
        pad_sequence([row.new_ones(len(row)) for row in rows], batch_first=True),
        tuple(int(start) for start in starts),
    )


def _choose(rng: random.Random, told: NDArray[np.bool_]) -> list[int]:
    """Choose sayings for a clip [frames, facts]: actions and states that are there, and what is not."""
    true = set(np.flatnonzero(told.any(0)).tolist())
    there = [s for s, saying in enumerate(SAYINGS) if not true.isdisjoint(saying.readings)]
    deeds = [s for s in there if s < ACTIONS]
    states = [s for s in there if s >= ACTIONS]
    # Relations are chosen by kind, or "near" would be most of them.
    kinds = sorted({FACTS[SAYINGS[s].readings[0]].name for s in states})
    chosen = rng.sample(deeds, min(len(deeds), _DEEDS))
    while kinds and len(chosen) < _ASKED - _ABSENT:
        kind = rng.choice(kinds)
        chosen.append(rng.choice([s for s in states if FACTS[SAYINGS[s].readings[0]].name == kind]))
    absent = [s for s in range(len(SAYINGS)) if s not in set(there)]
    while len(chosen) < _ASKED:
        chosen.append(rng.choice(_alike(chosen[0], absent) if rng.random() < 0.5 else absent))
    return chosen


def _alike(saying: int, absent: Sequence[int]) -> Sequence[int]:
    """List those of the same verb or relation, or of the same object."""
    own = FACTS[SAYINGS[saying].readings[0]]
    facts = {s: FACTS[SAYINGS[s].readings[0]] for s in absent}
    return [
        s for s, fact in facts.items() if (fact.name == own.name) != (fact.object == own.object)
    ] or absent


def targets(hits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Say what the network is to say of each frame.

    A frame's own place is one position on, as `frame_borders` has it, so the last position of a window lies
    outside by then and is left out, unless it is the only one.

    Parameters
    ----------
    hits
        [R, L], bool: where each text is true.

    Returns
    -------
    tuple of Tensor
        `score` [R, L], 1 inside a window; `weight` [R, L] of that; `spans` [R, L, 2], the ways to the middle
        of the window's first and last position, in units of all L positions; 0 outside.
    """
    score = torch.zeros(hits.shape)
    weight = torch.full(hits.shape, 0.4)
    spans = torch.zeros(*hits.shape, 2)
    length = hits.shape[1]
    for row, own in enumerate(hits.numpy()):
        for start, end in runs(own):
            last = max(end - 1, start + 1)
            score[row, start:last] = 1
            weight[row, start:last] = 1
            weight[row, last:end] = 0
            place = torch.arange(start, last) + 1.0
            spans[row, start:last, 0] = (start + 0.5 - place) / length
            spans[row, start:last, 1] = (end - 0.5 - place).clamp(min=0) / length
    return score, weight, spans


def _border_losses(found: Tensor, wanted: Tensor, inside: Tensor) -> dict[str, Tensor]:
    """Compare the windows of the frames inside one; every text counts alike."""
    share = inside / inside.sum(1, keepdim=True).clamp(min=1)
    share = share[inside] / inside.any(1).sum().clamp(min=1)
    found, wanted = found[inside], wanted[inside]
    away = (found - wanted).abs().sum(-1)
    common = torch.minimum(found.abs(), wanted.abs()).sum(-1)
    around = torch.maximum(found.abs(), wanted.abs()).sum(-1)
    # Both windows hold the frame's own place, so what they have in common is one piece.
    return {"borders": 10 * (share * away).sum(), "overlap": (share * (1 - common / (around + 1e-6))).sum()}


def _saliency_losses(alike: Tensor, hits: Tensor) -> dict[str, Tensor]:
    """Contrast frames by their text, and texts by their frame: [clips, texts, frames] each.

    Two texts that are both true of a frame are no contrast.
    """
    logits = alike / _WARMTH
    there = hits.any(-1)
    within = logits.logsumexp(-1) - logits.masked_fill(~hits, -1e9).logsumexp(-1)
    others = logits.masked_fill(hits, -1e9).logsumexp(1, keepdim=True)
    between = torch.logaddexp(logits, others) - logits
    return {
        "frame_of_text": 0.2 * within[there].mean(),
        "text_of_frame": 0.2 * between[hits].mean(),
    }


_Look = Callable[[Tensor, Sequence[int]], tuple[Tensor, Tensor]]


def grounding_scores(look: _Look, excerpts: Excerpts) -> dict[str, float]:
    """Measure the first window of every text that is true somewhere in a clip, and of others.

    Parameters
    ----------
    look
        Gives scores [S, L] and spans [S, L, 2] of sayings in a clip's features.
    excerpts
        Where to look.

    Returns
    -------
    dict
        Of actions, and with `state_` of relations: mean overlap with the nearest true window (`iou`), share
        of one half or more (`half`), how often the window's middle is true (`middle`), and what the whole
        clip and the best centred window would overlap (`whole`, `centred`). `auc` is how often an action
        that is there scores above one that is not; `none_kept` how many of those that are not still score
        above the lowest tenth of those that are.
    """
    found: dict[str, list[_Found]] = {"": [], "state_": []}
    absent: list[float] = []
    for features, facts in zip(excerpts.features, excerpts.told.numpy(), strict=True):
        hits = [meant(saying, facts) for saying in SAYINGS]
        asked = [s for s, own in enumerate(hits) if s < ACTIONS or own.any()]
        scores, spans = look(features, asked)
        for saying, score, span in zip(asked, scores, spans, strict=True):
            if hits[saying].any():
                kind = "" if saying < ACTIONS else "state_"
                found[kind].append(_judge(score, span, hits[saying]))
            else:
                absent.append(float(score.max()))
    told: dict[str, float] = {}
    for kind, those in found.items():
        told |= {f"{kind}{name}": value for name, value in _summed(those).items()}
    best, none = torch.tensor([own.score for own in found[""]]), torch.tensor(absent)
    least = best.quantile(0.1)
    return {
        **told,
        "auc": float((best[:, None] > none[None]).float().mean()),
        "none_kept": float((none >= least).float().mean()),
        "least": float(least),
    }


class _Found(NamedTuple):
    """What became of one text."""

    iou: float
    middle: bool
    score: float
    whole: float
    centred: NDArray[np.float64]
    """Overlap of the centred window of each length from 1."""


def _judge(scores: Tensor, spans: Tensor, hits: NDArray[np.bool_]) -> _Found:
    length, best = len(scores), int(scores.argmax())
    start, end = frame_borders(spans, 1.0)[best].tolist()
    window = frame_window(start, end, length)
    centred = [((length - n) // 2, (length - n) // 2 + n) for n in range(1, length + 1)]
    overlaps = interval_iou_table([window, *centred], runs(hits)).max(1)
    return _Found(
        iou=float(overlaps[0]),
        middle=bool(hits[(window[0] + window[1] - 1) // 2]),
        score=float(scores[best]),
        whole=float(overlaps[-1]),
        centred=overlaps[1:],
    )


def _summed(found: Sequence[_Found]) -> dict[str, float]:
    ious = np.array([own.iou for own in found])
    return {
        "n": float(len(found)),
        "iou": float(ious.mean()),
        "half": float((ious >= 0.5).mean()),
        "middle": float(np.mean([own.middle for own in found])),
        "whole": float(np.mean([own.whole for own in found])),
        "centred": float(np.mean([own.centred for own in found], axis=0).max()),
    }


def save_grounder(task: GrounderTask, folder: Path) -> None:
    """Write the weights as the grounder reads them, in float16: `folder/model.safetensors`."""
    folder.mkdir(parents=True, exist_ok=True)
    state: Mapping[str, Any] = task.model.state_dict()
    weights = {name: tensor.half().contiguous().cpu() for name, tensor in state.items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
