"""The chat client against a real `transformers serve` with a tiny random model.

Runs where `pip install 'transformers[serving]' torch` was done; elsewhere it is skipped.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from aotd.tools.models import Message, Reply, TextRequest, ToolError

_MISSING = [
    name
    for name in ("openai", "torch", "transformers", "fastapi", "uvicorn")
    if importlib.util.find_spec(name) is None
]
pytestmark = pytest.mark.skipif(bool(_MISSING), reason=f"transformers[serving] lacks {', '.join(_MISSING)}")

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
QUESTION = "Is the door open?"
LONGEST = 8


class Served(NamedTuple):
    """A running server, its model's folder, and what transformers itself makes of the question."""

    url: str
    folder: str
    process: subprocess.Popen[bytes]
    prompt_tokens: int
    reply: str


def build(folder: Path) -> tuple[int, str]:
    """Save a random Qwen2 of two layers; give its greedy reply to the question and the prompt's length."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer

    torch.manual_seed(0)
    corpus = ["Is the door open? yes no", "A person takes the cup and closes the door."] * 20
    # Qwen2's own class: a generic tokenizer saved in a qwen2 folder is read back with other rules.
    tokenizer: Any = Qwen2Tokenizer().train_new_from_iterator(
        corpus, 300, new_special_tokens=["<|im_start|>", "<|im_end|>"]
    )
    tokenizer.chat_template = TEMPLATE
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        eos_token_id=end,
        pad_token_id=end,
        bos_token_id=None,
    )
    model: Any = Qwen2ForCausalLM(config).eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": QUESTION}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    tokens = model.generate(**asked, max_new_tokens=LONGEST, do_sample=False)[0]
    length = asked["input_ids"].shape[1]
    return length, tokenizer.decode(tokens[length:], skip_special_tokens=True)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Start the server and wait until it is healthy."""
    home = tmp_path_factory.mktemp("serve")
    folder = home / "tiny-qwen2"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other people's
        length, reply = build(folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).parent / "transformers"), "serve", str(folder), "--device", "cpu"]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(home)},
        )
    try:
        wait(f"http://127.0.0.1:{port}/health", process, home / "log")
        yield Served(f"http://127.0.0.1:{port}", str(folder), process, length, reply)
    finally:
        process.terminate()
        process.wait(30)


def wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the server answers; its log is the error if it does not."""
    for _ in range(240):
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310
                return
        except (urllib.error.URLError, ConnectionError):
            if process.poll() is not None:
                break
            time.sleep(0.5)
    pytest.fail(f"transformers serve did not start: {log.read_text(errors='replace')[-2000:]}")


def request(choices: tuple[str, ...] | None = None) -> TextRequest:
    """Ask the question."""
    return TextRequest(role="judge", messages=(Message(role="user", content=QUESTION),), choices=choices)


def test_a_served_model_replies_as_the_model_itself_does(served: Served) -> None:
    """Greedy replies equal those of transformers itself, and the tokens counted are its tokenizer's."""
    from aotd.tools.chat import ChatServer

    expected = Reply(
        text=served.reply, truncated=True, prompt_tokens=served.prompt_tokens, reply_tokens=LONGEST
    )
    with ChatServer(served.url, served.folder, max_tokens=LONGEST, timeout_seconds=120) as chat:
        assert chat.complete([request(), request()]) == [expected, expected]


def test_a_parameter_that_the_server_refuses_is_left_out(served: Served) -> None:
    """`structured_outputs` is refused as an unexpected field, and the question is asked in plain text."""
    from aotd.tools.chat import ChatServer

    with ChatServer(
        served.url, served.folder, max_tokens=LONGEST, timeout_seconds=120, structured="guided"
    ) as chat:
        (reply,) = chat.complete([request(("yes", "no"))])
        assert isinstance(reply, Reply)
        assert (reply.text, chat.style) == (served.reply, "none")


def test_another_model_than_the_served_one_is_a_set_up_error(served: Served) -> None:
    """A wrong name stops at once, in the server's words."""
    from aotd.tools.chat import ChatServer, ChatSetupError

    with ChatServer(served.url, "another") as chat, pytest.raises(ChatSetupError, match="another"):
        chat.complete([request()])


def test_a_killed_server_is_a_lost_connection(served: Served) -> None:
    """After the server's end a request is an error to be retried."""
    from aotd.tools.chat import ChatServer

    with ChatServer(served.url, served.folder, timeout_seconds=20) as chat:
        served.process.kill()
        served.process.wait(30)
        (answer,) = chat.complete([request()])
    assert isinstance(answer, ToolError)
    assert (answer.kind, answer.retryable) == ("connection", True)
