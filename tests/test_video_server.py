"""Video language models behind a server: what arrives at a real HTTP server, and what comes back."""

from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from aotd.tools.models import Frames, Reply, ToolError, VideoAnswer, VideoRequest
from aotd.tools.scripted_server import Asked, Said, ScriptedServer
from aotd.tools.video_chat import VideoTurn

pytest.importorskip("openai", reason="the extra `llm` is not installed")

from aotd.tools.chat import ChatServer, ChatSetupError
from aotd.tools.frames import FrameStore
from aotd.tools.library import Library
from aotd.tools.video_llm import VideoLlm
from aotd.tools.video_server import ServerVideoChat
from aotd.traces.records import Question

Send = Literal["images", "video"]


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the keys of whoever runs the tests out of them."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def painted(shade: int, width: int, height: int) -> NDArray[np.uint8]:
    """Paint a frame in one shade with a light left half."""
    frame = np.full((height, width, 3), shade, np.uint8)
    frame[:, : width // 2] += 100
    return frame


def turn(frames: int = 6, size: tuple[int, int] = (100, 60), **fields: Any) -> VideoTurn:
    """Make a turn of frames of growing shade, half a second apart."""
    shown = tuple(painted(10 + 12 * k, *size) for k in range(frames))
    return VideoTurn("What is it?", shown, tuple(3 + k / 2 for k in range(frames)), **fields)


def shades(pictures: list[NDArray[np.uint8]]) -> list[int]:
    """Read the shades of the right halves."""
    return [round(float(picture[:, -picture.shape[1] // 3 :].mean())) for picture in pictures]


def decode(kind: str, content: bytes) -> tuple[list[NDArray[np.uint8]], Fraction | None]:
    """Decode a picture or a video: its frames, and the rate of a video."""
    if kind == "image/jpeg":
        picture = Image.open(io.BytesIO(content))
        assert picture.format == "JPEG"
        return [np.asarray(picture)], None
    assert kind == "video/mp4"
    with av.open(io.BytesIO(content)) as container:
        assert len(container.streams) == 1
        rate = container.streams.video[0].average_rate
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)], rate


def talk(
    script: Callable[[Asked], Said], turns: list[VideoTurn], send: Send = "images", **settings: Any
) -> Any:
    """Ask once; give the server, which keeps what it was asked, and the replies."""
    with ScriptedServer(script) as server, ChatServer(server.base_url, "scripted", max_tokens=50) as client:
        return server, ServerVideoChat(client, send=send, **settings).chat(turns)  # fmt: skip


def test_frames_arrive_as_pictures_in_order() -> None:
    """One JPEG a frame comes before the words, each of its frame's size and shade."""
    server, replies = talk(lambda _: Said(text=" A cup.", prompt_tokens=900, reply_tokens=3), [turn()])
    assert replies == [Reply(text=" A cup.", prompt_tokens=900, reply_tokens=3)]
    (asked,) = server.asked
    (message,) = asked.body["messages"]
    assert message["role"] == "user"
    assert [part["type"] for part in message["content"]] == ["image_url"] * 6 + ["text"]
    assert asked.last == "What is it?"
    assert asked.body["max_tokens"] == 50
    assert asked.body["temperature"] == 0
    pictures = [decode(*attached)[0][0] for attached in asked.attached]
    assert {picture.shape for picture in pictures} == {(60, 100, 3)}
    assert shades(pictures) == pytest.approx([10 + 12 * k for k in range(6)], abs=2)
    assert np.abs(pictures[0].astype(int) - turn().frames[0]).mean() < 3


def test_frames_arrive_as_one_video_in_order() -> None:
    """One mp4 without sound holds every frame, in order, at the rate that spans their times."""
    server, _ = talk(lambda _: Said(), [turn(size=(101, 61))], send="video")
    (asked,) = server.asked
    assert [part["type"] for part in asked.body["messages"][0]["content"]] == ["video_url", "text"]
    ((kind, content),) = asked.attached
    pictures, rate = decode(kind, content)
    assert rate == 2
    assert [picture.shape for picture in pictures] == [(60, 100, 3)] * 6  # H.264 has even sides
    assert shades(pictures) == pytest.approx([10 + 12 * k for k in range(6)], abs=3)


@pytest.mark.parametrize(
    ("seconds", "rate"),
    [((5.0,), 1), ((5.0, 5.0), 1), ((0.0, 7.0, 14.0), Fraction(1, 7)), ((0.0, 0.1, 0.2), 10)],
)
def test_a_video_lasts_as_long_as_its_clip(seconds: tuple[float, ...], rate: Fraction) -> None:
    """The rate is that of the frames; a clip of no length gets one frame a second."""
    asked_turn = turn(frames=len(seconds))._replace(seconds=seconds)
    server, _ = talk(lambda _: Said(), [asked_turn], send="video")
    pictures, found = decode(*server.asked[0].attached[0])
    assert (len(pictures), found) == (len(seconds), rate)


@pytest.mark.parametrize(
    ("size", "send", "expected"),
    [
        ((1920, 1080), "images", (640, 360)),
        ((1080, 1920), "images", (360, 640)),
        ((640, 360), "images", (640, 360)),
        ((20, 10), "images", (20, 10)),
        ((1919, 1079), "video", (640, 360)),
        ((1, 1), "video", (2, 2)),
        ((1, 1), "images", (1, 1)),
    ],
)
def test_large_frames_are_scaled_down(size: tuple[int, int], send: Send, expected: tuple[int, int]) -> None:
    """The longest side is bounded, proportions stay, and small frames are not blown up."""
    server, _ = talk(lambda _: Said(), [turn(frames=2, size=size)], send=send, longest_side=640)
    pictures = [decode(*attached)[0][0] for attached in server.asked[0].attached]
    assert {(picture.shape[1], picture.shape[0]) for picture in pictures} == {expected}


def test_choices_are_told_to_the_server() -> None:
    """A turn with choices is sent as any other request with choices, and its reply is one of them."""
    server, replies = talk(lambda _: Said(text='{"choice": "B"}'), [turn(choices=("A", "B"))])
    schema = server.asked[0].body["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["choice"]["enum"] == ["A", "B"]
    assert [reply.text for reply in replies] == ["B"]


def test_faults_belong_to_their_turns() -> None:
    """Errors and cut replies keep their places among many turns that are asked at once."""

    def script(asked: Asked) -> Said:
        count = len(asked.attached)
        if count == 2:
            return Said(status=400, text="At most 1 image(s) may be provided in one prompt.")
        if count == 3:
            return Said(status=503, text="loading")
        return Said(text=str(count), finish_reason="length" if count == 4 else "stop", delay=0.1 / count)

    _, replies = talk(script, [turn(frames=count) for count in (1, 2, 3, 4, 5)])
    assert replies[0] == Reply(text="1")
    assert isinstance(replies[1], ToolError)
    assert (replies[1].kind, replies[1].retryable) == ("bad-request", False)
    assert "At most 1 image" in replies[1].message
    assert isinstance(replies[2], ToolError)
    assert (replies[2].kind, replies[2].retryable) == ("server", True)
    assert replies[3:] == [Reply(text="4", truncated=True), Reply(text="5")]


def test_a_server_that_refuses_the_model_stops_everything() -> None:
    """That no request can succeed is told as it is for language models, in one line."""
    with (
        ScriptedServer(lambda _: Said()) as server,
        ChatServer(server.base_url, "other") as client,
        pytest.raises(ChatSetupError, match="other"),
    ):
        ServerVideoChat(client).chat([turn()])


def test_what_was_asked_is_counted() -> None:
    """Requests and tokens of video go to the client's ledger under their own name."""
    with (
        ScriptedServer(lambda _: Said(text="x", prompt_tokens=500, reply_tokens=1)) as server,
        ChatServer(server.base_url, "scripted") as client,
    ):
        ServerVideoChat(client).chat([turn(), turn()])
        usage = client.ledger.usage()["video"]
    assert (usage.requests, usage.prompt_tokens, usage.reply_tokens) == (2, 1000, 2)


def test_identity_names_what_is_sent() -> None:
    """How frames are sent decides what a model sees, so it is part of what answers depend on."""
    client = ChatServer("http://localhost:9", "m", max_tokens=50)
    identity = ServerVideoChat(client, send="video", longest_side=320, max_frames=8).identity
    assert identity.id == "server/m"
    sent = {"send": "video", "longest_side": 320, "max_frames": 8}
    assert identity.settings == {**client.identity.settings, **sent}
    assert identity.generation == client.identity.generation


@pytest.mark.parametrize("send", ["images", "video"])
def test_a_question_about_a_published_video(data: Path, send: Send) -> None:
    """A model that reads the prompt as it should answers a choice, a list and a question of yes or no."""

    def script(asked: Asked) -> Said:
        pictures = [picture for attached in asked.attached for picture in decode(*attached)[0]]
        assert len(pictures) == (8 if "Is this" not in asked.last else 2)
        if "Is this" in asked.last:
            assert {picture.shape for picture in pictures} == {(200, 200, 3)}
            return Said(text="Yes, it is.")
        return Said(text="(B), (A)" if "separated by commas" in asked.last else "(B) The fridge")

    library = Library(data / "videos")
    video = library.open(Question(id="q", dataset="star", video_id="univtg_charades", text="?"))
    whole = Frames(video=video.digest, indices=tuple(range(0, 460, 15)))
    cut = Frames(video=video.digest, indices=(0, 30), crops=((10, 20, 110, 220), (0, 0, 150, 100)))
    options = ("The door.", "The fridge.")
    with ScriptedServer(script) as server, ChatServer(server.base_url, "scripted") as client:
        model = VideoLlm(
            ServerVideoChat(client, send=send, max_frames=8, longest_side=320), FrameStore(library, 1 << 28)
        )
        answers = model.answer([
            VideoRequest(clip=whole, task="choice", question="What was opened?", options=options),
            VideoRequest(clip=whole, task="objects", subject="opened", options=options),
            VideoRequest(clip=cut, task="is_this", subject="person"),
        ])  # fmt: skip
    texts = [answer.texts for answer in answers if isinstance(answer, VideoAnswer)]
    assert texts == [("The fridge.",), ("The fridge.", "The door."), ("yes",)]
