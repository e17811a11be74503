"""Train a small CLIP on frames of the household: the detector's image tower, and a text tower of its own.

Frames are padded to a square, as the detector's are, and the saved processor says so to the grounder. What
the person does, holds and touches is taught to the image embedding directly too; those heads are for training
only. Source of the class: Radford et al. (2021); the loss is SigLIP's, since several texts are true of one
frame (Zhai et al., 2023).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from aotd.tools.clip_features import TOKENS, normalised, square_pixels
from aotd.tools.torchvision_cpu import mend_torchvision
from aotd.world.clip import CLASSES, Clip, render_frames
from aotd.world.motion import Episode, simulate
from aotd.world.scene import VERBS
from aotd.world.split import Split, seed_of
from aotd.zoo.fit import Batch, Course, fit, moved
from aotd.zoo.frames import as_filmed
from aotd.zoo.phrases import ACTIONS, SAYINGS, pick_text, truth
from aotd.zoo.words import clip_tokenizer

__all__ = [
    "COURSE",
    "ClipTask",
    "draw_squares",
    "new_clip",
    "save_clip",
    "tower_shape",
    "tower_weights",
    "train_clip",
]

COURSE: Final = Course(steps=1_200, peak=4e-4, warmup=100, every=100)

_FRAMES: Final = 32
_EACH: Final = 4
"""Frames of a batch, and of one episode among them."""
_ACTING: Final = 0.7
"""Share of frames that are taken from events, where the rarer facts are."""
_PROJECTED: Final = 192
_TEXT: Final = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}


def train_clip(home: Path, *, seed: int, device: str, workers: int, tell: Callable[[str], None]) -> None:
    """Train CLIP from the detector in `home/detector/model`; it goes to `home/clip/model`."""
    mend_torchvision()
    from transformers import Owlv2ForObjectDetection

    owl = Owlv2ForObjectDetection.from_pretrained(str(home / "detector" / "model"), dtype=torch.float32)
    task = ClipTask(owl.owlv2.vision_model, seed)
    fit(task, COURSE, home / "clip", seed=seed, device=device, workers=workers, tell=tell)
    save_clip(task, home / "clip" / "model")


def new_clip(tower: Any, tokenizer: Any) -> Any:
    """Make a CLIP around the weights of an OWLv2 image tower, whose layers are the same.

    Parameters
    ----------
    tower
        An `Owlv2VisionModel`.
    tokenizer
        The text tower's, as of `words.clip_tokenizer`.

    Returns
    -------
    CLIPModel
        With the tower's weights copied, and small random ones elsewhere.
    """
    from transformers import CLIPConfig, CLIPModel

    ends = ("bos_token_id", "eos_token_id", "pad_token_id")
    config = CLIPConfig(
        text_config={
            **_TEXT,
            **{end: getattr(tokenizer, end) for end in ends},
            "hidden_act": "gelu",
            "vocab_size": len(tokenizer),
            "max_position_embeddings": TOKENS,
        },
        vision_config=tower_shape(tower),
        projection_dim=_PROJECTED,
    )
    # In bfloat16 the plain attention is the faster one on a CPU at this size.
    clip = CLIPModel._from_config(config, attn_implementation="eager")
    for module in clip.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
    clip.vision_model.load_state_dict(tower_weights(tower))
    return clip


def tower_shape(tower: Any) -> dict[str, Any]:
    """Give the sizes of an OWLv2 image tower as CLIP's configuration names them."""
    shape = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    same = (*shape, "hidden_act", "image_size", "patch_size", "layer_norm_eps")
    return {name: getattr(tower.config, name) for name in same}


def tower_weights(tower: Any) -> dict[str, Tensor]:
    """Give the weights of an OWLv2 image tower as CLIP's image tower names them."""
    return {name.replace("pre_layernorm", "pre_layrnorm"): t for name, t in tower.state_dict().items()}


class ClipTask:
    """CLIP of 2.2 million weights, with heads that are trained beside it.

    Parameters
    ----------
    tower
        The image tower that it starts from, an `Owlv2VisionModel`.
    seed
        Of new weights and of batches.
    measured
        Frames of the validation split that it is measured on.
    """

    def __init__(self, tower: Any, seed: int, *, measured: int = 512) -> None:
        torch.manual_seed(seed)
        self._seed = seed
        self._measured = measured
        self.tokenizer = clip_tokenizer([text for saying in SAYINGS for text in saying.texts], TOKENS)
        self.clip = new_clip(tower, self.tokenizer)
        self.side: int = self.clip.config.vision_config.image_size
        self.heads = _Heads(_PROJECTED)
        self.model = nn.ModuleDict({"clip": self.clip, "heads": self.heads})

    def batch(self, step: int) -> Batch:
        """Draw frames, and word everything that may be true of one."""
        rng = random.Random(f"{self._seed}/{step}")  # noqa: S311 (no secret)
        drawn = draw_squares("train", step * (_FRAMES // _EACH), _FRAMES, each=_EACH, side=self.side)
        return {**drawn, **self.words([saying.texts[pick_text(rng, saying)] for saying in SAYINGS])}

    def words(self, texts: Sequence[str]) -> Batch:
        """Turn texts into `ids` and `mask`, [texts, tokens]."""
        read = self.tokenizer(list(texts), padding=True, return_tensors="pt")
        return {"ids": read.input_ids, "mask": read.attention_mask}

    def loss(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Hold every frame against every text, and against what the heads say."""
        seen, said = self._towers(batch)
        logits = self._logits(seen, said)
        each = F.binary_cross_entropy_with_logits(logits, batch["true"].float(), reduction="none")
        parts = {
            "deeds_loss": 0.3 * each[:, :ACTIONS].sum(-1).mean(),
            "states_loss": 0.1 * each[:, ACTIONS:].sum(-1).mean(),
            **self.heads.losses(seen, batch),
        }
        return torch.stack(list(parts.values())).sum(), parts

    def _towers(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Embed frames [N, width] and texts [S, width], as they are projected."""
        squares = normalised(batch["squares"])
        with torch.autocast(squares.device.type, torch.bfloat16):
            seen = self.clip.get_image_features(pixel_values=squares).pooler_output
            said = self.clip.get_text_features(
                input_ids=batch["ids"], attention_mask=batch["mask"]
            ).pooler_output
        return seen.float(), said.float()

    def _logits(self, seen: Tensor, said: Tensor) -> Tensor:
        alike = F.normalize(seen, dim=-1) @ F.normalize(said, dim=-1).T
        found: Tensor = alike * self.clip.logit_scale.exp() + self.heads.bias
        return found

    def scores(self) -> Mapping[str, float]:
        """Measure on the validation split: top-1 by the heads and by texts, and how texts rank frames.

        Verb, object and action are counted in frames of events, `held` in all. `auc` is how often a true
        text scores above a false one of the same frame, on the average of frames.
        """
        device = self.clip.device
        drawn = draw_squares("validation", 0, self._measured, each=2, side=self.side)
        texts = moved(self.words([saying.texts[0] for saying in SAYINGS]), device)
        found = [self._towers({"squares": part.to(device), **texts}) for part in drawn["squares"].split(64)]
        seen, named = torch.cat([own for own, _ in found]), self.heads.named
        batch, logits = moved(drawn, device), self._logits(seen, found[0][1])
        acting = batch["verb"] > 0
        right = {name: (head(seen).argmax(-1) == batch[name]).float() for name, head in named.items()}
        best = logits[:, :ACTIONS].argmax(-1, keepdim=True)
        deed = batch["true"].gather(1, best)[:, 0].float()
        return {
            "verb": float(right["verb"][acting].mean()),
            "object": float(right["object"][acting].mean()),
            "held": float(right["held"].mean()),
            "action": float(deed[acting].mean()),
            "auc": _auc(logits, batch["true"]),
        }


class _Heads(nn.Module):
    """What is told of a frame beside its texts."""

    def __init__(self, width: int) -> None:
        super().__init__()
        sizes = {"verb": 1 + len(VERBS), "object": 1 + len(CLASSES), "held": 1 + len(CLASSES)}
        self.named = nn.ModuleDict({name: nn.Linear(width, size) for name, size in sizes.items()})
        """One of several, 0 for none."""
        self.graded = nn.ModuleDict({name: nn.Linear(width, len(CLASSES)) for name in ("contact", "opened")})
        """Each class from 0 to 1."""
        self.bias = nn.Parameter(torch.tensor(-6.0))
        """Of the logits of frames and texts."""

    def losses(self, seen: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Compare with the labels."""
        weights = {"verb": 1.0, "object": 1.0, "held": 0.5}
        told = {
            name: weights[name] * F.cross_entropy(head(seen), batch[name])
            for name, head in self.named.items()
        }
        return told | {
            name: 3 * F.binary_cross_entropy_with_logits(head(seen), batch[name])
            for name, head in self.graded.items()
        }


def draw_squares(split: Split, first: int, count: int, *, each: int, side: int) -> Batch:
    """Draw frames of consecutive episodes of a split as squares, most of them from events.

    Parameters
    ----------
    first
        Number of the first episode.
    count, each
        Frames in all and of one episode.
    side
        Pixels of the square.

    Returns
    -------
    Batch
        `squares` [N, 3, side, side] uint8; `true` [N, sayings]; `verb`, `object`, `held` [N], 0 for none;
        `contact`, `opened` [N, C].
    """
    rng = random.Random(f"{split}/{first}")  # noqa: S311 (no secret)
    squares: list[Tensor] = []
    labels: dict[str, list[NDArray[Any]]] = {}
    for number in range(first, first + -(-count // each)):
        episode = simulate(seed_of(split, number))
        clip = render_frames(episode, sorted(_pick_frame(episode, rng) for _ in range(each)))
        pictures = (as_filmed(frame, rng) for frame in clip.frames)
        squares += [square_pixels(picture, None, side, antialias=True, pads=True) for picture in pictures]
        told = truth(episode)[clip.indices]
        true = np.stack([told[:, list(saying.readings)].any(1) for saying in SAYINGS], 1)
        for name, value in {"true": true, **_labels(clip)}.items():
            labels.setdefault(name, []).append(value)
    return {
        "squares": torch.stack(squares[:count]),
        **{name: torch.from_numpy(np.concatenate(values)[:count]) for name, values in labels.items()},
    }


def _pick_frame(episode: Episode, rng: random.Random) -> int:
    if rng.random() < _ACTING:
        event = rng.choice(episode.plan.events)
        return rng.randrange(event.start, event.end)
    return rng.randrange(len(episode.frames))


def _labels(clip: Clip) -> dict[str, NDArray[Any]]:
    """Tell what the heads are to say of each frame; 0 is for none."""
    return {
        "verb": clip.verb + 1,
        "object": clip.act_object + 1,
        "held": clip.held + 1,
        "contact": clip.contact.astype(np.float32),
        "opened": clip.opened,
    }


def _auc(logits: Tensor, true: Tensor) -> float:
    """Average over frames how often a true text scores above a false one."""
    shares = [
        (row[hits][:, None] > row[~hits]).float().mean()
        for row, hits in zip(logits, true, strict=True)
        if hits.any()
    ]
    return float(torch.stack(shares).mean())


def save_clip(task: ClipTask, folder: Path) -> None:
    """Write the model and its processor as `from_pretrained` reads them, in float16."""
    from transformers import CLIPProcessor, Owlv2ImageProcessor

    images = Owlv2ImageProcessor(size={"height": task.side, "width": task.side})  # it pads
    CLIPProcessor(image_processor=images, tokenizer=task.tokenizer).save_pretrained(str(folder))
    task.clip.half().save_pretrained(str(folder))
    task.clip.float()
