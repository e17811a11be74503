"""vLLM, in this process's hands and as a server, against transformers on tiny random checkpoints.

Runs in an environment that has vLLM (`make test-vllm`); elsewhere it is skipped.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aotd.tools.chat import ChatServer
from aotd.tools.checkpoints import Checkpoint, find_checkpoint
from aotd.tools.loading import UnusableCheckpoint
from aotd.tools.models import Message, Reply, TextRequest, ToolError
from aotd.tools.text_transformers import TransformersText
from aotd.tools.torchvision_cpu import mend_torchvision
from aotd.tools.video_chat import VideoTurn
from aotd.tools.video_transformers import TransformersVideoChat
from aotd.tools.vllm_engine import VllmEngine, VllmEngines
from aotd.tools.vllm_text import VllmText
from aotd.tools.vllm_video import VllmVideoChat
from tests.tiny_text import CONTEXT, save_chat

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("vllm") is None, reason="vLLM is not installed: make test-vllm"
    ),
    pytest.mark.filterwarnings("default"),  # its own are many
]

LONGEST = 12
SHARE = 0.2
"""Of this machine's memory, by which vLLM checks what it may take."""
CUT = "\ufffd"
"""What transformers shows of a letter that a reply is cut in the middle of; vLLM leaves it out."""


def request(text: str, choices: tuple[str, ...] | None = None) -> TextRequest:
    """Ask a question under a system message."""
    told = (Message(role="system", content="You judge."), Message(role="user", content=text))
    return TextRequest(role="judge", messages=told, choices=choices)


ASKED = [request(text) for text in ("Is the red door open?", "no", "A person takes the cup. " * 3)]
CHOICES = ("yes", "yes, the red door", "no")


def whole(replies: Any) -> list[Reply]:
    """Leave out of replies the letter that they end in the middle of."""
    assert all(isinstance(reply, Reply) for reply in replies)
    return [reply.model_copy(update={"text": reply.text.rstrip(CUT)}) for reply in replies]


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A random Qwen2 whose heads are as wide as vLLM wants them on a processor."""
    mend_torchvision()
    shape = {"hidden_size": 128, "num_attention_heads": 2, "num_key_value_heads": 1}
    return find_checkpoint(str(save_chat(tmp_path_factory.mktemp("qwen"), "qwen2", **shape)))


@pytest.fixture(scope="module")
def expected(qwen: Checkpoint) -> list[Reply]:
    """What transformers replies."""
    return whole(TransformersText(qwen, device="cpu", dtype="float32", max_tokens=LONGEST).complete(ASKED))


@pytest.fixture(scope="module")
def engine(qwen: Checkpoint) -> Iterator[VllmEngine]:
    """An engine, not started yet."""
    with VllmEngines() as engines:
        yield engines.engine(qwen, device="cpu", dtype="float32", memory_share=SHARE, context=None)


def test_replies_are_those_of_transformers(engine: VllmEngine, expected: list[Reply]) -> None:
    """Texts, token counts and cut marks of a batch equal those of the model in transformers."""
    assert len({reply.text for reply in expected}) == len(ASKED)
    assert whole(VllmText(engine, max_tokens=LONGEST).complete(ASKED)) == expected
    (brief,) = VllmText(engine, max_tokens=3).complete(ASKED[:1])
    assert isinstance(brief, Reply)
    assert (brief.reply_tokens, brief.truncated) == (3, True)
    assert os.environ["VLLM_NO_USAGE_STATS"] == os.environ["DO_NOT_TRACK"] == "1"


def test_choices_hold_a_reply_and_what_does_not_fit_is_refused(engine: VllmEngine) -> None:
    """A reply is one of its choices, beside others without; a prompt that is too long is its own error."""
    free, held, long, other = VllmText(engine, max_tokens=LONGEST).complete(
        [ASKED[0], request("Is it open?", CHOICES), request("#" * CONTEXT), request("Well?", CHOICES)]
    )
    assert isinstance(free, Reply)
    assert free.text not in CHOICES
    for reply in (held, other):
        assert isinstance(reply, Reply)
        assert (reply.text in CHOICES, reply.truncated) == (True, False)
    assert isinstance(long, ToolError)
    assert (long.kind, long.retryable) == ("too-long", False)
    assert f"reply of up to {LONGEST} do not fit into the model's context of {CONTEXT}" in long.message


def test_an_engine_outlives_ctrl_c_and_is_replaced_when_it_dies(
    engine: VllmEngine, expected: list[Reply]
) -> None:
    """An interrupt leaves it alone; killed, it fails what it holds for a retry, and a new one answers."""
    model = VllmText(engine, max_tokens=LONGEST)
    assert whole(model.complete(ASKED)) == expected
    started = multiprocessing.active_children()
    assert started
    for process in started:
        os.kill(process.pid or 0, signal.SIGINT)
    time.sleep(1)
    assert whole(model.complete(ASKED)) == expected
    for process in started:
        process.kill()
        process.join(30)
    (lost,) = model.complete(ASKED[:1])
    assert isinstance(lost, ToolError)
    assert (lost.kind, lost.retryable) == ("worker-lost", True)
    assert whole(model.complete(ASKED)) == expected
    engine.close()
    assert multiprocessing.active_children() == []


def test_a_device_that_this_vllm_is_not_for_is_told(qwen: Checkpoint) -> None:
    """The error names the device and what vLLM was built for; a model's settings must agree to share."""
    with VllmEngines() as engines:
        settings: dict[str, Any] = {"dtype": "float32", "memory_share": SHARE, "context": None}
        engine = engines.engine(qwen, device="xpu:1", **settings)
        with pytest.raises(UnusableCheckpoint, match=r"on xpu:1.*this vLLM is built for cpu"):
            VllmText(engine).complete(ASKED)
        assert engines.engine(qwen, device="xpu:1", **settings) is engine
        with pytest.raises(
            ValueError, match=r"two models share .* and set context to None and 7: set one value"
        ):
            engines.engine(qwen, device="xpu:1", **settings | {"context": 7})


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A random Qwen2.5-VL."""
    import torch
    from transformers import AutoModelForImageTextToText

    from aotd.tools.architectures import SMALL
    from aotd.tools.random_parts import BUILD

    mend_torchvision()
    folder = tmp_path_factory.mktemp("seeing")
    config, processor = BUILD["qwen2.5-vl"](SMALL["qwen2.5-vl"])
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model: Any = AutoModelForImageTextToText.from_config(config)
        for weight in model.parameters():
            weight.mul_(4 if weight.ndim > 1 else 1)  # so that what is seen decides what is said
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return find_checkpoint(str(folder))


def turn(frames: int, text: str, choices: tuple[str, ...] | None = None, seed: int = 0) -> VideoTurn:
    """Show noise, twice a second."""
    import numpy as np

    noise = np.random.default_rng(seed)
    pictures = tuple(noise.integers(0, 255, (64, 96, 3), dtype=np.uint8) for _ in range(frames))
    return VideoTurn(text, pictures, tuple(0.2 + k / 2 for k in range(frames)), choices)


def test_videos_are_seen_and_choices_held(seeing: Checkpoint) -> None:
    """Still clips get transformers' replies; of moving ones, frames count as its processor counts them.

    Where several time steps follow each other, transformers 5 numbers the words behind them differently from
    vLLM and from Qwen's own code, so that words may differ there.
    """
    turns = [turn(1, "What is it?"), turn(2, "Who?"), turn(8, "When?"), turn(8, "When?", seed=1)]
    here = TransformersVideoChat(seeing, device="cpu", dtype="float32", max_frames=8, max_tokens=LONGEST)
    reference = whole(here.chat(turns))
    with VllmEngines() as engines:
        engine = engines.engine(seeing, device="cpu", dtype="float32", memory_share=SHARE, context=512)
        chat = VllmVideoChat(engine, max_frames=8, max_tokens=LONGEST)
        replies = whole(chat.chat(turns))
        assert replies[:2] == reference[:2]
        assert [r.prompt_tokens for r in replies] == [r.prompt_tokens for r in reference]
        assert replies[2].text != replies[3].text
        held, long, seen = chat.chat([turn(3, "Well?", CHOICES), turn(300, "What?"), turns[0]])
        assert isinstance(held, Reply)
        assert held.text in CHOICES
        assert isinstance(long, ToolError)
        assert (long.kind, long.retryable) == ("bad-request", False)
        assert whole([seen]) == reference[:1]
        written = VllmText(engine, max_tokens=LONGEST).complete([request("Is it so?", CHOICES)])
        assert written[0].text in CHOICES  # type: ignore[union-attr]


def test_pictures_of_a_model_that_takes_no_video(seeing: Checkpoint, tmp_path: Path) -> None:
    """Without a video processor the frames go in one by one, each with its place in the prompt."""
    from transformers import AutoProcessor

    with VllmEngines() as engines:
        engine = engines.engine(seeing, device="cpu", dtype="float32", memory_share=SHARE, context=512)
        chat = VllmVideoChat(engine, max_frames=8, max_tokens=LONGEST)
        chat._processor = AutoProcessor.from_pretrained(seeing.folder)
        chat._processor.video_processor = None
        three, one = whole(chat.chat([turn(3, "What?"), turn(1, "What?")]))
    assert three.prompt_tokens - one.prompt_tokens == 2 * (2 * 3 + 2)  # of 2 x 3 cells and two marks each


def test_a_server_of_vllm_answers_the_client(qwen: Checkpoint, expected: list[Reply], tmp_path: Path) -> None:
    """`ChatServer` knows vLLM by its list of models, gets the same replies and has choices held."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(qwen.folder)]
    command += ["--served-model-name", "tiny", "--dtype", "float32", "--enforce-eager"]
    command += ["--gpu-memory-utilization", str(SHARE), "--host", "127.0.0.1", "--port", str(port)]
    quiet = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=os.environ | quiet)
    try:
        wait(f"http://127.0.0.1:{port}/health", process, tmp_path / "log")
        with ChatServer(f"http://127.0.0.1:{port}", "tiny", max_tokens=LONGEST, timeout_seconds=120) as chat:
            assert whole(chat.complete(ASKED)) == expected
            (held,) = chat.complete([request("Is it open?", CHOICES)])
            assert isinstance(held, Reply)
            assert (held.text in CHOICES, chat.style) == (True, "guided")
            (long,) = chat.complete([request("#" * CONTEXT)])
            assert isinstance(long, ToolError)
            assert not long.retryable
    finally:
        process.terminate()
        process.wait(60)


def wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the server answers; its log is the error if it does not."""
    for _ in range(480):
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310
                return
        except (urllib.error.URLError, ConnectionError):
            if process.poll() is not None:
                break
            time.sleep(0.5)
    pytest.fail(f"vLLM's server did not start: {log.read_text(errors='replace')[-2000:]}")
