"""Tests of the label check against CLIP's own comparison of pictures and texts, in both libraries."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from aotd.tools.checkpoints import MARK, find_checkpoint
from aotd.tools.frames import FrameStore
from aotd.tools.grounding_dino import GroundingDino
from aotd.tools.label_check import LabelCheck
from aotd.tools.loading import UnusableCheckpoint
from aotd.tools.models import Detection, FrameRef, ToolError
from aotd.tools.random_tokenizers import clip_tokenizer
from aotd.tools.random_weights import write_random
from aotd.tools.torchvision_cpu import mend_torchvision
from tests.tiny_frames import open_videos, request, write_video

SIDE = 32
NAMES = ("person", "red door", "a phone", "dog")
BACKGROUND = ("background", "wall", "floor")
KINDS = ("transformers", "open_clip")

Verdict = Callable[[Sequence[Image.Image], Sequence[str]], list[int]]
"""Tells which of some texts each picture of 32 x 32 pixels is most like."""


def write_transformers(folder: Path) -> Path:
    """Write a small random CLIP of transformers."""
    mend_torchvision()
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor

    tokenizer = clip_tokenizer(77)
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    ends = {f"{e}_token_id": getattr(tokenizer, f"{e}_token_id") for e in ("bos", "eos", "pad")}
    config = CLIPConfig(
        text_config={**tower, **ends, "vocab_size": len(tokenizer), "max_position_embeddings": 77},
        vision_config={**tower, "image_size": SIDE, "patch_size": 8},
        projection_dim=16,
    )
    torch.manual_seed(5)
    model = CLIPModel(config).eval()
    images = CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    processor = CLIPProcessor(image_processor=images, tokenizer=tokenizer)
    inputs = processor(text=texts(), images=pictures(), padding=True, return_tensors="pt")
    with torch.no_grad():
        seen = model.vision_model(inputs.pixel_values).pooler_output
        read = model.text_model(inputs.input_ids, inputs.attention_mask).pooler_output
        model.visual_projection.weight.copy_(model.visual_projection.weight @ apart(seen))
        model.text_projection.weight.copy_(model.text_projection.weight @ apart(read))
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def write_open_clip(folder: Path) -> Path:
    """Write a small random CLIP of open_clip."""
    mend_torchvision()
    open_clip = pytest.importorskip("open_clip")
    model = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": SIDE, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
    }
    preprocess = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]}
    config = folder / "open_clip_config.json"
    config.write_text(json.dumps({"model_cfg": model, "preprocess_cfg": preprocess}))
    torch.manual_seed(6)
    made = open_clip.create_model(f"local-dir:{folder}", load_weights=False).eval()
    pixels = torch.stack([torch.from_numpy(np.array(p)).permute(2, 0, 1) / 127.5 - 1 for p in pictures()])
    tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(texts())
    with torch.no_grad():
        image, text = made.visual.proj.clone(), made.text_projection.clone()
        made.visual.proj.data, made.text_projection.data = torch.eye(32), torch.eye(32)
        made.visual.proj.data = apart(made.encode_image(pixels)) @ image
        made.text_projection.data = apart(made.encode_text(tokens)) @ text
    tensors = {name: tensor.contiguous() for name, tensor in made.state_dict().items()}
    save_file(tensors, folder / "open_clip_model.safetensors")
    return folder


def texts() -> list[str]:
    """List what pictures are compared with."""
    return [f"a photo of a {text}" for text in (*NAMES, *BACKGROUND)]


def pictures() -> list[Image.Image]:
    """Draw pictures such as the crops."""
    dice = np.random.default_rng(1)
    small = [Image.fromarray(dice.integers(0, 256, (4, 4, 3), dtype=np.uint8)) for _ in range(16)]
    return [picture.resize((SIDE, SIDE), Image.Resampling.NEAREST) for picture in small]


def apart(rows: torch.Tensor) -> torch.Tensor:
    """Project out what rows have in common: with random weights all pictures are alike, and all texts."""
    common = rows.mean(dim=0)
    return torch.eye(rows.shape[1]) - torch.outer(common, common) / common.dot(common)


def plain_transformers(folder: Path) -> Verdict:
    """Compare by `CLIPModel`'s own logits."""
    from transformers import AutoProcessor, CLIPModel

    model, processor = CLIPModel.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)

    def verdict(crops: Sequence[Image.Image], offered: Sequence[str]) -> list[int]:
        inputs = processor(text=list(offered), images=list(crops), padding=True, return_tensors="pt")
        with torch.no_grad():
            return model(**inputs).logits_per_image.argmax(dim=1).tolist()

    return verdict


def plain_open_clip(folder: Path) -> Verdict:
    """Compare as open_clip's own example does."""
    import open_clip

    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")

    def verdict(crops: Sequence[Image.Image], offered: Sequence[str]) -> list[int]:
        with torch.no_grad():
            pixels = torch.stack([preprocess(crop) for crop in crops])
            image = model.eval().encode_image(pixels, normalize=True)
            text = model.encode_text(tokenizer(list(offered)), normalize=True)
            return (image @ text.T).argmax(dim=1).tolist()

    return verdict


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write a small CLIP in each library's layout."""
    return {
        "transformers": write_transformers(tmp_path_factory.mktemp("transformers")),
        "open_clip": write_open_clip(tmp_path_factory.mktemp("open_clip")),
    }


@pytest.fixture(scope="module")
def verdicts(clips: dict[str, Path]) -> dict[str, Verdict]:
    """Load each library's own comparison."""
    return {
        "transformers": plain_transformers(clips["transformers"]),
        "open_clip": plain_open_clip(clips["open_clip"]),
    }


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[FrameStore, list[FrameRef]]:
    """Open a made video of 160 x 96."""
    folder = tmp_path_factory.mktemp("videos")
    write_video(folder / "v.mp4", 160, 96)
    return open_video(folder)


def open_video(folder: Path) -> tuple[FrameStore, list[FrameRef]]:
    """Open `v.mp4` of a folder; refer to its first frames."""
    videos = open_videos(folder, "v")
    return videos.store(), videos.refs("v", 0, 1, 2)


def check(folder: Path, **settings: Any) -> LabelCheck:
    """Make the check as the product does."""
    return LabelCheck(find_checkpoint(str(folder)), **{"device": "cpu", **settings})


def boxes(name: str, width: int, height: int) -> tuple[Detection, ...]:
    """Lay boxes of one size over the frame."""
    corners = [(x, y) for x in range(0, 161 - width, 20) for y in range(0, 97 - height, 32)]
    return tuple(
        Detection(name=name, box=(x, y, x + width, y + height), score=0.9 - place / 1000)
        for place, (x, y) in enumerate(corners)
    )


def expected(
    answer: Sequence[Detection], rivals: Sequence[str], image: np.ndarray, verdict: Verdict
) -> list[Detection]:
    """Keep the boxes of one name by the library's own verdict on crops that are stretched by PIL."""
    whole, (name, *_) = Image.fromarray(image), [found.name for found in answer]
    crops = [whole.crop(found.box).resize((SIDE, SIDE), Image.Resampling.BICUBIC) for found in answer]
    offered = [f"a photo of a {text}" for text in (name, *rivals, *BACKGROUND)]
    return [found for found, best in zip(answer, verdict(crops, offered), strict=True) if best == 0]


@pytest.mark.parametrize("kind", KINDS)
def test_boxes_stay_where_clip_prefers_their_name(
    kind: str,
    clips: dict[str, Path],
    verdicts: dict[str, Verdict],
    store: tuple[FrameStore, list[FrameRef]],
) -> None:
    """A box stays if CLIP likens it to its own name more than to the other names and the background."""
    frames, refs = store
    answers = [tuple(b for name in NAMES for b in boxes(name, SIDE, SIDE)) for _ in refs[:2]]
    requests = [request(ref, *NAMES) for ref in refs[:2]]
    told = check(clips[kind]).confirm(requests, answers, frames)
    kept = dropped = 0
    for ref, before, after in zip(refs[:2], answers, told, strict=True):
        image = frames.read(ref.video, [ref.index])[0]
        right = [
            box
            for name in NAMES
            for box in expected(
                [b for b in before if b.name == name], [n for n in NAMES if n != name], image, verdicts[kind]
            )
        ]
        assert isinstance(after, tuple)
        assert list(after) == right
        kept, dropped = kept + len(after), dropped + len(before) - len(after)
    assert kept > 5
    assert dropped > 5


def test_only_names_of_the_same_request_compete(
    clips: dict[str, Path], store: tuple[FrameStore, list[FrameRef]]
) -> None:
    """What other requests of a batch ask about the same frame changes nothing; a rival name does."""
    frames, (ref, *_) = store
    found = {name: boxes(name, SIDE, SIDE) for name in NAMES}
    alone = [request(ref, name) for name in NAMES]
    joint = request(ref, *NAMES)
    judge = check(clips["transformers"])
    first = [judge.confirm([one], [found[one.names[0]]], frames)[0] for one in alone]
    every = tuple(box for name in NAMES for box in found[name])
    *batch, all_names = judge.confirm([*alone, joint], [*found.values(), every], frames)
    assert batch == first
    assert isinstance(all_names, tuple)
    assert set(all_names) < {box for kept in first for box in kept} < set(every)


def test_a_tall_box_is_judged_whole(
    clips: dict[str, Path], verdicts: dict[str, Verdict], store: tuple[FrameStore, list[FrameRef]]
) -> None:
    """Crops are stretched to CLIP's square, not cut to their middle."""
    frames, (ref, *_) = store
    image = frames.read(ref.video, [ref.index])[0]
    found = [boxes(name, 24, 96) + boxes(name, 140, 20) for name in NAMES]
    asked = [request(ref, name) for name in NAMES]
    for kind in KINDS:
        told = check(clips[kind]).confirm(asked, found, frames)
        assert [list(kept) for kept in told] == [expected(f, (), image, verdicts[kind]) for f in found]
        assert 0 < sum(map(len, told)) < sum(map(len, found))


def test_errors_and_empty_answers_pass(clips: dict[str, Path], tmp_path: Path) -> None:
    """An error and an empty answer stay as they are; a frame that is gone by now is an error of its own."""
    write_video(tmp_path / "v.mp4", 160, 96)
    frames, (kept, lost, _) = open_video(tmp_path)
    frames.read(kept.video, [kept.index])
    (tmp_path / "v.mp4").unlink()
    error = ToolError(kind="bad-request", message="no")
    requests = [request(ref, "person") for ref in (kept, lost, lost, lost)]
    found = boxes("person", SIDE, SIDE)
    told = check(clips["transformers"]).confirm(requests, [found, error, (), found], frames)
    assert isinstance(told[0], tuple)
    assert told[1:3] == [error, ()]
    assert isinstance(told[3], ToolError)
    assert "v.mp4" in told[3].message


def test_a_detector_tells_checked_boxes_only(
    clips: dict[str, Path], store: tuple[FrameStore, list[FrameRef]], tmp_path: Path
) -> None:
    """With the check a detector's boxes are those it has without, less what CLIP refuses."""
    frames, refs = store
    folder = write_random("IDEA-Research/grounding-dino-base", "grounding-dino", "small", 8, tmp_path)
    checkpoint, judge = find_checkpoint(str(folder)), check(clips["open_clip"])
    bare = GroundingDino(checkpoint, frames, device="cpu", threshold=0.0)
    checked = GroundingDino(checkpoint, frames, device="cpu", threshold=0.0, check=judge)
    requests = [request(ref, name) for ref in refs for name in NAMES]
    before, after = bare.detect(requests), checked.detect(requests)
    assert list(after) == judge.confirm(requests, before, frames)
    assert 0 < sum(map(len, after)) < sum(map(len, before))
    assert bare.identity.key != checked.identity.key
    assert judge.identity.id in str(checked.identity.settings)


def test_the_identity_holds_what_decides(clips: dict[str, Path]) -> None:
    """Weights, numbers, prompt and background are part of the identity."""
    folder = clips["transformers"]
    others = [
        check(clips["open_clip"]),
        check(folder, dtype="bfloat16"),
        check(folder, prompt="{}"),
        check(folder, background=("sky",)),
    ]
    assert len({check(folder).identity.key, *(other.identity.key for other in others)}) == 5


@pytest.mark.parametrize("kind", KINDS)
def test_sixteen_bits_agree_mostly(
    kind: str, clips: dict[str, Path], store: tuple[FrameStore, list[FrameRef]]
) -> None:
    """In bfloat16 nine verdicts of ten are those of float32."""
    frames, (ref, *_) = store
    found = tuple(b for name in NAMES for b in boxes(name, SIDE, SIDE))
    asked = request(ref, *NAMES)
    kept = [
        set(answer)
        for dtype in ("float32", "bfloat16")
        for answer in check(clips[kind], dtype=dtype).confirm([asked], [found], frames)
        if isinstance(answer, tuple)
    ]
    assert len(kept[0] ^ kept[1]) <= len(found) / 10


def test_weights_that_are_made_up_are_always_the_same(
    clips: dict[str, Path], store: tuple[FrameStore, list[FrameRef]], tmp_path: Path
) -> None:
    """A marked folder without weights gives the same verdicts each time it is loaded."""
    config = (clips["open_clip"] / "open_clip_config.json").read_text()
    (tmp_path / "open_clip_config.json").write_text(config)
    (tmp_path / MARK).write_text(json.dumps({"name": "clip", "seed": 3}))
    frames, (ref, *_) = store
    asked, found = request(ref, "person", "dog"), boxes("person", SIDE, SIDE)
    first, second = (check(tmp_path).confirm([asked], [found], frames) for _ in range(2))
    assert first == second
    assert check(tmp_path).identity.id == "label-check/random/clip"


def test_weights_that_are_missing_are_named(
    clips: dict[str, Path], store: tuple[FrameStore, list[FrameRef]], tmp_path: Path
) -> None:
    """A folder of open_clip that lacks a tensor, or its weights, is refused by name."""
    frames, (ref, *_) = store
    asked: tuple[Any, ...] = ([request(ref, "x")], [boxes("x", SIDE, SIDE)], frames)
    config = (clips["open_clip"] / "open_clip_config.json").read_text()
    (tmp_path / "open_clip_config.json").write_text(config)
    with pytest.raises(UnusableCheckpoint, match=str(tmp_path)):
        check(tmp_path).confirm(*asked)
    tensors = load_file(clips["open_clip"] / "open_clip_model.safetensors")
    del tensors["visual.proj"]
    save_file(tensors, tmp_path / "open_clip_model.safetensors")
    with pytest.raises(UnusableCheckpoint, match=r"visual\.proj"):
        check(tmp_path).confirm(*asked)
