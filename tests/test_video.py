"""Tests of the look-up, counting and reading of video files, made ones and published ones."""

from __future__ import annotations

import csv
import hashlib
import json
import pickle
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from aotd.tools.library import Library
from aotd.tools.sampling import keyframe_offset
from aotd.tools.video import Probe, Reader, VideoError, find_video, probe, read_frames
from aotd.traces.outcomes import Outcome
from aotd.traces.records import Question

WIDTH, HEIGHT, BITS = 128, 64, 8

KNOWN = {
    "univtg_charades.mp4": Probe(480, 270, 15000 / 1001, 460),
    "sam2_cups.mp4": Probe(1280, 720, 30000 / 1001, 300),
    "making_cake.mp4": Probe(320, 426, 30.0, 300),
    "mmaction2_demo.mp4": Probe(340, 256, 28.0, 280),
    "mmaction2_test.avi": Probe(320, 240, 25.0, 164),
    "flipping_a_pancake.mkv": Probe(426, 240, 30.0, 310),
    "unordered.mov": Probe(50, 50, 32.0, 4),
    "rot90.mov": Probe(320, 568, 30.0, 3),
}
"""Sizes, rates and counts as the publishers state them; rot90 is 568 x 320 turned by its tag."""

PAST_THE_END = {
    f"{name}.mp4"
    for name in ("Interaction_T1_1420", "Sequence_T2_1213", "Sequence_T6_10539", "Sequence_T6_10544")
}
"""Clips whose span ends after their video does."""


def question(**fields: object) -> Question:
    """Make a question of video `v1`."""
    base: dict[str, object] = {"id": "q1", "dataset": "star", "video_id": "v1", "text": "What?"}
    return Question.model_validate(base | fields)


def numbered(number: int) -> np.ndarray:
    """Paint a number as eight upright bars, white for a set bit."""
    bars = [255 if number >> bit & 1 else 0 for bit in range(BITS)]
    row = np.repeat(np.array(bars, np.uint8), WIDTH // BITS)
    return np.broadcast_to(row[None, :, None], (HEIGHT, WIDTH, 3)).copy()


def painted(image: np.ndarray) -> int:
    """Read the number that `numbered` painted."""
    middles = image[HEIGHT // 2, WIDTH // BITS // 2 :: WIDTH // BITS, 0]
    return sum(1 << bit for bit, value in enumerate(middles) if value > 127)


def write_video(path: Path, frames: int, *, codec: str = "libx264", turned: int = 0) -> Path:
    """Write a video whose frames show their numbers, with few key frames and frames out of order."""
    options = {"bf": "2", "g": "50"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        if turned:
            stream.set_display_rotation(turned)
        for number in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(number), format="rgb24")))
        container.mux(stream.encode(None))
    return path


def refusal(path: Path) -> str:
    """Give the one-line message with which a file is refused as unreadable."""
    with pytest.raises(VideoError) as caught:
        probe(path)
    assert caught.value.outcome is Outcome.UNREADABLE_VIDEO
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("suffix", "codec"), [("mp4", "libx264"), ("mkv", "libx264"), ("avi", "mpeg4")])
def test_frames_asked_for_are_the_frames_read(tmp_path: Path, suffix: str, codec: str) -> None:
    """Every frame read shows its own number, in the order asked for, repeats included."""
    path = write_video(tmp_path / f"v.{suffix}", 130, codec=codec)
    wanted = [129, 0, 64, 64, 1, 63, 100, 99]
    pixels = read_frames(path, wanted)
    assert pixels.shape == (8, HEIGHT, WIDTH, 3)
    assert pixels.dtype == np.uint8
    assert [painted(image) for image in pixels] == wanted
    assert probe(path) == Probe(WIDTH, HEIGHT, 25.0, 130)


@pytest.mark.parametrize("indices", [[0, 5], [-1], []])
def test_frames_that_do_not_exist_are_an_error(tmp_path: Path, indices: list[int]) -> None:
    """A frame past the end, a negative one or none at all is an IndexError that names the file."""
    path = write_video(tmp_path / "v.mp4", 5)
    with pytest.raises(IndexError, match=r"v\.mp4"):
        read_frames(path, indices)


def test_a_missing_frame_is_named(tmp_path: Path) -> None:
    """The error for a frame past the end names it and the frames that exist."""
    path = write_video(tmp_path / "v.mp4", 5)
    with pytest.raises(IndexError, match=r"frame 5 does not exist; the file has frames 0\.\.4"):
        read_frames(path, [5, 2])


@pytest.mark.skipif(
    not hasattr(av.VideoStream, "set_display_rotation"), reason="this PyAV writes no rotation tag"
)
@pytest.mark.parametrize("turned", [90, -90, 180])
def test_frames_stand_as_their_rotation_tag_says(tmp_path: Path, turned: int) -> None:
    """Frames come out turned counter-clockwise by the tag's angle, and the size follows."""
    path = write_video(tmp_path / "v.mp4", 6, turned=turned)
    upright = numbered(5)
    shown = {90: upright[:, ::-1].swapaxes(0, 1), -90: upright[::-1].swapaxes(0, 1), 180: upright[::-1, ::-1]}
    pixels = read_frames(path, [5])[0]
    assert np.abs(pixels.astype(int) - shown[turned]).mean() < 8
    assert (probe(path).height, probe(path).width) == pixels.shape[:2]


@pytest.mark.parametrize("content", [b"", b"not a video\n" * 100, bytes(5000)])
def test_files_that_are_no_video_are_refused(tmp_path: Path, content: bytes) -> None:
    """An empty file, a text and zeros are unreadable videos, told in one line."""
    path = tmp_path / "v.mp4"
    path.write_bytes(content)
    assert "ffmpeg" in refusal(path)


def test_a_file_without_pictures_is_refused(tmp_path: Path) -> None:
    """A file that holds only sound is an unreadable video."""
    path = tmp_path / "v.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    assert "no video stream" in refusal(path)


def test_a_file_cannot_name_other_files(tmp_path: Path) -> None:
    """A playlist that calls itself a video is refused though the file that it names is a good one."""
    write_video(tmp_path / "good.mp4", 5)
    path = tmp_path / "v.mp4"
    path.write_text("ffconcat version 1.0\nfile 'good.mp4'\n")
    assert str(path) in refusal(path)


def test_a_file_cut_short_counts_what_decodes(tmp_path: Path) -> None:
    """Of a file whose end is missing, the frames before the cut count and are the right ones."""
    path = write_video(tmp_path / "v.mkv", 130)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    frames = probe(path).frames
    assert 50 < frames < 130
    assert [painted(image) for image in read_frames(path, [0, 20, 40])] == [0, 20, 40]


def test_titles_in_any_encoding_do_no_harm(tmp_path: Path) -> None:
    """A video whose title is not UTF-8, as in old files, is read."""
    path = tmp_path / "v.mkv"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "Cafe"
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(1), format="rgb24")))
        container.mux(stream.encode(None))
    path.write_bytes(path.read_bytes().replace(b"Cafe", b"Caf\xe9"))
    assert probe(path).frames == 1


def test_damaged_files_are_read_or_refused(tmp_path: Path) -> None:
    """Whatever single bytes are changed, a file is read to its counted end or refused."""
    dice = random.Random(5)
    sound = write_video(tmp_path / "v.mp4", 12).read_bytes()
    path = tmp_path / "w.mp4"
    outcomes = set()
    for _ in range(60):
        damaged = bytearray(sound)
        for _ in range(10):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        path.write_bytes(damaged)
        try:
            assert len(read_frames(path, [0, probe(path).frames - 1])) == 2
            outcomes.add("read")
        except VideoError as error:
            assert "\n" not in str(error)  # noqa: PT017
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


def test_decoders_keep_quiet(tmp_path: Path) -> None:
    """Reading a broken file writes nothing to the terminal."""
    path = tmp_path / "v.mp4"
    path.write_bytes(write_video(tmp_path / "w.mkv", 60).read_bytes()[:-700])
    code = f"from pathlib import Path; from aotd.tools.video import probe; probe(Path({str(path)!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_reader_is_loaded_only_when_used() -> None:
    """Importing the module loads neither PyAV nor numpy."""
    code = "import sys, aotd.tools.video; print({'av', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_names_are_tried_in_order(tmp_path: Path) -> None:
    """The record's clip wins over the segment's name, that over the question's, that over the video's."""
    asked = question(clip_file="clips/c.mp4", span=(0.0, 18.099999999999998))
    (tmp_path / "clips").mkdir()
    order = [
        ("v1.avi", "video"),
        ("v1.mp4", "video"),
        ("q1.mov", "question"),
        ("v1_0_18.1.webm", "segment"),
        ("v1_0.0_18.099999999999998.mkv", "segment"),
        ("clips/c.mp4", "clip"),
    ]
    assert find_video(tmp_path, asked) is None
    for name, found_as in order:
        (tmp_path / name).touch()
        assert find_video(tmp_path, asked) == (tmp_path / name, found_as)


def test_the_records_clip_may_lie_beside_the_annotation(tmp_path: Path) -> None:
    """A clip is looked for in the video folder, then in the annotation's; other names only in the first."""
    videos, annotation = tmp_path / "videos", tmp_path / "star"
    (annotation / "clips").mkdir(parents=True)
    videos.mkdir()
    asked = question(clip_file="clips/c.mp4")
    (annotation / "v1.mp4").touch()
    assert find_video(videos, asked, annotation_folder=annotation) is None
    write_video(annotation / "clips" / "c.mp4", 5)
    video = Library(videos, annotation).open(asked)
    assert video.path is not None
    assert (videos / video.path).samefile(annotation / "clips" / "c.mp4")
    assert video.found_as == "clip"


@pytest.mark.parametrize("climb", ["../secret", "clips/../../secret", "\0", "x" * 5000, "."])
def test_names_cannot_leave_the_folder(tmp_path: Path, climb: str) -> None:
    """A name that climbs, or that no file can have, finds nothing and raises nothing."""
    (tmp_path / "secret.mp4").touch()
    folder = tmp_path / "videos"
    (folder / "clips").mkdir(parents=True)
    assert find_video(folder, question(clip_file=climb + ".mp4", video_id=climb)) is None


def test_absolute_names_find_nothing_and_links_are_followed(tmp_path: Path) -> None:
    """An absolute name is passed over; a link that the folder's owner made is followed wherever it leads."""
    outside = tmp_path / "secret.mp4"
    outside.touch()
    folder = tmp_path / "videos"
    folder.mkdir()
    assert find_video(folder, question(clip_file=str(outside))) is None
    (folder / "v1.mp4").symlink_to(outside)
    assert find_video(folder, question()) == (folder / "v1.mp4", "video")


def test_a_missing_video_names_the_question_and_what_was_tried(tmp_path: Path) -> None:
    """The error for a missing video says in one line which question, which folder and which names."""
    with pytest.raises(VideoError) as caught:
        Library(tmp_path).open(question(clip_file="clips/c.mp4", span=(1.0, 2.5)))
    assert caught.value.outcome is Outcome.MISSING_VIDEO
    for part in ["question q1", str(tmp_path), "clips/c", "v1_1.0_2.5", "v1_1_2.5", "q1", "v1", ".webm"]:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_opened_video_is_described(tmp_path: Path) -> None:
    """A video's record holds its counted frames, size, rate, relative path and the file's SHA-256."""
    path = write_video(tmp_path / "v1.mp4", 7)
    video = Library(tmp_path).open(question())
    assert (video.id, video.path, video.found_as) == ("v1", "v1.mp4", "video")
    assert (video.width, video.height, video.fps, video.frames) == (WIDTH, HEIGHT, 25.0, 7)
    assert video.digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_errors_survive_a_process_border() -> None:
    """A video's error comes out of pickling with its outcome and message."""
    error = pickle.loads(pickle.dumps(VideoError(Outcome.MISSING_VIDEO, "gone")))  # noqa: S301
    assert (error.outcome, str(error)) == (Outcome.MISSING_VIDEO, "gone")


@pytest.mark.parametrize("name", KNOWN)
def test_published_videos_are_counted(data: Path, name: str) -> None:
    """Size, rate and number of frames of published videos are as published."""
    seen, known = probe(data / "videos" / name), KNOWN[name]
    assert seen._replace(fps=None) == known._replace(fps=None)
    assert seen.fps == pytest.approx(known.fps)


def test_a_hole_in_a_video_is_refused(data: Path) -> None:
    """A published file whose 29th packet is broken is refused, for later frame numbers would be shifted."""
    assert "after frame 28" in refusal(data / "videos" / "corrupted.mp4")


def test_star_clips_hold_their_spans(data: Path) -> None:
    """Decoded frames of each trimmed STAR clip cover its span to 4 frames, whatever its header says."""
    rates = json.loads((data / "star" / "classes" / "video_fps.json").read_text())
    with (data / "star" / "clips.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 25
    for row in rows:
        seen, fps = probe(data / "star" / row["file"]), rates[row["video_id"] + ".mp4"]
        surplus = seen.frames - (float(row["end"]) - float(row["start"])) * fps
        assert seen.fps == pytest.approx(fps)
        assert (surplus < -20) if Path(row["file"]).name in PAST_THE_END else (0 <= surplus <= 4)


def test_star_questions_find_their_clips(data: Path) -> None:
    """Each of the 76 questions that names a clip finds it, and a file's digest is the published one."""
    star = data / "star"
    with (star / "clips.csv").open(newline="") as file:
        digests = {row["file"]: row["sha256"] for row in csv.DictReader(file)}
    asked = [
        question(
            id=q["question_id"], video_id=q["video_id"], clip_file=q["clip"], span=(q["start"], q["end"])
        )
        for q in json.loads((star / "star_full_graphs.json").read_text())
    ]
    found = [find_video(data / "videos", q, annotation_folder=star) for q in asked]
    assert found == [(star / q.clip_file, "clip") if q.clip_file else None for q in asked]
    assert len(found) - found.count(None) == 75
    video = Library(star).open(asked[0])
    assert video.digest == digests[str(video.path)]


def test_star_keyframes_are_found_to_the_pixel(data: Path) -> None:
    """Each annotated keyframe inside a clip equals, pixel for pixel, the frame that its number leads to."""
    compared = 0
    for q in json.loads((data / "star" / "star_thinned_graphs.json").read_text()):
        folder = data / "star" / "keyframes" / q["question_id"].removeprefix("pre_")
        if not folder.is_dir():
            continue
        clip = data / "star" / q["clip"]
        frames = probe(clip).frames
        pictures = {keyframe_offset(int(p.stem), q["start"], 30.0, frames): p for p in folder.glob("*.png")}
        pictures.pop(None, None)
        for pixels, picture in zip(read_frames(clip, list(pictures)), pictures.values(), strict=True):
            np.testing.assert_array_equal(pixels, np.asarray(Image.open(picture).convert("RGB")))
            compared += 1
    assert compared == 18


def test_a_file_is_opened_once_for_many_questions(tmp_path: Path) -> None:
    """Questions asked at once about one file share one decoding, and a broken file fails for each of them."""
    write_video(tmp_path / "v1.mp4", 3)
    opened: list[Path] = []

    def count(path: Path) -> Probe:
        opened.append(path)
        return probe(path)

    library = Library(tmp_path, reader=Reader(count, read_frames))
    with ThreadPoolExecutor(4) as threads:
        videos = list(threads.map(lambda n: library.open(question(id=f"q{n}")), range(8)))
    assert {v.frames for v in videos} == {3}
    assert opened == [tmp_path / "v1.mp4"]
    (tmp_path / "v2.mp4").write_bytes(b"no video")
    for _ in range(2):
        with pytest.raises(VideoError, match=r"v2\.mp4"):
            library.open(question(video_id="v2"))
