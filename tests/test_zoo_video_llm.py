"""Tests of training a video language model: it learns from just what the product will show and ask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import torch

from aotd.tools.checkpoints import find_checkpoint
from aotd.tools.clip_features import normalised, square_pixels
from aotd.tools.torchvision_cpu import mend_torchvision
from aotd.tools.video_chat import VideoTurn
from aotd.tools.video_transformers import TransformersVideoChat
from aotd.traces.answers import mc_v1
from aotd.world.clip import render_clip
from aotd.world.split import seed_of
from aotd.zoo.video_llm import LlmTask, new_video_llm, save_video_llm, video_tokens
from aotd.zoo.video_turns import FRAMES, Scene, keep_scenes, turn_tokenizer, turns_of

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """Learn a vocabulary from a few turns."""
    return turn_tokenizer(12)


@pytest.fixture(scope="module")
def llm(tokenizer: Any) -> Any:
    """Make a model around the shipped detector's tower."""
    mend_torchvision()
    from transformers import Owlv2ForObjectDetection

    weights = str(find_checkpoint("embedded:detector").folder)
    owl = Owlv2ForObjectDetection.from_pretrained(weights, dtype=torch.float32)
    torch.manual_seed(0)
    return new_video_llm(owl.owlv2.vision_model, tokenizer).eval()


@pytest.fixture(scope="module")
def scenes(llm: Any, tmp_path_factory: pytest.TempPathFactory) -> list[Scene]:
    """See the clips of two training episodes."""
    folder = tmp_path_factory.mktemp("scenes") / "new"

    def see(squares: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return video_tokens(llm, squares).flatten(0, 1).half()

    return keep_scenes(folder, "train", 0, 2, see, "eye", workers=0, tell=lambda _: None)


@pytest.fixture(scope="module")
def saved(llm: Any, tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save it as a finished one is."""
    folder = tmp_path_factory.mktemp("video_llm")
    save_video_llm(llm, tokenizer, folder)
    return folder


def padded(frames: Any) -> Any:
    """Make squares of frames [T, H, W, 3], as a video for this model has to be."""
    return np.pad(frames, ((0, 0), (0, frames.shape[2] - frames.shape[1]), (0, 0), (0, 0)))


def test_training_sees_what_the_saved_processor_shows(llm: Any, saved: Path) -> None:
    """Frames drawn for training give the very pixels that the processor makes of the same frames."""
    from transformers import AutoProcessor

    frames = padded(render_clip(seed_of("train", 5), range(0, 40, 5)).frames)
    processor: Any = AutoProcessor.from_pretrained(str(saved))
    shown = processor.video_processor(
        videos=[frames], do_sample_frames=False, return_tensors="pt"
    ).pixel_values_videos[0]
    drawn = torch.stack([square_pixels(frame, None, 240, antialias=True, pads=True) for frame in frames])
    assert torch.allclose(normalised(drawn), shown, atol=1e-5)
    with torch.inference_mode():
        tokens = llm.get_video_features(
            shown[None], vision_feature_layer=-1, vision_feature_select_strategy="default"
        )
        own = llm.model.multi_modal_projector(video_tokens(llm, drawn))
    assert torch.allclose(own.flatten(0, 1), tokens.pooler_output.flatten(0, 1), atol=1e-4)


def test_training_reads_what_the_product_asks(
    llm: Any, saved: Path, tokenizer: Any, scenes: list[Scene]
) -> None:
    """Of a saved model the product's chat and the training give the same tokens, and the same first word."""
    chat = TransformersVideoChat(
        find_checkpoint(str(saved)), device="cpu", dtype="float32", max_frames=FRAMES, max_tokens=1
    )
    frames = padded(render_clip(seed_of("train", 5), range(0, 40, 5)).frames)
    drawn = torch.stack([square_pixels(frame, None, 240, antialias=True, pads=True) for frame in frames])
    with torch.inference_mode():
        seen = video_tokens(llm, drawn).flatten(0, 1)
    scene = scenes[0]._replace(features=seen)
    seconds = tuple(index / 10 for index in range(0, 40, 5))
    batch = turns_of([scene], tokenizer, choices=True, first=0)
    task = LlmTask(llm, tokenizer, scenes, scenes, 0)
    with torch.inference_mode():
        logits, _, block = task.replies(batch)
    for number, turn in enumerate((scene.caption, scene.choices[0]), 1):
        (reply,) = chat.chat([VideoTurn(turn.prompt, tuple(frames), seconds)])
        asked = (batch["block"][0] == 0) | ((batch["block"][0] == number) & ~batch["told"][0])
        assert getattr(reply, "prompt_tokens", None) == int(asked.sum())
        first = logits[block == number][0].argmax()
        assert getattr(reply, "text", None) == tokenizer.decode([int(first)], skip_special_tokens=True)


def test_a_turn_sees_the_clip_and_itself_alone(llm: Any, tokenizer: Any, scenes: list[Scene]) -> None:
    """What is asked beside it changes nothing of a reply; another clip does."""
    task = LlmTask(llm, tokenizer, scenes, scenes, 0)
    scene = next(scene for scene in scenes if scene.choices)
    other = scene._replace(choices=tuple(reversed(scene.choices)), caption=scene.choices[0])
    unlike = scene._replace(features=scene.features.roll(7, -1))

    def caption_of(shown: Scene, number: int) -> torch.Tensor:
        with torch.inference_mode():
            logits, _, block = task.replies(turns_of([shown], tokenizer, choices=True, first=0))
        return logits[block == number].float()

    told = caption_of(scene, 2)
    assert torch.allclose(told, caption_of(scene._replace(caption=scene.choices[0]), 2), atol=0.05)
    assert torch.allclose(told, caption_of(other, 1), atol=0.05)
    assert not torch.allclose(told, caption_of(unlike, 2), atol=0.05)


def test_a_clip_tells_its_events_and_each_choice_is_one_of_its_options(scenes: list[Scene]) -> None:
    """Captions name deeds in order; the reply to a choice is found among its options as the product does."""
    assert {len(scene.features) for scene in scenes} == {FRAMES * 36}
    for scene in scenes:
        assert scene.caption.reply
        for turn in scene.choices:
            options = [
                line.split(") ", 1)[1].strip('"') for line in turn.prompt.splitlines() if line[:1] == "("
            ]
            assert len(options) == 4
            found = mc_v1(turn.reply, options)
            assert found.index is not None
            assert options[found.index] == turn.reply


def test_projector_and_language_model_learn_and_the_tower_stays(
    llm: Any, tokenizer: Any, scenes: list[Scene]
) -> None:
    """A few steps on one batch lower the loss and leave the tower as it is."""
    task = LlmTask(llm, tokenizer, scenes, scenes, 0)
    batch = turns_of(scenes[:2], tokenizer, choices=True, first=0)
    before = [weight.clone() for weight in llm.model.vision_tower.parameters()]
    optimizer = torch.optim.AdamW(task.model.parameters(), 1e-3)
    losses = []
    for _ in range(4):
        loss, _ = task.loss(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    after = llm.model.vision_tower.parameters()
    assert all(torch.equal(old, new) for old, new in zip(before, after, strict=True))
