"""Clips of questions as a video language model learns from them: features of frames, and turns about them.

A clip has one turn that tells its events and one for each question about it, worded by the prompts that the
product asks with; a choice is answered by the option's text. Sees nothing itself and learns nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from aotd.tools.clip_features import square_pixels
from aotd.tools.models import Frames, VideoRequest
from aotd.tools.random_tokenizers import byte_pairs
from aotd.tools.video_tasks import TaskPrompt, ask_task
from aotd.traces.records import GRID
from aotd.traces.star_phrases import action_phrase
from aotd.world.annotate import ask
from aotd.world.draw import draw
from aotd.world.motion import Episode, simulate
from aotd.world.scene import FPS, WIDTH
from aotd.world.split import Split, seed_of
from aotd.world.templates import action
from aotd.zoo.excerpts import positions
from aotd.zoo.fit import Batch, alone
from aotd.zoo.frames import as_filmed

__all__ = ["FRAMES", "Scene", "Turn", "keep_scenes", "turn_tokenizer", "turns_of"]

FRAMES: Final = 8
"""Of each clip."""
_SPANS: Final = 3
"""Clips of an episode, at most."""
_CHOICES: Final = 3
"""Questions about a clip in one batch, at most."""
_LEAST: Final = 6
"""Frames that an event must have in a clip to be told."""
_SPECIALS: Final = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<video>")
_WORDS: Final = 700
_CHAT: Final = (
    "{% for m in messages %}<|im_start|>{% if m['content'] is string %}{{ m['content'] }}{% else %}"
    "{% for c in m['content'] %}{% if c['type'] == 'video' %}<video>{% elif c['type'] == 'text' %}"
    "{{ c['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>{% endif %}"
)
_CLIP: Final = Frames(video="v", indices=(0,))


class Turn(NamedTuple):
    """What is asked about a clip, and the reply that is wanted."""

    prompt: str
    reply: str


class Scene(NamedTuple):
    """A clip.

    Attributes
    ----------
    features : Tensor
        [frames x tokens, width], float16, as the projector gets them.
    caption : Turn
    choices : tuple[Turn, ...]
    """

    features: Tensor
    caption: Turn
    choices: tuple[Turn, ...]


class _Span(NamedTuple):
    """A clip before it is seen."""

    seed: int
    indices: tuple[int, ...]
    caption: Turn
    choices: tuple[Turn, ...]


def _spans(split: Split, first: int, episodes: int) -> Iterator[_Span]:
    """Choose clips of consecutive episodes: spans that questions are asked about."""
    for number in range(first, first + episodes):
        seed = seed_of(split, number)
        episode = simulate(seed)
        about: dict[tuple[int, int], list[Turn]] = {}
        for record in ask([episode]):
            span = round(record["start"] * FPS), round(record["end"] * FPS)
            about.setdefault(span, []).append(_choice(record))
        rng = random.Random(seed)  # noqa: S311 (no secret)
        for start, end in rng.sample(sorted(about), min(_SPANS, len(about))):
            shown = tuple(positions(start, end - start)[:: GRID // FRAMES])
            yield _Span(seed, shown, _caption(episode, start, end), tuple(about[start, end]))


def _choice(record: dict[str, Any]) -> Turn:
    options = tuple(choice["choice"] for choice in record["choices"])
    request = VideoRequest(clip=_CLIP, task="choice", question=record["question"], options=options)
    return Turn(_prompt(request), record["answer"])


def _caption(episode: Episode, start: int, end: int) -> Turn:
    told = [
        action_phrase(action(event.move))
        for event in episode.plan.events
        if min(end, event.end) - max(start, event.start) >= _LEAST
    ]
    return Turn(_prompt(VideoRequest(clip=_CLIP, task="summary")), ", then ".join(told) or "nothing")


def _prompt(request: VideoRequest) -> str:
    asked = ask_task(request)
    if not isinstance(asked, TaskPrompt):
        raise TypeError(f"{request.task}: has no prompt: {asked}")
    return asked.text


def keep_scenes(
    folder: Path,
    split: Split,
    first: int,
    episodes: int,
    see: Callable[[Tensor], Tensor],
    eye: str,
    *,
    workers: int,
    tell: Callable[[str], None],
) -> list[Scene]:
    """Draw clips of consecutive episodes and see them, unless an earlier call kept what it saw.

    Parameters
    ----------
    folder
        Gets `SPLIT-EPISODES-EYE.safetensors`.
    see
        Gives the features of a clip's frames, [frames, 3, side, side] uint8, at the top of padded squares.
    eye
        What tells the weights apart that `see` uses.
    """
    spans = list(_spans(split, first, episodes))
    file = folder / f"{split}-{episodes}-{eye}.safetensors"
    if file.is_file():
        features = load_file(file)["features"]
    else:
        drawn: Any = DataLoader(_Drawn(spans), batch_size=None, num_workers=workers, worker_init_fn=alone)
        rows = []
        for number, squares in enumerate(drawn, 1):
            rows.append(see(squares))
            if number % 500 == 0:
                tell(f"{split}: {number} of {len(spans)} clips seen")
        features = torch.stack(rows)
        folder.mkdir(parents=True, exist_ok=True)
        save_file({"features": features}, file)
    return [Scene(row, span.caption, span.choices) for row, span in zip(features, spans, strict=True)]


class _Drawn(Dataset[Tensor]):
    """The frames of clips as squares, padded at the bottom."""

    def __init__(self, spans: Sequence[_Span]) -> None:
        self._spans = spans

    def __len__(self) -> int:
        return len(self._spans)

    def __getitem__(self, number: int) -> Tensor:
        span = self._spans[number]
        episode = simulate(span.seed)
        pictures = (
            as_filmed(np.asarray(draw(episode, index)), random.Random(span.seed))  # noqa: S311 (no secret)
            for index in span.indices
        )
        return torch.stack([square_pixels(p, None, WIDTH, antialias=True, pads=True) for p in pictures])


def turn_tokenizer(episodes: int = 300) -> Any:
    """Learn a vocabulary from some turns: byte pairs for words, and a token for what all prompts share."""
    from tokenizers import AddedToken
    from transformers import PreTrainedTokenizerFast

    shared = sorted(_shared())
    texts = []
    for span in _spans("train", 0, episodes):
        for turn in (span.caption, *span.choices):
            text = turn.prompt
            for piece in shared:
                text = text.replace(piece, "\n")
            texts += [*text.split("\n"), turn.reply]
    words = byte_pairs(_SPECIALS, texts, _WORDS)
    words.add_tokens([AddedToken(piece, normalized=False) for piece in shared])
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        eos_token=_SPECIALS[2],
        pad_token=_SPECIALS[0],
        extra_special_tokens={"image_token": "<image>", "video_token": "<video>"},
        chat_template=_CHAT,
    )


def _shared() -> set[str]:
    """Cut the prompts where a clip's own words stand."""
    choice = VideoRequest(clip=_CLIP, task="choice", question="%", options=("%",) * 4)
    pieces = _prompt(choice).split('"%"')
    return {*pieces, _prompt(VideoRequest(clip=_CLIP, task="summary"))}


def turns_of(scenes: Sequence[Scene], tokenizer: Any, *, choices: bool, first: int) -> Batch:
    """Put clips and their turns into tensors: a clip's tokens, then its turns one behind the other.

    Parameters
    ----------
    choices
        Whether there are more turns than the one that tells the events.
    first
        Number of the question that comes first, counted round.

    Returns
    -------
    Batch
        `ids` [N, L]; `block` [N, L], 0 for the clip, then the turn's number, -1 behind the last; `places`
        [N, L], each turn's begin where the clip ends; `told` [N, L], what is a reply; `features`.
    """
    rows = []
    mark = tokenizer.convert_tokens_to_ids(["<|im_start|>", "<video>"])
    for scene in scenes:
        head = [mark[0], *[mark[1]] * len(scene.features)]
        row = [(token, 0, place, False) for place, token in enumerate(head)]
        count = min(_CHOICES, len(scene.choices)) if choices else 0
        asked = [scene.choices[(first + k) % len(scene.choices)] for k in range(count)]
        for number, turn in enumerate((scene.caption, *asked), 1):
            prompt = tokenizer(f"{turn.prompt}<|im_end|><|im_start|>", add_special_tokens=False)["input_ids"]
            reply = tokenizer(turn.reply, add_special_tokens=False)["input_ids"]
            tokens = [*prompt, *reply, tokenizer.eos_token_id]
            row += [
                (token, number, len(head) + place, place >= len(prompt)) for place, token in enumerate(tokens)
            ]
        rows.append(row)
    longest = max(map(len, rows))
    pad = (tokenizer.pad_token_id, -1, 0, False)
    filled = [[*row, *[pad] * (longest - len(row))] for row in rows]
    columns = [torch.tensor([[entry[k] for entry in row] for row in filled]) for k in range(4)]
    features = torch.stack([scene.features for scene in scenes]).float()
    return {**dict(zip(("ids", "block", "places", "told"), columns, strict=True)), "features": features}
