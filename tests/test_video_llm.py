"""Questions about a clip: what the chat model is shown and asked, and how its words become answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from aotd.prompts.loader import prompt
from aotd.tools import video_llm
from aotd.tools.frames import FrameStore
from aotd.tools.library import Library
from aotd.tools.models import Frames, ModelIdentity, Reply, ToolError, VideoAnswer, VideoRequest
from aotd.tools.video import PYAV, Reader
from aotd.tools.video_chat import VideoTurn
from aotd.tools.video_llm import VideoLlm
from aotd.tools.video_tasks import TASKS
from aotd.traces.records import Question, Video

WIDTH, HEIGHT, FRAMES, FPS = 64, 48, 20, 10


class Chat:
    """A chat model that replies from a function and keeps what it was shown."""

    def __init__(self, say: Callable[[VideoTurn], str | Reply | ToolError], max_frames: int = 32) -> None:
        self.identity = ModelIdentity(id="scripted/chat", settings={"send": "images"})
        self.max_frames = max_frames
        self.batches: list[Sequence[VideoTurn]] = []
        self._say = say

    def chat(self, turns: Sequence[VideoTurn]) -> Sequence[Reply | ToolError]:
        """Reply to each turn."""
        self.batches.append(turns)
        said = [self._say(turn) for turn in turns]
        return [Reply(text=one) if isinstance(one, str) else one for one in said]

    @property
    def turns(self) -> list[VideoTurn]:
        """All turns so far."""
        return [turn for batch in self.batches for turn in batch]


def painted(index: int) -> NDArray[np.uint8]:
    """Paint a frame: its top left quarter light, the rest dark, both lighter from frame to frame."""
    frame = np.full((HEIGHT, WIDTH, 3), 4 * index, np.uint8)
    frame[: HEIGHT // 2, : WIDTH // 2] = 150 + 4 * index
    return frame


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with one painted video."""
    path = tmp_path_factory.mktemp("videos")
    with av.open(str(path / "v.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv444p"
        for index in range(FRAMES):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(painted(index), format="rgb24")))
        container.mux(stream.encode(None))
    return path


def opened(folder: Path, name: str = "v", reader: Reader = PYAV) -> tuple[FrameStore, Video]:
    """Open a video of a folder."""
    library = Library(folder, reader=reader)
    video = library.open(Question(id="q", dataset="star", video_id=name, text="?"))
    return FrameStore(library, 1 << 26), video


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"task": "choice", "options": ("a",)}, "bad-request"),
        ({"task": "choice", "question": "?"}, "bad-request"),
        ({"task": "open"}, "bad-request"),
        ({"task": "objects"}, "bad-request"),
        ({"task": "is_this"}, "bad-request"),
        ({"task": "choice", "question": "?", "options": tuple(map(str, range(27)))}, "too-many-options"),
        ({"task": "summary", "clip": Frames(video="v", indices=())}, "bad-request"),
    ],
)
def test_requests_that_cannot_be_asked(folder: Path, fields: dict[str, Any], kind: str) -> None:
    """A request that lacks what its task needs is an error of its own, and no model is asked."""
    frames, video = opened(folder)
    clip = Frames(video=video.digest, indices=(0,))
    chat = Chat(lambda _: "A")
    (answer,) = VideoLlm(chat, frames).answer([VideoRequest.model_validate({"clip": clip, **fields})])
    assert isinstance(answer, ToolError)
    assert (answer.kind, answer.retryable, chat.turns) == (kind, False, [])


def test_without_options_there_is_nothing_to_choose(folder: Path) -> None:
    """An empty list of options is an abstention, and no model is asked."""
    frames, video = opened(folder)
    clip = Frames(video=video.digest, indices=(0,))
    chat = Chat(lambda _: "A")
    request = VideoRequest(clip=clip, task="choice", question="?", options=())
    assert VideoLlm(chat, frames).answer([request]) == [
        VideoAnswer(texts=(), notes=("there are no options",))
    ]
    assert chat.turns == []


def test_frames_and_their_times(folder: Path) -> None:
    """The model sees the clip's frames in order, each with index over rate as its time."""
    frames, video = opened(folder)
    chat = Chat(lambda _: "Someone walks.")
    clip = Frames(video=video.digest, indices=(3, 8, 8, 19))
    VideoLlm(chat, frames).answer([VideoRequest(clip=clip, task="summary")])
    (turn,) = chat.turns
    assert turn.seconds == (0.3, 0.8, 0.8, 1.9)
    for frame, index in zip(turn.frames, clip.indices, strict=True):
        assert np.abs(frame.astype(int) - painted(index)).max() <= 6


def test_a_file_without_a_rate_is_told(folder: Path) -> None:
    """Times of frames then rest on a usual rate, which the answer says."""
    rateless = Reader(lambda path: PYAV.probe(path)._replace(fps=None), PYAV.read_frames)
    frames, video = opened(folder, reader=rateless)
    chat = Chat(lambda _: "Someone walks.")
    clip = Frames(video=video.digest, indices=(0, 10))
    (answer,) = VideoLlm(chat, frames).answer([VideoRequest(clip=clip, task="summary")])
    assert isinstance(answer, VideoAnswer)
    assert answer.notes == ("the video states no rate: 25 frames a second taken",)
    assert chat.turns[0].seconds == (0.0, 0.4)


def test_a_long_clip_is_sampled_evenly(folder: Path) -> None:
    """Frame floor(i * n / max) is kept for each i, crops with their frames, and the answer says so."""
    frames, video = opened(folder)
    crops = tuple((i, 0, i + 24, 24) for i in range(20))
    clip = Frames(video=video.digest, indices=tuple(range(20)), crops=crops)
    chat = Chat(lambda _: "yes", max_frames=6)
    requests = [
        VideoRequest(clip=clip, task="is_this", subject="x"),
        VideoRequest(clip=clip.model_copy(update={"crops": ()}), task="is_this", subject="x"),
        VideoRequest(clip=Frames(video=video.digest, indices=(1, 2)), task="is_this", subject="x"),
    ]
    answers = VideoLlm(chat, frames).answer(requests)
    note = "6 of the clip's 20 frames were shown"
    assert [a.notes for a in answers if isinstance(a, VideoAnswer)] == [(note,), (note,), ()]
    kept = (0, 3, 6, 10, 13, 16)
    for turn in chat.turns[:2]:
        assert turn.seconds == tuple(k / FPS for k in kept)
    whole = frames.read(video.digest, kept)
    for k, shown, frame in zip(kept, chat.turns[0].frames, whole, strict=True):
        assert np.array_equal(shown, frame[:24, k : k + 24])


def test_crops_are_cut_in_pixels_of_the_frame(folder: Path) -> None:
    """A crop holds exactly its pixels, what lies outside the frame is left off, and nothing is distorted."""
    frames, video = opened(folder)
    chat = Chat(lambda _: "yes")
    crops = ((8, 4, 40, 36), (-20, -20, 16, 8), (48, 0, 500, 500))
    clip = Frames(video=video.digest, indices=(0, 1, 2), crops=crops)
    VideoLlm(chat, frames).answer([VideoRequest(clip=clip, task="is_this", subject="x")])
    (turn,) = chat.turns
    assert [frame.shape for frame in turn.frames] == [(48, 48, 3)] * 3
    square, wide, tall = turn.frames
    first = frames.read(video.digest, [0])[0]
    assert np.abs(square[::3, ::3].astype(int) - first[4:36:2, 8:40:2]).mean() < 12  # 32 scaled to 48
    assert np.all(wide[:12] == 127)  # 16 x 8 becomes 48 x 24, in the middle
    assert np.all(wide[36:] == 127)
    assert np.all(np.abs(wide[12:36].astype(int) - 154) < 8)
    assert np.all(tall[:, :16] == 127)  # 16 x 48 stays as it is
    assert np.all(tall[:, 32:] == 127)
    assert np.array_equal(tall[:, 16:32], frames.read(video.digest, [2])[0][:, 48:64])


@pytest.mark.parametrize("box", [(10, 10, 10, 20), (10, 20, 30, 20), (64, 0, 90, 10), (20, 20, 10, 30)])
def test_a_crop_that_shows_nothing_fails_alone(folder: Path, box: tuple[int, int, int, int]) -> None:
    """Such a request names the box and the frame; the others are answered in their places."""
    frames, video = opened(folder)
    clip = Frames(video=video.digest, indices=(0, 5), crops=((0, 0, 9, 9), box))
    good = VideoRequest(clip=Frames(video=video.digest, indices=(0,)), task="open", question="?")
    bad = VideoRequest(clip=clip, task="is_this", subject="x")
    first, failed, last = VideoLlm(Chat(lambda _: "a cup"), frames).answer([good, bad, good])
    assert isinstance(failed, ToolError)
    assert failed.kind == "empty-crop"
    assert failed.message == f"crop {list(box)} of frame 5 shows nothing of its 64 x 48 pixels"
    assert first == last == VideoAnswer(texts=("a cup",), raw="a cup")


def test_captions_are_asked_frame_by_frame(folder: Path) -> None:
    """Each frame is a turn of its own, however few the model takes, and captions keep their order."""
    frames, video = opened(folder)
    replies = iter([Reply(text="one"), Reply(text=" "), Reply(text="three\nand more", truncated=True)])
    chat = Chat(lambda _: next(replies), max_frames=2)
    clip = Frames(video=video.digest, indices=(0, 9, 19))
    (answer,) = VideoLlm(chat, frames).answer([VideoRequest(clip=clip, task="caption")])
    assert answer == VideoAnswer(
        texts=("one", "", "three and more"),
        notes=("1 of 3 captions are empty", "1 of 3 captions were cut off"),
        raw="one\n \nthree\nand more",
    )
    assert [turn.seconds for turn in chat.turns] == [(0.0,), (0.9,), (1.9,)]
    assert {turn.text for turn in chat.turns} == {prompt("video_caption").render({})}


def test_faults_of_the_model_are_the_requests_own(folder: Path) -> None:
    """An error in a turn is the error of its request, a caption's included, with its kind and retry."""
    frames, video = opened(folder)
    down = ToolError(kind="connection", message="gone", retryable=True)
    chat = Chat(lambda turn: down if turn.seconds == (0.5,) else "said")
    clip = Frames(video=video.digest, indices=(4, 5))
    one = Frames(video=video.digest, indices=(5,))
    answers = VideoLlm(chat, frames).answer([
        VideoRequest(clip=clip, task="caption"),
        VideoRequest(clip=clip, task="summary"),
        VideoRequest(clip=one, task="summary"),
    ])  # fmt: skip
    assert answers == [down, VideoAnswer(texts=("said",), raw="said"), down]


def test_a_video_that_is_gone_fails_alone(folder: Path, tmp_path: Path) -> None:
    """A file that vanished after it was opened ends its own request, by its outcome."""
    (tmp_path / "a.mp4").write_bytes((folder / "v.mp4").read_bytes())
    frames, video = opened(tmp_path, "a")
    here = Frames(video=video.digest, indices=(1,))
    model = VideoLlm(Chat(lambda _: "said"), frames)
    model.answer([VideoRequest(clip=here, task="summary")])
    (tmp_path / "a.mp4").unlink()
    there = Frames(video=video.digest, indices=(2,))
    failed, kept = model.answer([
        VideoRequest(clip=there, task="summary"), VideoRequest(clip=here, task="summary"),
    ])  # fmt: skip
    assert isinstance(failed, ToolError)
    assert (failed.kind, failed.retryable) == ("unreadable-video", False)
    assert "a.mp4" in failed.message
    assert kept == VideoAnswer(texts=("said",), raw="said")


def test_pixels_in_one_go_are_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many requests are handed over in portions, none larger than the bound but single ones."""
    frames, video = opened(folder)
    frame = WIDTH * HEIGHT * 3
    monkeypatch.setattr(video_llm, "_BYTES_AT_ONCE", 3 * frame)
    chat = Chat(lambda turn: str(turn.seconds[0]))
    counts = (1, 2, 1, 5, 1, 1, 1, 1)
    clips = [Frames(video=video.digest, indices=(k,) * n) for k, n in enumerate(counts)]
    answers = VideoLlm(chat, frames).answer([VideoRequest(clip=clip, task="summary") for clip in clips])
    assert [a.texts for a in answers if isinstance(a, VideoAnswer)] == [(str(k / 10),) for k in range(8)]
    shown = [sum(len(turn.frames) for turn in batch) for batch in chat.batches]
    assert shown == [3, 1, 5, 3, 1]


def test_identity_follows_model_and_prompts(folder: Path) -> None:
    """Answers are decided by the chat model, by how many frames it takes and by every prompt."""
    frames, _ = opened(folder)
    identity = VideoLlm(Chat(lambda _: "", max_frames=7), frames).identity
    assert identity.id == "video/scripted/chat"
    assert identity.settings == {"send": "images", "max_frames": 7}
    assert identity.prompts == {f"video_{task}": prompt(f"video_{task}").sha256 for task in TASKS}


def test_times_of_published_videos(data: Path) -> None:
    """Rates that are no whole number and frames that are turned by a tag are taken as they show."""
    frames, video = opened(data / "videos", "univtg_charades")
    chat = Chat(lambda _: "said")
    clip = Frames(video=video.digest, indices=(0, 230, 459))
    VideoLlm(chat, frames).answer([VideoRequest(clip=clip, task="summary")])
    assert chat.turns[0].seconds == pytest.approx((0.0, 230 * 1001 / 15000, 459 * 1001 / 15000))
    turned, other = opened(data / "videos", "rot90")
    VideoLlm(chat, turned).answer(
        [VideoRequest(clip=Frames(video=other.digest, indices=(0,)), task="caption")]
    )
    assert chat.turns[1].frames[0].shape == (568, 320, 3)
