"""Video language models of transformers, as tiny checkpoints on disk, by the product's own path."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aotd.tools.checkpoints import find_checkpoint
from aotd.tools.frames import FrameStore
from aotd.tools.library import Library
from aotd.tools.loading import UnusableCheckpoint
from aotd.tools.models import Frames, Reply, ToolError, VideoAnswer, VideoRequest
from aotd.tools.torchvision_cpu import mend_torchvision
from aotd.tools.video_chat import VideoTurn
from aotd.tools.video_llm import VideoLlm
from aotd.tools.video_tasks import TASKS
from aotd.tools.video_transformers import TransformersVideoChat
from aotd.traces.records import Question
from tests.tiny_video import TINY, save_tiny

MISSING = [
    name for name in ("torch", "torchvision", "transformers") if importlib.util.find_spec(name) is None
]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"the extra hf lacks {', '.join(MISSING)}")

TOKENS = 12
Folder = Callable[..., Path]


@pytest.fixture(scope="module")
def folder(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Save a tiny model when it is first asked for."""
    mend_torchvision()
    root = tmp_path_factory.mktemp("tiny")

    def saved(kind: str, context: int = 4096) -> Path:
        path = root / f"{kind}-{context}"
        return path if path.exists() else save_tiny(kind, path, context=context)

    return saved


def load(path: Path, **settings: Any) -> TransformersVideoChat:
    """Make the chat model of a folder."""
    return TransformersVideoChat(
        find_checkpoint(str(path)),
        **{"device": "cpu", "dtype": "float32", "max_frames": 8, "max_tokens": TOKENS, **settings},
    )


def turn(text: str, frames: int = 8, seed: int = 0, size: tuple[int, int] = (48, 64)) -> VideoTurn:
    """Make a turn of noise, forty frames apart at 25 a second."""
    noise = np.random.default_rng(seed).integers(0, 255, (frames, *size, 3), dtype=np.uint8)
    return VideoTurn(text, tuple(noise), tuple(40 * i / 25 for i in range(frames)))


def reference(path: Path, asked: VideoTurn, dtype: str = "float32") -> tuple[list[int], int]:
    """Let transformers itself reply: the tokens, and the length of the prompt."""
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    processor = AutoProcessor.from_pretrained(path)
    model = AutoModelForImageTextToText.from_pretrained(path, dtype=dtype).eval()
    seen = {"type": "video", "video": np.stack(asked.frames)}
    indices = [round(1000 * second) for second in asked.seconds]
    total = len(indices) * (indices[1] - indices[0])
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": [seen, {"type": "text", "text": asked.text}]}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        processor_kwargs={
            "do_sample_frames": False,
            "video_metadata": [{"total_num_frames": total, "fps": 1000.0, "frames_indices": indices}],
        },
    )
    length = inputs["input_ids"].shape[1]
    with torch.no_grad():
        inputs = {k: v.to(model.dtype) if k.startswith("pixel") else v for k, v in inputs.items()}
        made = model.generate(**inputs, max_new_tokens=TOKENS, do_sample=False)
    return made[0, length:].tolist(), length


def decoded(path: Path, tokens: list[int]) -> str:
    """Give the text of a reply's tokens."""
    from transformers import AutoTokenizer

    return str(AutoTokenizer.from_pretrained(path).decode(tokens, skip_special_tokens=True))


@pytest.mark.parametrize("kind", TINY)
def test_a_reply_is_the_one_that_transformers_gives(folder: Folder, kind: str) -> None:
    """Words, prompt length and time stamps are those of a chat that transformers writes and runs alone."""
    asked = turn("What is the person doing?", seed=3)
    path = folder(kind)
    (reply,) = load(path).chat([asked])
    tokens, length = reference(path, asked)
    assert reply == Reply(
        text=decoded(path, tokens),
        truncated=len(tokens) == TOKENS,
        prompt_tokens=length,
        reply_tokens=len(tokens),
    )


def test_half_precision_does_not_touch_times(folder: Folder) -> None:
    """Qwen2.5-VL counts 4 positions a second: 2.998 s a pair are 11, and 12 once rounded to bfloat16."""
    asked = turn("What is it?", frames=8)
    asked = asked._replace(seconds=tuple(1.499 * k for k in range(8)))
    chat = load(folder("qwen2.5-vl"), dtype="bfloat16")
    (reply,) = chat.chat([asked])
    tokens, _ = reference(folder("qwen2.5-vl"), asked, "bfloat16")
    later = asked._replace(seconds=tuple(1.5 * k for k in range(8)))
    assert isinstance(reply, Reply)
    assert reply.text == decoded(folder("qwen2.5-vl"), tokens)
    assert [reply] != chat.chat([later])


def test_pixels_of_a_frame_are_capped_as_in_the_models_own_code(folder: Folder, tmp_path: Path) -> None:
    """Where a checkpoint does not say whether to cap, releases of transformers differ; here it is capped."""
    lengths = {}
    for capped in (None, True, False):
        path = save_tiny("qwen3-vl", tmp_path / str(capped))
        file = path / "processor_config.json"
        own = json.loads(file.read_text())
        own["video_processor"] |= {"max_video_tokens": 6, "cap_pixels_per_frame": capped}
        file.write_text(json.dumps(own))
        (reply,) = load(path).chat([turn("?", frames=2, size=(200, 200))])
        assert isinstance(reply, Reply)
        lengths[capped] = reply.prompt_tokens
    assert lengths[None] == lengths[True] < lengths[False]


@pytest.mark.parametrize("kind", TINY)
def test_replies_of_a_batch_are_those_of_single_turns(folder: Folder, kind: str) -> None:
    """Turns of any lengths in any order get, in float32 on a CPU, the very replies they get alone."""
    turns = [turn("What is it?", seed=seed) for seed in range(5)]
    turns[2:2] = [turn("Where is the door, is it open?", frames=3), turn("hm", frames=1)]
    turns.append(turn("What is it?", size=(64, 32)))
    chat = load(folder(kind))
    together = chat.chat(turns)
    assert together == [chat.chat([one])[0] for one in turns]
    assert len({reply.text for reply in together if isinstance(reply, Reply)}) > 4  # what is seen matters


@pytest.mark.parametrize("kind", ["qwen2.5-vl", "qwen3-vl"])
def test_the_order_of_frames_matters(folder: Folder, kind: str) -> None:
    """A video played backwards is another video."""
    forth = turn("What is it?", seed=1)
    replies = load(folder(kind)).chat([forth, forth._replace(frames=forth.frames[::-1])])
    assert replies[0] != replies[1]


def test_times_of_frames_reach_a_model_that_reads_them(folder: Folder) -> None:
    """Qwen3-VL is told seconds: two more digits on each of four pairs are eight more tokens."""
    early = turn("What is it?")
    late = early._replace(seconds=tuple(second + 500 for second in early.seconds))
    replies = load(folder("qwen3-vl")).chat([early, late])
    first, second = (reply.prompt_tokens for reply in replies if isinstance(reply, Reply))
    assert first < second <= first + 8


def test_a_reply_ends_at_the_first_token_that_ends_one(folder: Folder, tmp_path: Path) -> None:
    """A second such token of the checkpoint counts too; it is counted as a token but not written."""
    asked = [turn("What is it?", seed=seed) for seed in range(3)]
    tokens, length = reference(folder("qwen2.5-vl"), asked[1])
    first = next(k for k in range(2, TOKENS) if tokens.index(tokens[k]) == k)
    path = save_tiny("qwen2.5-vl", tmp_path / "tiny")
    file = path / "generation_config.json"
    own = json.loads(file.read_text())
    file.write_text(json.dumps({**own, "eos_token_id": [own["eos_token_id"], tokens[first]]}))
    before = load(folder("qwen2.5-vl")).chat(asked)[1]
    after = load(path).chat(asked)[1]
    assert isinstance(before, Reply)
    assert isinstance(after, Reply)
    assert (after.truncated, after.prompt_tokens, after.reply_tokens) == (False, length, first + 1)
    assert before.text.startswith(after.text)
    assert (before.truncated, before.reply_tokens) == (True, TOKENS)


def test_sampling_settings_of_a_checkpoint_are_left_out(folder: Folder, tmp_path: Path) -> None:
    """A checkpoint that asks for sampling and penalties gets greedy replies, and nobody is warned of it."""
    path = save_tiny("qwen2.5-vl", tmp_path / "tiny")
    file = path / "generation_config.json"
    own = json.loads(file.read_text())
    asks = {"do_sample": True, "temperature": 0.1, "top_k": 1, "top_p": 0.001, "repetition_penalty": 5.0}
    file.write_text(json.dumps({**own, **asks}))
    asked = [turn("What is it?", seed=seed) for seed in range(3)]
    assert load(path).chat(asked) == load(folder("qwen2.5-vl")).chat(asked)


def test_frames_that_do_not_fit_are_refused_at_the_start(folder: Folder) -> None:
    """The error names what fits; with it the model loads, with one frame more it does not."""
    path = folder("llava-next-video", 320)
    with pytest.raises(UnusableCheckpoint, match="takes 320 tokens; 32 frames are") as refused:
        load(path, max_frames=32).check()
    assert "\n" not in str(refused.value)
    fitting = int(str(refused.value).split("max_frames=")[1].split(",")[0])
    assert 0 < fitting < 32
    load(path, max_frames=fitting).check()
    with pytest.raises(UnusableCheckpoint, match=f"max_frames={fitting}"):
        load(path, max_frames=fitting + 1).check()
    with pytest.raises(UnusableCheckpoint, match=r": set a larger context$"):
        load(folder("llava-next-video", 270)).chat([turn("?")])


def test_a_larger_context_may_be_asked_for(folder: Folder) -> None:
    """Whoever sets the context has the last word, and it is part of the identity."""
    path = folder("llava-next-video", 320)
    chat = load(path, max_frames=32, context=1000)
    (reply,) = chat.chat([turn("What is it?", frames=32)])
    assert isinstance(reply, Reply)
    assert chat.identity != load(path, max_frames=32).identity


def test_a_turn_that_is_too_long_fails_alone(folder: Folder) -> None:
    """Nothing is cut: the error names the lengths, and the other turns are answered."""
    chat = load(folder("qwen3-vl", 400))
    short, long, last = chat.chat([turn("What?"), turn("door " * 400), turn("Where?")])
    assert isinstance(short, Reply)
    assert isinstance(last, Reply)
    assert isinstance(long, ToolError)
    assert (long.kind, long.retryable) == ("too-long", False)
    assert "holds 400" in long.message


def test_wrong_folders_are_refused_in_one_line(folder: Folder, tmp_path: Path) -> None:
    """A text model, a folder without weights and one without a chat template each say what is wrong."""
    import shutil

    from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

    text = tmp_path / "text"
    AutoTokenizer.from_pretrained(folder("qwen3-vl")).save_pretrained(text)
    named = json.loads((text / "tokenizer_config.json").read_text())
    (text / "tokenizer_config.json").write_text(json.dumps({**named, "processor_class": None}))
    numbers: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}
    config = Qwen2Config(**numbers, num_attention_heads=2, num_key_value_heads=2, vocab_size=400)
    Qwen2ForCausalLM(config).save_pretrained(text)
    empty = Path(shutil.copytree(folder("qwen3-vl"), tmp_path / "empty"))
    (empty / "model.safetensors").unlink()
    mute = Path(shutil.copytree(folder("qwen3-vl"), tmp_path / "mute"))
    (mute / "chat_template.jinja").unlink()
    for path, what in ((text, "no video processor"), (empty, "does not load"), (mute, "no chat template")):
        with pytest.raises(UnusableCheckpoint, match=what) as refused:
            load(path).chat([turn("?")])
        assert str(path) in str(refused.value)
        assert "\n" not in str(refused.value)


def test_nothing_is_loaded_before_it_is_asked(folder: Folder) -> None:
    """Making one takes no weights, and no turns no work; the identity is known at once."""
    chat = load(folder("qwen3-vl"), device="cuda:99")
    assert chat.chat([]) == []
    assert chat.identity.id == f"transformers/{folder('qwen3-vl').name}"
    assert chat.identity.revision
    assert chat.identity.generation == {"temperature": 0.0, "max_tokens": TOKENS}
    with pytest.raises(UnusableCheckpoint, match="cuda:99"):
        chat.check()


def test_many_threads_get_the_replies_of_one(folder: Folder) -> None:
    """Threads that ask at the same time, first of all for the weights, do not disturb each other."""
    turns = [turn("What is it?", seed=seed) for seed in range(6)]
    alone = load(folder("qwen2.5-vl")).chat(turns)
    chat = load(folder("qwen2.5-vl"))
    with ThreadPoolExecutor(3) as lanes:
        together = list(lanes.map(lambda one: chat.chat([one])[0], turns))
    assert together == alone


@pytest.mark.parametrize("kind", ["llava-next-video", "llava-onevision", "qwen2.5-vl", "qwen3-vl"])
def test_every_task_on_a_real_video(folder: Folder, data: Path, kind: str) -> None:
    """A model that talks nonsense abstains where it must choose, and nothing of what it said is lost."""
    library = Library(data / "videos")
    question = Question(id="q", dataset="star", video_id="univtg_charades", text="?")
    video = library.open(question)
    model = VideoLlm(load(folder(kind)), FrameStore(library, 1 << 28))
    whole = Frames(video=video.digest, indices=tuple(i * 460 // 32 for i in range(32)))
    crops = tuple((10 * i, 20, 10 * i + 90, 250) for i in range(6))
    cut = Frames(video=video.digest, indices=whole.indices[:6], crops=crops)
    requests = [
        VideoRequest(
            clip=clip,
            task=task,
            subject="cup",
            question="What was opened?",
            options=("The door.", "The fridge.") if task in ("choice", "objects") else None,
        )
        for task in TASKS
        for clip in (whole, cut)
    ]
    answers = model.answer(requests)
    for request, answer in zip(requests, answers, strict=True):
        assert isinstance(answer, VideoAnswer)
        assert answer.raw
        sampled = request.clip is whole and request.task != "caption"
        assert ("8 of the clip's 32 frames were shown" in answer.notes) is sampled
        if request.task == "caption":
            assert len(answer.texts) == len(request.clip.indices)
        if request.task in ("choice", "is_this"):
            assert answer.texts == ()
            assert any(note.startswith("the reply ") for note in answer.notes)
    assert model.answer(requests[:2]) == answers[:2]


def test_a_true_shape_on_a_gpu(tmp_path: Path) -> None:
    """The published shape of the paper's video model takes 32 frames on a GPU and replies."""
    import torch

    if not torch.cuda.is_available() or torch.cuda.get_device_properties(0).total_memory < 24 << 30:
        pytest.skip("needs a GPU with 24 GB")
    from aotd.tools.random_weights import write_random

    path = write_random("llava-hf/LLaVA-NeXT-Video-7B-DPO-hf", "llava-next-video", "full", 0, tmp_path)
    checkpoint = find_checkpoint(str(path))
    chat = TransformersVideoChat(checkpoint, device="cuda:0", dtype="bfloat16", context=8192)
    replies = chat.chat([turn("What is it?", frames=32, seed=seed, size=(270, 480)) for seed in range(2)])
    assert all(isinstance(reply, Reply) and reply.prompt_tokens > 32 * 144 for reply in replies)


def test_it_loads_as_the_first_model_of_a_process(folder: Folder) -> None:
    """A video language model is the first that a process loads, whatever torchvision is installed."""
    code = (
        "import sys; from aotd.tools.checkpoints import find_checkpoint\n"
        "from aotd.tools.video_transformers import TransformersVideoChat\n"
        "found = find_checkpoint(sys.argv[1])\n"
        "TransformersVideoChat(found, device='cpu', dtype='float32', max_frames=2).check()"
    )
    words = [sys.executable, "-c", code, str(folder("llava-next-video"))]
    ran = subprocess.run(words, capture_output=True, text=True, check=False, timeout=240)
    assert ran.returncode == 0, ran.stderr
