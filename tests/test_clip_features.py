"""Tests of CLIP features: two libraries, one answer; frames cut and resized as said; each computed once."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from aotd.tools.checkpoints import find_checkpoint
from aotd.tools.clip_features import (
    ClipFeatures,
    ClipTowers,
    ClipWeights,
    OpenClipTowers,
    TokenRows,
    TransformersClipTowers,
    load_clip,
    normalised,
    square_pixels,
)
from aotd.tools.frames import FrameStore
from aotd.tools.library import Library
from aotd.tools.loading import UnusableCheckpoint
from aotd.tools.models import Frames
from aotd.tools.torchvision_cpu import mend_torchvision
from aotd.tools.video import VideoError
from aotd.traces.records import Question
from aotd.world.build import write_video
from aotd.world.motion import simulate

mend_torchvision()
open_clip = pytest.importorskip("open_clip")
transformers = pytest.importorskip("transformers")

TINY = {
    "embed_dim": 24,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
"""A small CLIP in open_clip's words; the vocabulary is the real one."""

TEXTS = ("a red door", "the person opens the door and walks away, " * 9, "!!! 2 cats", "a red door")

BLOCK = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}

ELSEWHERE = {
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.ln_pre.weight": "vision_model.pre_layrnorm.weight",
    "visual.ln_pre.bias": "vision_model.pre_layrnorm.bias",
    "visual.ln_post.weight": "vision_model.post_layernorm.weight",
    "visual.ln_post.bias": "vision_model.post_layernorm.bias",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
    "logit_scale": "logit_scale",
}
"""Where transformers keeps a weight of open_clip, outside the blocks."""


def as_transformers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of an open_clip model to those of transformers' CLIP."""
    named = {there: state[here] for here, there in ELSEWHERE.items()}
    named["visual_projection.weight"] = state["visual.proj"].T
    named["text_projection.weight"] = state["text_projection"].T
    for name, tensor in state.items():
        tower = "vision_model" if name.startswith("visual.") else "text_model"
        if "transformer.resblocks." not in name:
            continue
        block, part = name.split("resblocks.")[1].split(".", 1)
        place = f"{tower}.encoder.layers.{block}"
        if part.startswith("attn.in_proj_"):
            for letter, third in zip("qkv", tensor.chunk(3), strict=True):
                named[f"{place}.self_attn.{letter}_proj.{part.removeprefix('attn.in_proj_')}"] = third
        else:
            stem, ending = part.rsplit(".", 1)
            named[f"{place}.{BLOCK.get(stem, 'self_attn.out_proj')}.{ending}"] = tensor
    return named


@cache
def tokenizer() -> Any:
    """Make transformers' tokenizer from the vocabulary that open_clip ships."""
    own = open_clip.SimpleTokenizer()
    ends = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocab = {ends.get(token, token): number for token, number in own.encoder.items()}
    return transformers.CLIPTokenizer(vocab=vocab, merges=list(own.bpe_ranks))


def config_of(model: dict[str, Any]) -> Any:
    """Say in transformers' words what a model is."""
    vision, text = model["vision_cfg"], model["text_cfg"]
    ends = {"bos_token_id": 49406, "eos_token_id": 49407, "pad_token_id": 49407}
    return transformers.CLIPConfig(
        projection_dim=model["embed_dim"],
        text_config={
            "hidden_size": text["width"],
            "intermediate_size": 4 * text["width"],
            "num_hidden_layers": text["layers"],
            "num_attention_heads": text["heads"],
            **ends,
        },
        vision_config={
            "hidden_size": vision["width"],
            "intermediate_size": 4 * vision["width"],
            "num_hidden_layers": vision["layers"],
            "num_attention_heads": vision["width"] // vision.get("head_width", 64),
            "image_size": vision["image_size"],
            "patch_size": vision["patch_size"],
        },
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same small CLIP in both libraries' layouts."""
    root = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    model = open_clip.CLIP(**TINY)
    ours, theirs = root / "open-clip", root / "transformers"
    ours.mkdir()
    (ours / "open_clip_config.json").write_text(json.dumps({"model_cfg": TINY}), "utf-8")
    save_file(
        {n: t.contiguous() for n, t in model.state_dict().items()}, ours / "open_clip_model.safetensors"
    )
    other = transformers.CLIPModel(config_of(TINY))
    other.load_state_dict(as_transformers(model.state_dict()))
    other.save_pretrained(theirs)
    tokenizer().save_pretrained(theirs)
    return {"open-clip": ours, "transformers": theirs}


def loaded(folders: dict[str, Path], kind: Any, dtype: str = "float32") -> ClipTowers:
    """Load the small CLIP through one of the libraries."""
    return load_clip(ClipWeights(kind, find_checkpoint(str(folders[kind]))), dtype, "cpu")


def noise(count: int, side: int) -> Tensor:
    """Draw normalised squares."""
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))


def test_both_libraries_give_the_same_features(folders: dict[str, Path]) -> None:
    """With the same weights, frames and texts have the same features to 1e-4."""
    ours, theirs = loaded(folders, "open-clip"), loaded(folders, "transformers")
    assert ours.side == theirs.side == 64
    pixels = noise(3, 64)
    assert ours.images(pixels).shape == (3, 24)
    assert torch.allclose(ours.images(pixels), theirs.images(pixels), atol=1e-4)
    for mine, other in zip(ours.texts(TEXTS), theirs.texts(TEXTS), strict=True):
        assert mine.tokens == other.tokens
        assert mine.rows.shape == other.rows.shape
        assert torch.allclose(mine.rows, other.rows, atol=1e-4)


def test_full_size_libraries_give_the_same_features() -> None:
    """CLIP ViT-B/32 as OpenAI shaped it agrees between the libraries, with drawn weights."""
    torch.manual_seed(0)
    model = open_clip.create_model("ViT-B-32-quickgelu", pretrained=None).eval()
    with torch.device("meta"):  # weights come from the other: drawing these too would take seconds
        other = transformers.CLIPModel(transformers.CLIPConfig()).eval()
    other.load_state_dict(as_transformers(model.state_dict()), assign=True)
    for part in (other.vision_model.embeddings, other.text_model.embeddings):
        part.position_ids = torch.arange(part.position_ids.shape[1])[None]
    ours = OpenClipTowers(model, open_clip.get_tokenizer("ViT-B-32-quickgelu"))
    theirs = TransformersClipTowers(other, tokenizer())
    pixels = noise(2, 224)
    assert ours.images(pixels).shape == (2, 512)
    assert torch.allclose(ours.images(pixels), theirs.images(pixels), atol=1e-4)
    for mine, reply in zip(ours.texts(TEXTS[:2]), theirs.texts(TEXTS[:2]), strict=True):
        assert mine.rows.shape[1] == 512
        assert torch.allclose(mine.rows, reply.rows, atol=1e-4)


@pytest.mark.parametrize("kind", ["open-clip", "transformers"])
def test_texts_are_hidden_states_before_the_projection(folders: dict[str, Path], kind: str) -> None:
    """The end token's state, projected, is CLIP's own embedding of the text."""
    model = open_clip.create_model(f"local-dir:{folders['open-clip']}").eval()
    found = loaded(folders, kind).texts(["a red door", "he walks away slowly"])
    with torch.no_grad():
        wanted = model.encode_text(open_clip.tokenize(["a red door", "he walks away slowly"]))
        own = torch.stack([text.rows[-1] @ model.text_projection for text in found])
    assert [(text.tokens, len(text.rows)) for text in found] == [(5, 5), (6, 6)]
    assert torch.allclose(own, wanted, atol=1e-5)


@pytest.mark.parametrize("kind", ["open-clip", "transformers"])
def test_a_long_text_is_cut_to_32_tokens_with_its_end(folders: dict[str, Path], kind: str) -> None:
    """A text of 83 tokens gives 32 rows, equal to open_clip's own reading of 32 tokens, and says 83."""
    model = open_clip.create_model(f"local-dir:{folders['open-clip']}").eval()
    long = "the person opens the door and walks away, " * 9
    (found,) = loaded(folders, kind).texts([long])
    ids = open_clip.tokenize(long, context_length=32)
    with torch.no_grad():
        wanted = model.encode_text(torch.nn.functional.pad(ids, (0, 45)))[0]
        own = found.rows[-1] @ model.text_projection
    assert (found.tokens, len(found.rows)) == (83, 32)
    assert torch.allclose(own, wanted, atol=1e-5)


@pytest.mark.parametrize("kind", ["open-clip", "transformers"])
def test_a_text_does_not_depend_on_its_neighbours(folders: dict[str, Path], kind: str) -> None:
    """Texts of different lengths, taken together, give what each gives alone."""
    towers = loaded(folders, kind)
    for text, together in zip(TEXTS, towers.texts(TEXTS), strict=True):
        assert torch.allclose(towers.texts([text])[0].rows, together.rows, atol=1e-5)


@pytest.mark.parametrize("kind", ["open-clip", "transformers"])
def test_half_precision_stays_near(folders: dict[str, Path], kind: str) -> None:
    """In bfloat16 frames and texts keep their direction."""
    whole, half = loaded(folders, kind), loaded(folders, kind, "bfloat16")
    pixels = noise(3, 64)
    cosine = torch.nn.functional.cosine_similarity(whole.images(pixels), half.images(pixels).float())
    assert cosine.min() > 0.999
    mine, other = whole.texts(TEXTS[:1])[0].rows, half.texts(TEXTS[:1])[0].rows.float()
    assert torch.nn.functional.cosine_similarity(mine, other).min() > 0.999


@pytest.mark.parametrize("antialias", [True, False])
def test_frames_are_resized_as_torchvision_does(*, antialias: bool) -> None:
    """A square is torchvision's resize of the same crop, to one level by its older way, and is normalised."""
    from torchvision.transforms import functional as first
    from torchvision.transforms.v2 import functional as second

    drawn = np.random.default_rng(0)
    frame = drawn.integers(0, 256, (9, 13, 3), np.uint8).repeat(10, 0).repeat(10, 1)
    frame //= drawn.integers(1, 3, frame.shape, np.uint8)
    ours = square_pixels(frame, (20, 10, 120, 90), 64, antialias=antialias)
    cut = torch.from_numpy(frame[10:90, 20:120]).permute(2, 0, 1)
    assert torch.equal(ours, second.resize(cut, [64, 64], antialias=antialias))
    assert (ours.int() - first.resize(cut, [64, 64], antialias=antialias).int()).abs().max() <= 1
    mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    assert torch.allclose(normalised(ours[None])[0], first.normalize(ours / 255, mean, std), atol=1e-5)


@pytest.mark.parametrize(
    ("crop", "inside"),
    [
        ((-9, -9, 500, 500), (0, 0, 130, 90)),
        ((200, 300, 240, 340), (129, 89, 130, 90)),
        ((-50, -50, -10, -10), (0, 0, 1, 1)),
        ((40, 30, 40, 30), (40, 30, 41, 31)),
    ],
)
def test_a_crop_is_cut_at_the_frame(crop: Any, inside: Any) -> None:
    """What lies outside the frame is left out, and one pixel at least is taken."""
    frame = np.random.default_rng(0).integers(0, 256, (90, 130, 3), np.uint8)
    cut = [square_pixels(frame, box, 32, antialias=True) for box in (crop, inside)]
    assert torch.equal(*cut)


def test_a_processor_that_pads_is_followed(
    folders: dict[str, Path], store: tuple[FrameStore, str], tmp_path: Path
) -> None:
    """Wide and tall cuts become the squares that the checkpoint's own processor makes of them."""
    shutil.copytree(folders["transformers"], tmp_path / "clip")
    images = transformers.Owlv2ImageProcessor(size={"height": 64, "width": 64})
    transformers.CLIPProcessor(image_processor=images, tokenizer=tokenizer()).save_pretrained(
        tmp_path / "clip"
    )
    towers = load_clip(ClipWeights("transformers", find_checkpoint(str(tmp_path / "clip"))), "float32", "cpu")
    assert towers.pads
    assert not loaded(folders, "transformers").pads
    frames, digest = store
    (picture,) = frames.read(digest, [40])
    for crop in ((10, 20, 74, 60), (10, 20, 50, 84)):
        cut = picture[crop[1] : crop[3], crop[0] : crop[2]].copy()
        wanted = images(images=cut, return_tensors="pt").pixel_values
        ours = square_pixels(picture, crop, 64, antialias=True, pads=True)
        assert torch.allclose(normalised(ours[None]), wanted, atol=1e-5)
        asked = Frames(video=digest, indices=(40,), crops=(crop,))
        (found,) = ClipFeatures(towers, frames, antialias=True, max_bytes=1 << 20).of_frames([asked])
        assert isinstance(found, Tensor)
        assert torch.allclose(found, towers.images(wanted), atol=1e-5)


class Counted:
    """Towers that count what they are asked."""

    def __init__(self, towers: ClipTowers) -> None:
        self.towers = towers
        self.side, self.pads, self.device = towers.side, towers.pads, towers.device
        self.images_asked: list[int] = []
        self.texts_asked: list[str] = []

    def images(self, pixels: Tensor) -> Tensor:
        """Embed squares."""
        self.images_asked.append(len(pixels))
        return self.towers.images(pixels)

    def texts(self, texts: Sequence[str]) -> list[TokenRows]:
        """Embed texts."""
        self.texts_asked.extend(texts)
        return self.towers.texts(texts)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[FrameStore, str]:
    """Frames of a drawn video of 124, and its digest."""
    folder = tmp_path_factory.mktemp("videos")
    write_video(simulate(0), folder / "room.mp4")
    library = Library(folder)
    video = library.open(Question(id="q", dataset="star", video_id="room", text="What?"))
    return FrameStore(library, 1 << 28), video.digest


def test_each_frame_and_text_is_computed_once(
    folders: dict[str, Path], store: tuple[FrameStore, str]
) -> None:
    """Clips that share frames, in one call or later, cost one pass; another crop is another frame."""
    frames, digest = store
    towers = Counted(loaded(folders, "open-clip"))
    features = ClipFeatures(towers, frames, antialias=True, max_bytes=1 << 20)
    whole = Frames(video=digest, indices=(0, 20, 40, 20))
    part = Frames(video=digest, indices=(20, 40, 60))
    first, second = features.of_frames([whole, part])
    assert towers.images_asked == [4]
    again, cropped = features.of_frames([part, Frames(video=digest, indices=(20,), crops=((0, 0, 99, 99),))])
    assert towers.images_asked == [4, 1]
    assert isinstance(first, Tensor)
    assert isinstance(second, Tensor)
    assert isinstance(again, Tensor)
    assert isinstance(cropped, Tensor)
    assert torch.equal(first[[1, 3, 2]], second[[0, 0, 1]])
    assert torch.equal(second, again)
    assert not torch.allclose(cropped, again[0], atol=1e-3)
    square = square_pixels(frames.read(digest, [40])[0], None, 64, antialias=True)
    alone = towers.towers.images(normalised(square[None]))
    assert torch.allclose(first[2], alone[0], atol=1e-5)
    texts = [features.of_texts(["open", "close", "open"]), features.of_texts(["close", "open"])]
    assert towers.texts_asked == ["open", "close"]
    assert torch.equal(texts[0][2].rows, texts[1][1].rows)


def test_what_is_kept_is_bounded(folders: dict[str, Path], store: tuple[FrameStore, str]) -> None:
    """With room for two frames, the two asked last are at hand and a longer clip is still whole."""
    frames, digest = store
    towers = Counted(loaded(folders, "open-clip"))
    features = ClipFeatures(towers, frames, antialias=True, max_bytes=2 * (24 * 4 + 550))
    (clip,) = features.of_frames([Frames(video=digest, indices=(0, 20, 40, 60))])
    assert isinstance(clip, Tensor)
    assert clip.shape == (4, 24)
    features.of_frames([Frames(video=digest, indices=(40, 60))])
    assert towers.images_asked == [4]
    features.of_frames([Frames(video=digest, indices=(0,))])
    features.of_frames([Frames(video=digest, indices=(60, 0))])
    assert towers.images_asked == [4, 1]
    features.of_frames([Frames(video=digest, indices=(40,))])
    assert towers.images_asked == [4, 1, 1]


def test_many_frames_go_through_the_tower_in_parts(
    folders: dict[str, Path], store: tuple[FrameStore, str]
) -> None:
    """120 frames of several clips are embedded 64 at once and land in their places."""
    frames, digest = store
    towers = Counted(loaded(folders, "open-clip"))
    features = ClipFeatures(towers, frames, antialias=True, max_bytes=1 << 20)
    clips = [Frames(video=digest, indices=tuple(range(start, start + 40))) for start in (0, 40, 80)]
    found = features.of_frames(clips)
    assert towers.images_asked == [64, 56]
    (row,) = features.of_frames([Frames(video=digest, indices=(81,))])
    assert isinstance(found[2], Tensor)
    assert isinstance(row, Tensor)
    assert torch.equal(found[2][1], row[0])


def test_a_video_that_is_gone_fails_alone(folders: dict[str, Path], tmp_path: Path) -> None:
    """A file that was removed after it was opened is an error of its own clip."""
    for seed, name in enumerate(("gone", "here")):
        write_video(simulate(seed), tmp_path / f"{name}.mp4")
    library = Library(tmp_path)
    opened = [
        library.open(Question(id="q", dataset="star", video_id=name, text="What?")).digest
        for name in ("gone", "here")
    ]
    (tmp_path / "gone.mp4").unlink()
    features = ClipFeatures(
        loaded(folders, "open-clip"), FrameStore(library, 1 << 28), antialias=True, max_bytes=1 << 20
    )
    gone, here = features.of_frames([Frames(video=digest, indices=(0, 9)) for digest in opened])
    assert isinstance(gone, VideoError)
    assert isinstance(here, Tensor)


def refusal(kind: Any, folder: Path) -> str:
    """Say how a folder is refused, in one line that names it."""
    with pytest.raises(UnusableCheckpoint) as refused:
        load_clip(ClipWeights(kind, find_checkpoint(str(folder))), "float32", "cpu")
    told = str(refused.value)
    assert "\n" not in told
    assert str(folder) in told
    return told


def test_nothing_need_be_loaded_before(folders: dict[str, Path]) -> None:
    """CLIP of transformers loads as the first model of a process, whatever torchvision is installed."""
    code = """
import sys
from aotd.tools.checkpoints import find_checkpoint
from aotd.tools.clip_features import ClipWeights, load_clip
print(load_clip(ClipWeights("transformers", find_checkpoint(sys.argv[1])), "float32", "cpu").side)
"""
    words = [sys.executable, "-c", code, str(folders["transformers"])]
    ran = subprocess.run(words, capture_output=True, text=True, check=False, timeout=240)
    assert ran.stdout.split() == ["64"], ran.stderr


def test_a_folder_of_another_layout_is_told(folders: dict[str, Path], tmp_path: Path) -> None:
    """The wrong kind, weights that are not there and weights that do not fit are named."""
    assert "clip.kind=transformers" in refusal("open-clip", folders["transformers"])
    refusal("transformers", folders["open-clip"])
    config = (folders["open-clip"] / "open_clip_config.json").read_text("utf-8")
    (tmp_path / "open_clip_config.json").write_text(config, "utf-8")
    assert "could not be loaded" in refusal("open-clip", tmp_path)
    save_file({"visual.proj": torch.ones(2, 2)}, tmp_path / "open_clip_model.safetensors")
    assert "Missing key" in refusal("open-clip", tmp_path)
    other = json.loads(config)
    other["model_cfg"]["text_cfg"]["no_causal_mask"] = True
    (tmp_path / "open_clip_config.json").write_text(json.dumps(other), "utf-8")
    (tmp_path / "open_clip_model.safetensors").write_bytes(
        (folders["open-clip"] / "open_clip_model.safetensors").read_bytes()
    )
    assert "UniVTG needs ViT-B/32" in refusal("open-clip", tmp_path)
