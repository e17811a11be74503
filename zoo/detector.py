"""Train the detector: OWLv2, tiny, from nothing, on frames of the household.

Beside the boxes it learns, from the same tower, what the person does, holds and touches and what is open;
those heads are for training only and are not shipped. Source of the class: Minderer et al., "Scaling
open-vocabulary object detection" (2023); the losses are ours.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aotd.tools.torchvision_cpu import mend_torchvision
from aotd.world.clip import CLASSES
from aotd.world.scene import VERBS, WIDTH
from aotd.zoo.fit import Batch, Course, fit, moved
from aotd.zoo.frames import draw_frames, mean_boxes, pixels
from aotd.zoo.words import ABSENT, clip_tokenizer, names_of, pick_names

__all__ = [
    "COURSE",
    "DetectorTask",
    "detection_scores",
    "overlap",
    "positives",
    "save_detector",
    "train_detector",
]

COURSE: Final = Course(steps=4_500, peak=1e-3, warmup=300, every=500)

_PATCH: Final = 20
_GRID: Final = WIDTH // _PATCH
_WORDS: Final = 12
"""Tokens of a name, its ends among them."""
_FRAMES: Final = 32
_EACH: Final = 8
"""Frames of a batch, and of one episode among them."""
_NONE: Final = 6
"""Names in a batch of what is not there."""
_MEASURED: Final = 512


class DetectorTask:
    """OWLv2 of 2 million weights, with heads that are trained beside it."""

    def __init__(self, seed: int) -> None:
        mend_torchvision()
        torch.manual_seed(seed)
        self._seed = seed
        self.tokenizer = clip_tokenizer([n for name in (*CLASSES, *ABSENT) for n in names_of(name)], _WORDS)
        self.owl = _new_owl(self.tokenizer)
        self.heads = _Heads(self.owl.config)
        self.model = nn.ModuleDict({"owl": self.owl, "heads": self.heads})
        self._mean_boxes: Tensor | None = None

    def batch(self, step: int) -> Batch:
        """Draw frames and choose the names that are asked for in them."""
        rng = random.Random(f"{self._seed}/{step}")  # noqa: S311 (no secret)
        drawn = draw_frames("train", step * (_FRAMES // _EACH), _FRAMES, each=_EACH)
        return {**drawn, **self.words(pick_names(rng, _NONE))}

    def words(self, names: list[str]) -> Batch:
        """Turn names into `ids` and `mask`, [names, tokens]."""
        read = self.tokenizer(names, padding="max_length", max_length=_WORDS, return_tensors="pt")
        return {"ids": read.input_ids, "mask": read.attention_mask}

    def loss(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Weigh boxes, names, and what the heads say."""
        tower, pooled, queries = self._towers(batch)
        features = tower.flatten(1, 2)
        logits, _ = self.owl.class_predictor(features, queries.expand(len(features), -1, -1))
        boxes = self.owl.box_predictor(features, tower)
        frame, name, cell = positives(batch)
        target = batch["boxes"][frame, name]
        found = boxes[frame, cell]
        iou, giou = overlap(found, target)
        parts = {
            "names": 2 * _focal(logits, (frame, cell, name), 0.3 + 0.7 * iou.detach().clamp(0, 1)),
            "which": 0.3 * F.cross_entropy(logits[frame, cell], name),
            "boxes": 20 * (found - target).abs().mean() + 2 * (1 - giou).mean(),
            "objectness": self._objectness(features, (frame, cell), iou.detach()),
            **self.heads.losses(pooled, features[frame, cell], batch, (frame, name)),
        }
        return torch.stack(list(parts.values())).sum(), {**parts, "iou": iou.mean()}

    def _towers(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Run the towers: [N, rows, columns, width], the class token [N, width], names [1, names, width]."""
        with torch.autocast(batch["frames"].device.type, torch.bfloat16):
            queries = self.owl.owlv2.get_text_features(
                input_ids=batch["ids"], attention_mask=batch["mask"]
            ).pooler_output
            tower, seen = self.owl.image_embedder(pixel_values=pixels(batch["frames"]))
        return tower.float(), seen.pooler_output.float(), queries.float().unsqueeze(0)

    def _objectness(self, features: Tensor, places: tuple[Tensor, Tensor], iou: Tensor) -> Tensor:
        said = self.owl.objectness_predictor(features)
        target = torch.zeros_like(said)
        target[places] = 0.3 + 0.7 * iou.clamp(0, 1)
        return F.binary_cross_entropy_with_logits(said, target)

    def scores(self) -> Mapping[str, float]:
        """Measure on the validation split; `detection_scores` says what."""
        device = self.owl.device
        batch = moved(draw_frames("validation", 0, _MEASURED, each=2), device)
        if self._mean_boxes is None:
            self._mean_boxes = mean_boxes(draw_frames("train", 0, 1000, each=1, filmed=False)).to(device)
        asked = moved(self.words(list(CLASSES)), device)
        logits, boxes, said = [], [], []
        for start in range(0, _MEASURED, 64):
            part = {"frames": batch["frames"][start : start + 64], **asked}
            tower, pooled, queries = self._towers(part)
            features = tower.flatten(1, 2)
            logits.append(self.owl.class_predictor(features, queries.expand(len(features), -1, -1))[0])
            boxes.append(self.owl.box_predictor(features, tower))
            said.append(self.heads.verb(pooled).argmax(-1))
        verb = torch.cat(said) == batch["verb"] + 1
        acting = batch["verb"] >= 0
        return {
            **detection_scores(torch.cat(logits), torch.cat(boxes), batch, self._mean_boxes),
            "verb": float(verb[acting].float().mean()),
        }


class _Heads(nn.Module):
    """What is told of a frame beside its boxes: verb, its object, what is held, touched and open."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        width = config.vision_config.hidden_size
        self.verb = nn.Linear(width, 1 + len(VERBS))
        self.object = nn.Linear(width, 1 + len(CLASSES))
        self.held = nn.Linear(width, 1 + len(CLASSES))
        self.box = nn.Linear(width, 3)
        """At a box: touched, held, open."""

    def losses(
        self, pooled: Tensor, at_boxes: Tensor, batch: Batch, places: tuple[Tensor, Tensor]
    ) -> dict[str, Tensor]:
        """Compare with the labels; `at_boxes` [P, width] are the features of the boxes at `places`."""
        frame, name = places
        truth = torch.stack(
            [
                batch["contact"][frame, name].float(),
                (batch["held"][frame] == name).float(),
                batch["opened"][frame, name],
            ],
            -1,
        )
        return {
            "verb_loss": 0.3 * F.cross_entropy(self.verb(pooled), batch["verb"] + 1),
            "object_loss": 0.3 * F.cross_entropy(self.object(pooled), batch["object"] + 1),
            "held_loss": 0.3 * F.cross_entropy(self.held(pooled), batch["held"] + 1),
            "box_loss": 0.6 * F.binary_cross_entropy_with_logits(self.box(at_boxes), truth),
        }


def _new_owl(tokenizer: Any) -> Any:
    from transformers import Owlv2Config, Owlv2ForObjectDetection

    config = Owlv2Config(
        text_config={
            "hidden_size": 96,
            "intermediate_size": 192,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "hidden_act": "gelu",
            "vocab_size": len(tokenizer),
            "max_position_embeddings": _WORDS,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config={
            "hidden_size": 192,
            "intermediate_size": 576,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "hidden_act": "gelu",
            "image_size": WIDTH,
            "patch_size": _PATCH,
        },
        projection_dim=96,
    )
    # In bfloat16 the plain attention is the faster one on a CPU at this size.
    owl = Owlv2ForObjectDetection._from_config(config, attn_implementation="eager")
    _begin(owl)
    return owl


def _begin(owl: Any) -> None:
    """Set weights to small numbers: the class's own beginning leaves logits in the hundreds."""
    for module in owl.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.05)
        elif isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=module.weight[0].numel() ** -0.5)
        elif isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
    nn.init.normal_(owl.owlv2.vision_model.embeddings.class_embedding, std=0.05)
    for head in (owl.box_head, owl.objectness_head):
        nn.init.normal_(head.dense2.weight, std=0.01)
    with torch.no_grad():
        owl.class_head.logit_scale.weight.mul_(0.1)
        owl.class_head.logit_shift.weight.mul_(0.1)
        owl.class_head.logit_scale.bias.fill_(8.0)
        owl.class_head.logit_shift.bias.fill_(-0.45)


def positives(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Choose the cells that are to find each object: frame, name and cell of each, [P].

    OWLv2 places a cell's box at its lower right corner, and those of the last row and column so far out that
    they cannot be brought back: none of these is chosen.
    """
    middle, size = batch["boxes"][..., :2] * _GRID - 1, batch["boxes"][..., 2:] * _GRID
    line = torch.arange(_GRID - 1, device=middle.device)
    reach = (0.3 * size).clamp(max=1.01)
    nearest = middle.round().clamp(0, _GRID - 2)
    x, y = (((line - middle[..., axis, None]).abs() < reach[..., axis, None]) for axis in (0, 1))
    here = (line == nearest[..., 0, None])[..., None, :] & (line == nearest[..., 1, None])[..., :, None]
    chosen = (here | (x[..., None, :] & y[..., :, None])) & batch["present"][..., None, None]
    frame, name, row, column = chosen.nonzero(as_tuple=True)
    return frame, name, row * _GRID + column


def _focal(logits: Tensor, places: tuple[Tensor, Tensor, Tensor], quality: Tensor) -> Tensor:
    """Quality focal loss, by positive: cells and names of `places` are to say how well their box fits."""
    frame, cell, name = places
    target = torch.zeros_like(logits)
    target[frame, cell, name] = quality
    loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (loss * (target - logits.sigmoid()).abs().pow(1.5)).sum() / len(frame)


def overlap(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Give IoU and generalised IoU of boxes by middle and size, [..., 4]."""
    a, b = (torch.cat([m - s / 2, m + s / 2], -1) for m, s in ((t[..., :2], t[..., 2:]) for t in (a, b)))
    common = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    around = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    inner, outer = common.prod(-1), around.prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - inner
    iou = inner / (union + 1e-9)
    return iou, iou - (outer - union) / (outer + 1e-9)


def detection_scores(logits: Tensor, boxes: Tensor, batch: Batch, mean: Tensor) -> dict[str, float]:
    """Measure the best box of each name that is there.

    Parameters
    ----------
    logits, boxes
        [frames, cells, classes] and [frames, cells, 4].
    mean
        [classes, 4]: the baseline's boxes.

    Returns
    -------
    dict
        Mean IoU of objects and of the person, share above one half, the baseline's mean IoU of objects, and
        how often a name that is there scores above one that is not.
    """
    present, truth = batch["present"], batch["boxes"]
    best, cell = logits.max(1)
    found = boxes.gather(1, cell[..., None].expand(-1, -1, 4))
    iou, _ = overlap(found, truth)
    plain, _ = overlap(mean.expand_as(truth), truth)
    objects = present.clone()
    objects[:, 0] = False
    there, absent = best[present], best[~present]
    return {
        "iou_objects": float(iou[objects].mean()),
        "iou_above_half": float((iou[objects] > 0.5).float().mean()),
        "iou_person": float(iou[:, 0][present[:, 0]].mean()),
        "iou_mean_box": float(plain[objects].mean()),
        "presence_auc": float((there[:, None] > absent[None]).float().mean()),
    }


def train_detector(home: Path, *, seed: int, device: str, workers: int, tell: Callable[[str], None]) -> None:
    """Train into `home/detector`; the finished model is `home/detector/model`."""
    task = DetectorTask(seed)
    fit(task, COURSE, home / "detector", seed=seed, device=device, workers=workers, tell=tell)
    save_detector(task, home / "detector" / "model")


def save_detector(task: DetectorTask, folder: Path) -> None:
    """Write the model and its processor as `from_pretrained` reads them, in float16."""
    from transformers import Owlv2ImageProcessor, Owlv2Processor

    images = Owlv2ImageProcessor(size={"height": WIDTH, "width": WIDTH})
    Owlv2Processor(image_processor=images, tokenizer=task.tokenizer).save_pretrained(str(folder))
    task.owl.half().save_pretrained(str(folder))
    task.owl.float()
