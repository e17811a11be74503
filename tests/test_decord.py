"""The second reader: decord's frames are PyAV's, number by number, and it fails as cleanly."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from aotd.tools import decord_reader, video
from aotd.tools.library import Library
from aotd.tools.video import VideoError
from aotd.traces.records import Question

try:
    import decord  # noqa: F401
except ModuleNotFoundError:
    pytest.skip("decord is not installed (the extra `decord`)", allow_module_level=True)

PUBLISHED = (
    "univtg_charades.mp4",
    "sam2_cups.mp4",
    "making_cake.mp4",
    "mmaction2_demo.mp4",
    "mmaction2_test.avi",
    "flipping_a_pancake.mkv",
    "unordered.mov",
    "rot90.mov",
)


def write_video(path: Path, frames: int, *, codec: str = "libx264", turned: int = 0) -> Path:
    """Write a video of changing noise, with few key frames and frames out of order."""
    noise = np.random.default_rng(1).integers(0, 255, (8, 16, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"bf": "2", "g": "50"})
        stream.width, stream.height, stream.pix_fmt = 128, 64, "yuv420p"
        if turned:
            stream.set_display_rotation(turned)
        for number in range(frames):
            picture = np.roll(noise, number, 0).repeat(8, 0).repeat(8, 1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def assert_equal_readers(path: Path) -> None:
    """Check that both readers see the same file: what it is, and every pixel of frames all over it."""
    seen = video.probe(path)
    assert decord_reader.probe(path) == seen
    wanted = [seen.frames - 1, *range(0, seen.frames, 1 + seen.frames // 40), 0, 0]
    theirs, ours = video.read_frames(path, wanted), decord_reader.read_frames(path, wanted)
    assert ours.dtype == theirs.dtype == np.uint8
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(("suffix", "codec"), [("mp4", "libx264"), ("mkv", "libx264"), ("avi", "mpeg4")])
def test_made_videos_are_read_alike(tmp_path: Path, suffix: str, codec: str) -> None:
    """Whatever the container, both readers give the same frames to the bit."""
    assert_equal_readers(write_video(tmp_path / f"v.{suffix}", 130, codec=codec))


@pytest.mark.skipif(
    not hasattr(av.VideoStream, "set_display_rotation"), reason="this PyAV writes no rotation tag"
)
@pytest.mark.parametrize("turned", [90, -90, 180])
def test_turned_videos_are_read_alike(tmp_path: Path, turned: int) -> None:
    """Both readers turn frames as the file's tag says."""
    assert_equal_readers(write_video(tmp_path / "v.mp4", 6, turned=turned))


def test_a_file_cut_short_is_read_alike(tmp_path: Path) -> None:
    """Of a Matroska file whose end is missing, both readers count the same frames."""
    path = write_video(tmp_path / "v.mkv", 130)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    assert_equal_readers(path)
    assert video.probe(path).frames < 130


@pytest.mark.parametrize("indices", [[0, 5], [5], [-1], []])
def test_frames_that_do_not_exist_are_an_error(tmp_path: Path, indices: list[int]) -> None:
    """The same frames are refused with the same words."""
    path = write_video(tmp_path / "v.mp4", 5)
    with pytest.raises(IndexError) as theirs:
        video.read_frames(path, indices)
    with pytest.raises(IndexError) as ours:
        decord_reader.read_frames(path, indices)
    assert str(ours.value) == str(theirs.value)


@pytest.mark.parametrize("content", [b"", b"not a video\n" * 100, b"ffconcat version 1.0\nfile 'good.mp4'\n"])
def test_files_that_are_no_video_are_refused(tmp_path: Path, content: bytes) -> None:
    """An empty file, a text and a playlist are unreadable, in both functions."""
    write_video(tmp_path / "good.mp4", 5)
    path = tmp_path / "v.mp4"
    path.write_bytes(content)
    for refused in (decord_reader.probe, lambda p: decord_reader.read_frames(p, [0])):
        with pytest.raises(VideoError, match=r"v\.mp4: .*ffmpeg"):
            refused(path)


def test_damaged_files_are_read_alike_or_refused(tmp_path: Path) -> None:
    """Whatever bytes are changed, decord reads as many frames as PyAV or refuses the file."""
    dice = random.Random(2)
    sound = write_video(tmp_path / "v.mp4", 12).read_bytes()
    path = tmp_path / "w.mp4"
    outcomes = set()
    for _ in range(20):
        damaged = bytearray(sound)
        for _ in range(4):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        path.write_bytes(damaged)
        try:
            seen = decord_reader.probe(path)
            assert seen == video.probe(path)
            assert len(decord_reader.read_frames(path, range(seen.frames))) == seen.frames
            outcomes.add("read")
        except VideoError as error:
            assert "\n" not in str(error)  # noqa: PT017
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


def test_decord_keeps_quiet(tmp_path: Path) -> None:
    """Reading a sound file and refusing a broken one write nothing to the terminal."""
    sound = write_video(tmp_path / "v.mp4", 60)
    broken = tmp_path / "w.mp4"
    broken.write_bytes(sound.read_bytes().replace(b"stsz", b"stsx"))
    code = (
        "from pathlib import Path; from aotd.tools.decord_reader import probe, read_frames\n"
        f"read_frames(Path({str(sound)!r}), [59])\n"
        f"try: probe(Path({str(broken)!r}))\n"
        "except Exception: pass\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_a_video_may_be_opened_by_either_reader(tmp_path: Path) -> None:
    """A video's record does not depend on the reader."""
    write_video(tmp_path / "v1.mp4", 7)
    question = Question(id="q", dataset="d", video_id="v1", text="What?")
    by_decord = Library(tmp_path, reader=decord_reader.decord_reader()).open(question)
    assert by_decord == Library(tmp_path).open(question)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without decord the reader cannot be had, and one line says what to install."""
    monkeypatch.setitem(sys.modules, "decord", None)
    with pytest.raises(ModuleNotFoundError, match=r"^the reader decord .* pip install 'aotd\[decord\]'$"):
        decord_reader.decord_reader()


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_videos_are_read_alike(data: Path, name: str) -> None:
    """Both readers see the same in published videos, rotation and odd timestamps included."""
    assert_equal_readers(data / "videos" / name)


def test_a_hole_in_a_video_is_refused(data: Path) -> None:
    """A published file with a broken packet in its middle is refused by decord too."""
    with pytest.raises(VideoError, match=r"corrupted\.mp4: "):
        decord_reader.probe(data / "videos" / "corrupted.mp4")


def test_star_clips_are_read_alike(data: Path) -> None:
    """Both readers see the same in STAR's trimmed clips, whose edit lists hide up to half of the packets."""
    clips = sorted((data / "star" / "clips").iterdir())
    assert len(clips) == 25
    for clip in clips:
        assert_equal_readers(clip)
