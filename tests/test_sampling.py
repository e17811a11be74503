"""Tests of the index algebra between seconds, frames and grid positions."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aotd.tools.models import FrameRef
from aotd.tools.sampling import (
    Timeline,
    keyframe_offset,
    root_clip,
    span_frames,
    timeline_with_video,
    timeline_without_video,
)
from aotd.traces.records import GRID, Video

LENGTHS = st.integers(1, 200_000)


def whole(frames: int, found_as: str = "video") -> Video:
    """Make a video whose frames were counted."""
    return Video.model_validate({"id": "v", "digest": "d", "frames": frames, "found_as": found_as})


@given(LENGTHS, st.integers(0, 10_000), st.integers(0, GRID - 1))
def test_sampling_is_the_papers_rule(frames: int, first: int, position: int) -> None:
    """Position i is frame floor(i*N/32) after the span's first frame, in exact arithmetic."""
    timeline = Timeline(video="d", first=first, frames=frames)
    expected = first + math.floor(Fraction(position * frames, GRID))
    assert timeline.index(position) == expected
    assert timeline.ref(position) == FrameRef(video="d", index=expected)


@given(st.integers(GRID, 200_000), st.integers(0, GRID - 1))
def test_position_undoes_index(frames: int, position: int) -> None:
    """With 32 frames or more, going to a frame and back gives the same position."""
    timeline = Timeline(video="d", first=7, frames=frames)
    assert timeline.position(timeline.index(position)) == position


@pytest.mark.parametrize("frames", range(1, 201))
def test_position_is_the_last_one_not_after_the_frame(frames: int) -> None:
    """For every frame of a span the position is the last whose frame is not later, so it never falls."""
    timeline = Timeline(video="d", first=3, frames=frames)
    sampled = [3 + math.floor(Fraction(i * frames, GRID)) for i in range(GRID)]
    found = [timeline.position(index) for index in range(3, 3 + frames)]
    assert found == [max(i for i in range(GRID) if sampled[i] <= index) for index in range(3, 3 + frames)]
    assert timeline.position(2) is None
    assert timeline.position(3 + frames) is None


@settings(max_examples=50)
@given(LENGTHS, st.data())
def test_inverse_is_the_published_formula(frames: int, data: st.DataObject) -> None:
    """The position of frame f0 is ceil((f0+1)*32/N) - 1 in exact arithmetic."""
    offset = data.draw(st.integers(0, frames - 1))
    expected = math.ceil(Fraction((offset + 1) * GRID, frames)) - 1
    assert Timeline(video="d", first=0, frames=frames).position(offset) == expected


@pytest.mark.parametrize("position", [-1, GRID])
def test_positions_off_the_grid_are_refused(position: int) -> None:
    """A position outside 0..31 is an error that names it, not a frame."""
    with pytest.raises(IndexError, match=str(position)):
        Timeline(video="d", first=0, frames=64).index(position)


def test_frames_of_a_span() -> None:
    """N is the span's duration times fps, rounded, and never 0."""
    assert span_frames((16.4, 23.2), 30.0) == 204
    assert span_frames((5.8, 11.4), 23.976) == 134
    assert span_frames((3.0, 3.0), 30.0) == 1


@pytest.mark.parametrize("span", [(3.0, 2.0), (-1.0, 2.0), (0.0, math.inf), (math.nan, 1.0)])
def test_impossible_spans_are_refused(span: tuple[float, float]) -> None:
    """A span that runs backwards, starts before 0 or is no number is an error that shows it."""
    with pytest.raises(ValueError, match=r"^span .* s: "):
        span_frames(span, 30.0)


@pytest.mark.parametrize("fps", [0.0, -30.0, math.nan, math.inf])
def test_impossible_rates_are_refused(fps: float) -> None:
    """A frame rate that is no positive number is an error that shows it."""
    with pytest.raises(ValueError, match=r"^fps is "):
        timeline_without_video("v", (0.0, 1.0), fps)


def test_timeline_without_a_file() -> None:
    """Without a file the digest is the id and the frames come from the times."""
    expected = Timeline(video="id:0BNML", first=492, frames=204)
    assert timeline_without_video("0BNML", (16.4, 23.2), 30.0) == expected


@pytest.mark.parametrize("found_as", ["clip", "segment", "question"])
def test_a_cut_file_is_its_span(found_as: str) -> None:
    """A file cut for the question counts from its own first to its last frame."""
    timeline = timeline_with_video(whole(206, found_as), (16.4, 23.2), 30.0)
    assert timeline == Timeline(video="d", first=0, frames=206)


def test_a_whole_video_is_cut_to_the_span() -> None:
    """In a whole video the span lies between its rounded first and last frame, clamped to the video."""
    assert timeline_with_video(whole(1000), (16.4, 23.2), 30.0).first == 492
    assert timeline_with_video(whole(1000), (16.4, 23.2), 30.0).frames == 204
    assert timeline_with_video(whole(961), (30.0, 33.0), 30.0).frames == 61
    assert timeline_with_video(whole(961), (30.0, 30.0), 30.0).frames == 1
    assert timeline_with_video(whole(961), None, 30.0) == Timeline(video="d", first=0, frames=961)


def test_a_span_past_the_video_is_an_error() -> None:
    """A span that starts after the last frame is an error of one line that names the video."""
    with pytest.raises(ValueError, match=r"^video v: .* 300 frames decode; check .*$"):
        timeline_with_video(whole(300), (10.0, 12.0), 30.0)
    with pytest.raises(ValueError, match="not counted"):
        timeline_with_video(Video(id="v", digest="d"), None, 30.0)


def test_keyframes_are_numbered_from_one_in_the_original_video() -> None:
    """Keyframe 906 of a video of 30 fps is frame 5 of the span that starts at 30 s."""
    assert keyframe_offset(906, 30.0, 30.0, 90) == 5


def test_keyframes_outside_the_span() -> None:
    """A keyframe before or after the span has no offset; one exactly on its end is the last frame."""
    assert keyframe_offset(900, 30.0, 30.0, 90) is None
    assert keyframe_offset(901, 30.0, 30.0, 90) == 0
    assert keyframe_offset(990, 30.0, 30.0, 90) == 89
    assert keyframe_offset(991, 30.0, 30.0, 90) == 89
    assert keyframe_offset(992, 30.0, 30.0, 90) is None


def test_the_root_clip_is_the_whole_grid() -> None:
    """A program starts from positions 0 to 31 of its span, uncropped."""
    clip = root_clip("v", (1.0, 2.0))
    assert (clip.start, clip.end, clip.num_frames, clip.crops) == (0, 32, 32, ())
    assert (clip.video, clip.span) == ("v", (1.0, 2.0))
