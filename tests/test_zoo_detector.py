"""Tests of the detector's training: frames, labels, losses' places, tokenizer, and what is saved."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from aotd.tools.checkpoints import find_checkpoint
from aotd.tools.owl import Owl
from aotd.world.build import write_video
from aotd.world.clip import CLASSES, render_clip
from aotd.world.motion import simulate
from aotd.world.scene import HEIGHT, WIDTH
from aotd.world.split import seed_of
from aotd.zoo.detector import DetectorTask, detection_scores, overlap, positives, save_detector
from aotd.zoo.fit import Batch
from aotd.zoo.frames import draw_frames, mean_boxes, pixels
from aotd.zoo.words import ABSENT, names_of, pick_names
from tests.tiny_frames import open_videos, request


@pytest.fixture(scope="module")
def task() -> DetectorTask:
    """Begin the detector; it is trained by nobody here."""
    return DetectorTask(0)


@pytest.fixture(scope="module")
def drawn() -> Batch:
    """Draw frames of four training episodes."""
    return draw_frames("train", 0, 8, each=2, filmed=False)


def test_frames_and_labels_are_those_of_the_world(drawn: Batch) -> None:
    """Boxes are the world's, in parts of a square as wide as the frame, and the same call draws the same."""
    again = draw_frames("train", 0, 8, each=2, filmed=False)
    assert all(torch.equal(drawn[name], again[name]) for name in drawn)
    first = render_clip(seed_of("train", 0))
    assert any(np.array_equal(frame, drawn["frames"][0].numpy()) for frame in first.frames)
    x1, _, _, y2 = first.boxes[0, CLASSES.index("table")]
    middle_x, middle_y, width, height = drawn["boxes"][0, CLASSES.index("table")].tolist()
    assert (middle_x - width / 2) * WIDTH == pytest.approx(x1, abs=1e-3)
    assert (middle_y + height / 2) * WIDTH == pytest.approx(y2 + 1, abs=1e-3)


def test_filmed_frames_differ_a_little() -> None:
    """What the camera and the codec do keeps a frame recognisable."""
    plain, filmed = (draw_frames("train", 9, 4, each=2, filmed=how)["frames"] for how in (False, True))
    change = (plain.float() - filmed.float()).abs().mean()
    assert 0.1 < change < 20


def test_pixels_are_those_of_the_processor(task: DetectorTask, drawn: Batch, tmp_path: Path) -> None:
    """Training sees what transformers' own OWLv2 processor gives the shipped model."""
    from PIL import Image
    from transformers import AutoProcessor

    save_detector(task, tmp_path)
    processor = AutoProcessor.from_pretrained(str(tmp_path))
    images = [Image.fromarray(frame.numpy()) for frame in drawn["frames"]]
    expected = processor.image_processor(images=images, return_tensors="pt").pixel_values
    assert torch.allclose(pixels(drawn["frames"]), expected, atol=0.02)


def test_overlaps_are_those_of_torchvision() -> None:
    """IoU and generalised IoU equal torchvision's on random boxes."""
    from torchvision.ops import box_iou, generalized_box_iou

    numbers = torch.Generator().manual_seed(0)
    a, b = (torch.rand(40, 4, generator=numbers) * 0.5 + 0.1 for _ in range(2))
    corners = [torch.cat([t[:, :2] - t[:, 2:] / 2, t[:, :2] + t[:, 2:] / 2], -1) for t in (a, b)]
    iou, giou = overlap(a, b)
    assert torch.allclose(iou, box_iou(*corners).diagonal(), atol=1e-5)
    assert torch.allclose(giou, generalized_box_iou(*corners).diagonal(), atol=1e-5)


def test_every_object_has_a_cell_near_its_middle(drawn: Batch) -> None:
    """Each object that is there has one to nine cells, none in the last row or column, all close to it."""
    frame, name, cell = positives(drawn)
    pairs = set(zip(frame.tolist(), name.tolist(), strict=True))
    assert pairs == {tuple(pair) for pair in drawn["present"].nonzero().tolist()}
    row, column = cell // 12, cell % 12
    assert int(row.max()) <= 10
    assert int(column.max()) <= 10
    middle = drawn["boxes"][frame, name, :2] * 12 - 1
    assert float((torch.stack([column, row], -1) - middle).abs().max()) <= 1.02
    counts = torch.bincount(frame * 23 + name)
    assert int(counts.max()) <= 9


def test_perfect_boxes_score_one_and_the_mean_box_little(drawn: Batch) -> None:
    """A detector that puts the true box into one cell has an IoU of 1; scores by hand."""
    present, truth = drawn["present"], drawn["boxes"]
    logits = torch.full((8, 2, len(CLASSES)), -9.0)
    logits[:, 1] = torch.where(present, 5.0, -5.0)
    boxes = torch.zeros(8, 23, 2, 4)
    boxes[:, :, 1] = truth
    per_class = [
        detection_scores(logits[..., [0, c]], boxes[:, c], _only(drawn, c), mean_boxes(drawn)[[0, c]])
        for c in range(1, 23)
        if present[:, c].any()
    ]
    assert all(score["iou_objects"] == pytest.approx(1, abs=1e-4) for score in per_class)
    assert sum(score["iou_mean_box"] for score in per_class) / len(per_class) < 0.6


def _only(batch: Batch, number: int) -> Batch:
    """Keep the person and one class of a batch."""
    return {
        "present": batch["present"][:, [0, number]],
        "boxes": batch["boxes"][:, [0, number]],
    }


def test_names_are_words_the_tokenizer_knows(task: DetectorTask) -> None:
    """All names fit into twelve tokens, and the end is the largest id, as CLIP pools."""
    names = [spoken for name in (*CLASSES, *ABSENT) for spoken in names_of(name)]
    read = task.words(names)
    assert read["ids"].shape == (len(names), 12)
    ends = read["ids"].argmax(1)
    assert (read["ids"].max(1).values == task.tokenizer.eos_token_id).all()
    assert (read["mask"].sum(1) == ends + 1).all()
    assert len({tuple(row.tolist()) for row in read["ids"]}) == len(set(names))
    assert not set(ABSENT) & {part for name in CLASSES for part in name.split("/")}
    assert len(pick_names(random.Random(0), 3)) == len(CLASSES) + 3


def test_a_few_steps_teach_the_detector_something() -> None:
    """On one batch, over and over, the loss of fresh weights falls by a fifth and stays finite."""
    task = DetectorTask(1)
    small = task.batch(0)
    batch = {name: value[:4] if len(value) == 32 else value for name, value in small.items()}
    optimizer = torch.optim.AdamW(task.model.parameters(), lr=1e-3)
    losses = []
    for _ in range(12):
        loss, parts = task.loss(batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(task.model.parameters(), 1.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0] * 0.8
    assert {"names", "boxes", "verb_loss", "held_loss", "iou"} <= set(parts)


def test_what_is_saved_answers_through_the_product(task: DetectorTask, tmp_path: Path) -> None:
    """The saved folder is a detector like one from the hub: it gives boxes in pixels of a video's frame."""
    save_detector(task, tmp_path / "model")
    write_video(simulate(0), tmp_path / "household.mp4")
    videos = open_videos(tmp_path, "household")
    found = find_checkpoint(str(tmp_path / "model"))
    owl = Owl(found, videos.store(), device="cpu", prompt="{}", threshold=0.0)
    (boxes,) = owl.detect([request(videos.refs("household", 5)[0], "person")])
    assert isinstance(boxes, tuple)
    assert boxes
    x1, y1, x2, y2 = boxes[0].box
    assert 0 <= x1 <= x2 <= WIDTH
    assert 0 <= y1 <= y2 <= HEIGHT
