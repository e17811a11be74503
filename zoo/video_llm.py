"""Train a video language model of a published class on the household: what the shipped one is compared with.

LLaVA-NeXT-Video (Zhang et al., 2024) with the detector's image tower, which stays as it is, and a small
Qwen2. Clips are kept as the tower's features; projector and language model learn to tell a clip's events, and
after that to choose among options too. Prompts are those of every video language model. The class centres a
frame in its square; this tower knows frames at the top of theirs and is blind elsewhere, so the model takes
videos that were padded to squares at the bottom. Its shipped rival is `tools/event_video.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aotd.tools.checkpoints import find_checkpoint
from aotd.tools.clip_features import normalised
from aotd.tools.torchvision_cpu import mend_torchvision
from aotd.world.split import Split
from aotd.zoo.clip import tower_shape, tower_weights
from aotd.zoo.fit import Batch, Course, fit, moved
from aotd.zoo.video_turns import Scene, keep_scenes, turn_tokenizer, turns_of

__all__ = [
    "LLM",
    "LlmTask",
    "new_video_llm",
    "save_video_llm",
    "train_video_llm",
    "video_tokens",
]

LLM: Final = Course(steps=1_200, peak=1e-3, warmup=100, every=250)

_CAPTIONS: Final = 400
"""Steps in which only events are told."""
_CLIPS: Final = 16
"""Clips of a batch."""
_EPISODES: Final[Mapping[Split, tuple[int, int]]] = {"train": (650_000, 1_600), "validation": (110_000, 80)}
"""First episode and number of episodes."""
_NOISE: Final = 0.1
"""What is added to the features, in their standard deviations."""
_CONTEXT: Final = 1024
_LANGUAGE: Final[Mapping[str, Any]] = {
    "hidden_size": 256,
    "intermediate_size": 768,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


def new_video_llm(tower: Any, tokenizer: Any) -> Any:
    """Make a LLaVA-NeXT-Video around the weights of an OWLv2 image tower, whose layers are CLIP's.

    Parameters
    ----------
    tower
        An `Owlv2VisionModel`.
    tokenizer
        By `turn_tokenizer`.

    Returns
    -------
    LlavaNextVideoForConditionalGeneration
        The rest of its weights are random.
    """
    from transformers import (
        CLIPVisionConfig,
        LlavaNextVideoConfig,
        LlavaNextVideoForConditionalGeneration,
        Qwen2Config,
    )

    seen = tower.config
    side = seen.image_size // seen.patch_size
    config = LlavaNextVideoConfig(
        vision_config=CLIPVisionConfig(**tower_shape(tower)),
        text_config=Qwen2Config(
            vocab_size=len(tokenizer),
            max_position_embeddings=_CONTEXT,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            **_LANGUAGE,
        ),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        vision_feature_layer=-1,
        image_grid_pinpoints=[[seen.image_size] * 2],
        image_seq_length=side * side,
        video_seq_length=side * side // 4,
    )
    model = LlavaNextVideoForConditionalGeneration(config)
    inner: Any = getattr(model.model.vision_tower, "vision_model", model.model.vision_tower)
    inner.load_state_dict(tower_weights(tower))
    return model


def video_tokens(llm: Any, squares: Tensor) -> Tensor:
    """Give what the projector gets of frames [N, 3, side, side] uint8: [N, tokens, width]."""
    seen = llm.model.vision_tower(normalised(squares), output_hidden_states=True).hidden_states[-1]
    pooled: Tensor = llm.model.vision_resampler(seen[:, 1:])
    return pooled


class LlmTask:
    """Teaches projector and language model to tell events and to choose.

    Parameters
    ----------
    llm, tokenizer
        The model, whose tower stays as it is.
    train, validation
        Clips.
    seed
        Of batches.
    """

    def __init__(
        self, llm: Any, tokenizer: Any, train: Sequence[Scene], validation: Sequence[Scene], seed: int
    ) -> None:
        self._llm, self._tokenizer, self._seed = llm, tokenizer, seed
        self._train, self._validation = train, validation
        self._spread = float(torch.stack([scene.features for scene in train[:200]]).float().std())
        parts = {"projector": llm.model.multi_modal_projector, "language": llm.model.language_model}
        self.model = nn.ModuleDict({**parts, "words": llm.lm_head})

    def batch(self, step: int) -> Batch:
        """Take clips in an order of each pass's own, with their turns."""
        passed, place = divmod(step * _CLIPS, len(self._train) - len(self._train) % _CLIPS)
        order = torch.randperm(
            len(self._train), generator=torch.Generator().manual_seed(1000 * self._seed + passed)
        )
        scenes = [self._train[number] for number in order[place : place + _CLIPS].tolist()]
        batch = turns_of(scenes, self._tokenizer, choices=step >= _CAPTIONS, first=passed)
        noise = torch.randn(batch["features"].shape, generator=torch.Generator().manual_seed(step))
        return {**batch, "features": batch["features"] + _NOISE * self._spread * noise}

    def loss(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Weigh the tokens of replies, those of captions and of choices by themselves."""
        logits, wanted, block = self.replies(batch)
        each = F.cross_entropy(logits.float(), wanted, reduction="none")
        caption = block == 1
        chosen = each[~caption].sum() / (~caption).sum().clamp(min=1)  # at first there are none
        parts = {"caption_loss": each[caption].mean(), "choice_loss": chosen}
        return torch.stack(list(parts.values())).sum(), parts

    def replies(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Give logits, wanted tokens and numbers of the turns of all tokens of replies."""
        told = batch["told"][:, 1:]
        with torch.autocast(batch["ids"].device.type, torch.bfloat16):
            states = self._states(batch)[:, :-1][told]
            logits = self._llm.lm_head(states)
        return logits, batch["ids"][:, 1:][told], batch["block"][:, 1:][told]

    def _states(self, batch: Batch) -> Tensor:
        """Run the language model on several turns about one clip: each sees the clip and itself alone."""
        ids, block, model = batch["ids"], batch["block"], self._llm.model
        seen = model.multi_modal_projector(batch["features"])
        words = model.get_input_embeddings()(ids)
        shown = (ids == self._llm.config.video_token_id).unsqueeze(-1)
        inputs = words.masked_scatter(shown, seen.to(words.dtype))
        earlier = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool, device=ids.device).tril()
        same = (block[:, None, :] == 0) | (block[:, None, :] == block[:, :, None])
        mask = torch.zeros(same.shape, dtype=inputs.dtype, device=ids.device)
        mask = mask.masked_fill(~(same & earlier), torch.finfo(inputs.dtype).min).unsqueeze(1)
        found: Tensor = model.language_model(
            inputs_embeds=inputs, attention_mask=mask, position_ids=batch["places"], use_cache=False
        ).last_hidden_state
        return found

    def scores(self) -> Mapping[str, float]:
        """Give the share of validation captions, and of choices, that are right to the letter."""
        right: dict[str, list[bool]] = {"captions": [], "choices": []}
        for start in range(0, len(self._validation), _CLIPS):
            batch = turns_of(self._validation[start : start + _CLIPS], self._tokenizer, choices=True, first=0)
            batch = moved(batch, self._llm.device)
            logits, wanted, block = self.replies(batch)
            rows = batch["told"][:, 1:].nonzero()[:, 0]
            hit = logits.argmax(-1) == wanted
            for key in dict.fromkeys(zip(rows.tolist(), block.tolist(), strict=True)):
                own = (rows == key[0]) & (block == key[1])
                right["captions" if key[1] == 1 else "choices"].append(bool(hit[own].all()))
        return {name: sum(hits) / len(hits) for name, hits in right.items()}


def save_video_llm(llm: Any, tokenizer: Any, folder: Path) -> None:
    """Write model and processor as `from_pretrained` reads them, in float16."""
    import transformers as hf

    side = llm.config.vision_config.image_size
    size: dict[str, Any] = {"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}}
    processor = hf.LlavaNextVideoProcessor(
        video_processor=hf.LlavaNextVideoVideoProcessor(**size),
        image_processor=hf.LlavaNextImageProcessor(**size, image_grid_pinpoints=[[side, side]]),
        tokenizer=tokenizer,
        patch_size=llm.config.vision_config.patch_size,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=tokenizer.chat_template,
    )
    processor.save_pretrained(str(folder))
    llm.half().save_pretrained(str(folder))
    llm.float()


def train_video_llm(home: Path, *, seed: int, device: str, workers: int, tell: Callable[[str], None]) -> None:
    """Train on the detector in `home/detector/model`; it goes to `home/video_llm/model`."""
    mend_torchvision()
    from transformers import Owlv2ForObjectDetection

    folder = home / "video_llm"
    detector = find_checkpoint(str(home / "detector" / "model"))
    owl = Owlv2ForObjectDetection.from_pretrained(str(detector.folder), dtype=torch.float32)
    tokenizer = turn_tokenizer()
    torch.manual_seed(seed)
    llm = new_video_llm(owl.owlv2.vision_model, tokenizer)
    llm.to(device)

    def see(squares: Tensor) -> Tensor:
        with torch.inference_mode(), torch.autocast(torch.device(device).type, torch.bfloat16):
            return video_tokens(llm, squares.to(device)).flatten(0, 1).half().cpu()

    scenes = {
        split: keep_scenes(
            folder, split, first, count, see, str(detector.revision), workers=workers, tell=tell
        )
        for split, (first, count) in _EPISODES.items()
    }
    task = LlmTask(llm, tokenizer, scenes["train"], scenes["validation"], seed)
    fit(task, LLM, folder, seed=seed, device=device, workers=workers, tell=tell)
    save_video_llm(llm, tokenizer, folder / "model")
