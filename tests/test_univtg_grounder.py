"""Tests of the UniVTG grounder: windows from spans, and whole requests over drawn and real videos."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from aotd.tools.checkpoints import find_checkpoint
from aotd.tools.clip_features import ClipFeatures, ClipWeights, load_clip
from aotd.tools.frames import FrameStore
from aotd.tools.library import Library
from aotd.tools.loading import UnusableCheckpoint
from aotd.tools.models import Frames, GroundRequest, Moment, ToolError
from aotd.tools.random_weights import write_random, write_random_univtg
from aotd.tools.sampling import Timeline
from aotd.tools.univtg import UniVtgModel, load_univtg, unit_rows, with_ends
from aotd.tools.univtg_grounder import Answer, UniVtg, frame_borders, frame_spacing, frame_window
from aotd.traces.records import GRID, Question
from aotd.world.build import write_video
from aotd.world.motion import simulate

borders = st.floats(-1e4, 1e4, allow_nan=False)

# Windows


@pytest.mark.parametrize(
    ("start", "end", "window"),
    [
        (2.0, 5.0, (2, 5)),
        (2.1, 4.9, (2, 5)),
        (-3.0, 40.0, (0, 8)),
        (3.2, 3.4, (3, 4)),
        (3.0, 3.0, (3, 4)),
        (9.5, 12.0, (7, 8)),
        (-4.0, -2.0, (0, 1)),
    ],
)
def test_a_window_takes_the_frames_that_it_touches(start: float, end: float, window: tuple[int, int]) -> None:
    """Borders widen to whole frames, stay in a clip of 8 and hold one frame at least."""
    assert frame_window(start, end, 8) == window


@given(borders, borders, st.integers(1, 64), st.none() | st.floats(0.01, 100))
def test_a_window_is_never_empty_nor_outside(
    start: float, end: float, length: int, seconds: float | None
) -> None:
    """Whatever the borders, the window is half-open, holds a frame and lies in the clip."""
    first, last = frame_window(start, end, length, seconds)
    assert 0 <= first < last <= length


@given(st.integers(1, 64), st.data())
def test_a_window_inside_the_clip_covers_its_borders(length: int, data: st.DataObject) -> None:
    """A window that lies in the clip is widened by less than a frame on each side."""
    start = data.draw(st.floats(0, length - 1))
    end = data.draw(st.floats(start + 1e-3, length))
    first, last = frame_window(start, end, length)
    assert first <= start < first + 1
    assert last - 1 < end <= last


@given(st.integers(1, GRID), st.sampled_from([1.0, 0.3125, 2.5]), st.data())
def test_spans_grow_from_their_frames(length: int, offset: float, data: st.DataObject) -> None:
    """An empty span of frame i lies at i + offset, and a whole one reaches a clip's length each way."""
    place = data.draw(st.integers(0, length - 1))
    still = frame_borders(torch.zeros(length, 2), offset)[place]
    assert still.tolist() == pytest.approx([place + offset] * 2, abs=1e-4)
    whole = frame_borders(torch.tensor([[-1.0, 1.0]]).repeat(length, 1), offset)[place]
    assert whole.tolist() == pytest.approx([place + offset - length, place + offset + length], abs=1e-4)


@given(st.integers(1, 5000), st.integers(0, 900), st.sets(st.integers(0, GRID - 2), max_size=20))
def test_spacing_is_the_grids_even_after_a_filter(frames: int, first: int, dropped: set[int]) -> None:
    """Frames sampled as questions are lie N/32 apart to within one frame, gaps or not."""
    timeline = Timeline(video="v", first=first, frames=frames)
    kept = [p for p in range(GRID) if p not in dropped or p - 1 in dropped]
    pairs = [p for p in kept if p + 1 in kept]
    spacing = frame_spacing([timeline.index(p) for p in kept])
    if pairs and frames >= GRID:
        assert abs(spacing - frames / GRID) < 1
    if not dropped:
        assert spacing == pytest.approx(frames / GRID, rel=0.05, abs=1 / GRID)
    assert spacing > 0


@pytest.mark.parametrize(
    ("indices", "spacing"),
    [((0, 9, 18, 28), 28 / 3), ((0, 9, 18, 90, 99), 9), ((7,), 1), ((7, 7, 7, 7), 0.25)],
)
def test_spacing_by_hand(indices: tuple[int, ...], spacing: float) -> None:
    """Uneven steps of one sampling are averaged, gaps left out; equal frames share one."""
    assert frame_spacing(indices) == pytest.approx(spacing)


def test_windows_are_the_authors(data: Path) -> None:
    """Borders in seconds, their order and AoTD's frames equal what the two released codes gave."""
    file = data.parent / "spec" / "univtg_parity" / "small.pt"
    if not file.is_file():
        pytest.skip("no reference values of UniVTG beside the data")
    case: Any = torch.load(file, weights_only=True)["cases"]["single"]
    scores, spans = case["out"]["pred_logits"][0, :, 0], case["out"]["pred_spans"][0]
    order = scores.argsort(descending=True, stable=True)
    assert torch.equal(order, case["demo"]["order"])
    assert order[0] == 31
    assert torch.allclose(frame_borders(spans, 1.0) * 2, case["demo"]["windows"], atol=1e-5)
    for aotd in case["aotd"]:
        seconds = aotd["clip_len"]
        found = frame_borders(spans, seconds)
        assert torch.allclose(found * seconds, aotd["windows"], atol=1e-5)
        start, end = found[aotd["top_index"]].tolist()
        assert list(frame_window(start, end, 10**6, seconds)) == aotd["frames"]


# Requests


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ClipWeights]:
    """A small CLIP and a small UniVTG on its features."""
    folder = tmp_path_factory.mktemp("weights")
    clip = write_random("openai/clip-vit-base-patch32", "clip", "small", 0, folder)
    return lively(write_random_univtg("small", 1, folder)), ClipWeights(
        "transformers", find_checkpoint(str(clip))
    )


def lively(file: Path) -> Path:
    """Redraw a checkpoint's weights so that frames and texts matter."""
    state = load_univtg(file).state_dict()
    drawn = torch.Generator().manual_seed(5)
    for name, tensor in state.items():
        if tensor.ndim > 1:
            state[name] = torch.randn(tensor.shape, generator=drawn) / math.sqrt(tensor[0].numel())
    save_file(state, file, metadata={"random": "5"})
    return file


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of two drawn videos of 124 frames at 10 a second: `room` and `gone`."""
    folder = tmp_path_factory.mktemp("videos")
    for seed, name in enumerate(("room", "gone")):
        write_video(simulate(seed), folder / f"{name}.mp4")
    return folder


def opened(folder: Path, name: str) -> tuple[FrameStore, str]:
    """Open a video; gives its frames and its digest."""
    library = Library(folder)
    video = library.open(Question(id="q", dataset="star", video_id=name, text="What?"))
    return FrameStore(library, 1 << 28), video.digest


@pytest.fixture(scope="module")
def store(videos: Path) -> tuple[FrameStore, str]:
    """Frames of the drawn video, and its digest."""
    return opened(videos, "room")


GRID_FRAMES = tuple(i * 124 // GRID for i in range(GRID))


def request(store: tuple[FrameStore, str], indices: Sequence[int], text: str, **more: Any) -> GroundRequest:
    """Ask about frames of a video."""
    return GroundRequest(frames=Frames(video=store[1], indices=tuple(indices), **more), text=text)


def moments(answer: Answer) -> tuple[Moment, ...]:
    """Take an answer that is no error."""
    assert not isinstance(answer, ToolError), answer
    return answer


def windows_by_hand(
    weights: tuple[Path, ClipWeights], store: tuple[FrameStore, str], asked: GroundRequest, offset: float
) -> dict[tuple[int, int], float]:
    """Take a request through the parts one by one: different windows with their scores, best first."""
    file, clip = weights
    features = ClipFeatures(load_clip(clip, "float32", "cpu"), store[0], antialias=True, max_bytes=1 << 20)
    (video,) = features.of_frames([asked.frames])
    assert isinstance(video, Tensor)
    rows = features.of_texts([asked.text])[0].rows
    with torch.no_grad():
        out = load_univtg(file)(with_ends(video)[None], unit_rows(rows)[None])
    length = len(video)
    found: dict[tuple[int, int], float] = {}
    for i in sorted(range(length), key=lambda i: -float(out.scores[0, i])):
        start, end = (float(out.spans[0, i, side]) * length + i + offset for side in (0, 1))
        first = min(max(0, math.floor(start)), length - 1)
        found.setdefault((first, max(first + 1, min(length, math.ceil(end)))), float(out.scores[0, i]))
    return found


def test_a_grounder_is_clip_then_univtg_then_windows(weights: tuple[Path, ClipWeights], data: Path) -> None:
    """All windows of a real clip, taken step by step with the parts, are the grounder's, best first."""
    store = opened(data / "videos", "univtg_charades")
    asked = request(store, [i * 460 // GRID for i in range(GRID)], "person opens the door")
    (answer,) = UniVtg(*weights, store[0], device="cpu", top_k=GRID).ground([asked])
    wanted = windows_by_hand(weights, store, asked, 1)
    assert [m.windows for m in moments(answer)] == [(window,) for window in wanted]
    assert [m.score for m in moments(answer)] == pytest.approx(list(wanted.values()), abs=1e-5)
    assert len(wanted) > 3
    assert all(not m.notes for m in moments(answer))


def test_a_batch_gives_what_each_request_gives_alone(
    weights: tuple[Path, ClipWeights], store: tuple[FrameStore, str]
) -> None:
    """Clips and texts of different lengths, crops among them, have no influence on one another."""
    asked = [
        request(store, GRID_FRAMES, "person opens the door"),
        request(store, GRID_FRAMES[4:12], "sitting"),
        request(store, GRID_FRAMES, "a person in a red coat walks away from the table and sits down"),
        request(store, GRID_FRAMES[4:12], "sitting", crops=((40, 30, 150, 100),) * 8),
        request(store, GRID_FRAMES[7:8], "laughing"),
    ]

    def fresh() -> UniVtg:
        return UniVtg(*weights, store[0], device="cpu", top_k=5)

    together = fresh().ground(asked)
    for one, answer in zip(asked, together, strict=True):
        (alone,) = fresh().ground([one])
        assert [m.windows for m in moments(alone)] == [m.windows for m in moments(answer)]
        assert [m.score for m in moments(alone)] == pytest.approx(
            [m.score for m in moments(answer)], abs=2e-6
        )
    assert moments(together[4])[0].windows == ((0, 1),)
    assert together[1] != together[3]
    assert together[0] != together[2]


def test_a_threshold_and_a_count_bound_what_is_given(
    weights: tuple[Path, ClipWeights], store: tuple[FrameStore, str]
) -> None:
    """Different windows by falling score; none under the threshold, and nothing if all are."""
    one = request(store, GRID_FRAMES, "person opens the door")

    def ground(**more: Any) -> tuple[Moment, ...]:
        return moments(UniVtg(*weights, store[0], device="cpu", **more).ground([one])[0])

    everything = ground(top_k=99)
    scores = [m.score for m in everything]
    assert scores == sorted(scores, reverse=True)
    assert len({m.windows for m in everything}) == len(everything)
    assert ground() == everything[:1]
    assert ground(top_k=3) == everything[:3]
    assert ground(top_k=99, threshold=(scores[2] + scores[3]) / 2) == everything[:3]
    assert ground(threshold=1.0) == ()


def test_aotds_offset_is_in_seconds(weights: tuple[Path, ClipWeights], store: tuple[FrameStore, str]) -> None:
    """With 23 frames of a tenth of a second between two, AoTD's offset is 2.3 frames instead of one."""
    asked = request(store, range(0, 124, 23), "person opens the door")
    (answer,) = UniVtg(*weights, store[0], device="cpu", top_k=GRID, offset="aotd").ground([asked])
    wanted = windows_by_hand(weights, store, asked, 2.3)
    assert [m.windows for m in moments(answer)] == [(window,) for window in wanted]
    assert list(wanted) != list(windows_by_hand(weights, store, asked, 1))


def test_borders_can_be_cut_to_whole_seconds(
    weights: tuple[Path, ClipWeights], store: tuple[FrameStore, str]
) -> None:
    """With 0.3 s from one frame to the next, borders lie on the frames next to whole seconds."""
    asked = request(store, range(0, 3 * GRID, 3), "person opens the door")
    whole, free = (
        moments(
            UniVtg(*weights, store[0], device="cpu", top_k=GRID, quantise_seconds=quantise).ground([asked])[0]
        )
        for quantise in (True, False)
    )
    on_seconds = {0, 3, 7, 10, 13, 17, 20, 23, 27, 30, 32}
    assert {border for m in whole for border in m.windows[0]} <= on_seconds
    assert not {border for m in free for border in m.windows[0]} <= on_seconds


def test_what_is_unusual_is_noted(weights: tuple[Path, ClipWeights], store: tuple[FrameStore, str]) -> None:
    """Frames with a gap and a text that is cut are told beside the window."""
    grounder = UniVtg(*weights, store[0], device="cpu")
    gap = request(store, (*GRID_FRAMES[3:9], *GRID_FRAMES[20:22]), "sitting down " * 40)
    (moment,) = moments(grounder.ground([gap])[0])
    assert "8 frames are unevenly spaced" in moment.notes[0]
    assert "UniVTG reads 32" in moment.notes[1]


def test_faulty_requests_fail_alone(
    weights: tuple[Path, ClipWeights], store: tuple[FrameStore, str], videos: Path, tmp_path: Path
) -> None:
    """A video that is gone, a blank text and an empty clip leave the others their answers."""
    for name in ("gone", "room"):
        (tmp_path / f"{name}.mp4").write_bytes((videos / f"{name}.mp4").read_bytes())
    library = Library(tmp_path)
    gone, here = (
        library.open(Question(id="q", dataset="star", video_id=name, text="What?")).digest
        for name in ("gone", "room")
    )
    (tmp_path / "gone.mp4").unlink()
    grounder = UniVtg(*weights, FrameStore(library, 1 << 28), device="cpu")
    asked = [
        GroundRequest(frames=Frames(video=gone, indices=(0, 9)), text="sitting"),
        GroundRequest(frames=Frames(video=here, indices=GRID_FRAMES), text="sitting"),
        GroundRequest(frames=Frames(video=here, indices=GRID_FRAMES), text=" "),
        GroundRequest(frames=Frames(video=here, indices=()), text="sitting"),
    ]
    lost, found, blank, empty = grounder.ground(asked)
    assert isinstance(lost, ToolError)
    assert not lost.retryable
    assert isinstance(blank, ToolError)
    assert (lost.kind, blank.kind) == ("unreadable-video", "bad-request")
    assert empty == ()
    assert [found] == UniVtg(*weights, store[0], device="cpu").ground(
        [request(store, GRID_FRAMES, "sitting")]
    )


def test_identity_tells_what_decides_the_answers(
    weights: tuple[Path, ClipWeights], store: tuple[FrameStore, str], tmp_path: Path
) -> None:
    """Weights and each setting change the key; a made-up checkpoint says that it is random."""
    file, clip = weights
    plain = UniVtg(file, clip, store[0], device="cpu")
    assert plain.reads_pixels
    assert plain.identity.id == "random/univtg/univtg-small"
    assert plain.identity.revision == f"file-{hashlib.sha256(file.read_bytes()).hexdigest()[:16]}"
    trained = tmp_path / "model_best.safetensors"
    save_file(load_univtg(file).state_dict(), trained)
    assert UniVtg(trained, clip, store[0], device="cpu").identity.id == "univtg/model_best"
    changes: list[dict[str, Any]] = [
        {"offset": "aotd"},
        {"quantise_seconds": True},
        {"antialias": False},
        {"threshold": 0.5},
        {"top_k": 2},
        {"dtype": "bfloat16"},
    ]
    keys = {UniVtg(file, clip, store[0], device="cpu", **change).identity.key for change in changes}
    assert len({plain.identity.key, *keys}) == 1 + len(changes)


def test_a_checkpoint_for_other_features_is_told(
    weights: tuple[Path, ClipWeights], store: tuple[FrameStore, str], tmp_path: Path
) -> None:
    """A checkpoint that wants SlowFast features too is refused with the widths."""
    model = UniVtgModel(width=32, inner=24, video_width=2818, text_width=512, layers=1)
    save_file(model.state_dict(), tmp_path / "slowfast.safetensors")
    grounder = UniVtg(tmp_path / "slowfast.safetensors", weights[1], store[0], device="cpu")
    with pytest.raises(UnusableCheckpoint, match=r"slowfast.safetensors takes .* 2818 and 512 wide"):
        grounder.ground([request(store, GRID_FRAMES, "sitting")])


def test_numbers_that_are_not_finite_are_an_error(
    weights: tuple[Path, ClipWeights], store: tuple[FrameStore, str], tmp_path: Path
) -> None:
    """Weights that overflow give an error, not a window."""
    state = load_univtg(weights[0]).state_dict()
    state["class_embed.layers.2.bias"] = torch.tensor([math.nan])
    save_file(state, tmp_path / "broken.safetensors")
    grounder = UniVtg(tmp_path / "broken.safetensors", weights[1], store[0], device="cpu")
    (answer,) = grounder.ground([request(store, GRID_FRAMES, "sitting")])
    assert isinstance(answer, ToolError)
    assert answer.kind == "not-finite"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU: true shapes are tried on one")
def test_true_shapes_run_on_a_gpu(store: tuple[FrameStore, str], tmp_path: Path) -> None:
    """CLIP ViT-B/32 in bfloat16 and UniVTG of the published size ground 64 requests."""
    clip = write_random("openai/clip-vit-base-patch32", "clip", "full", 0, tmp_path)
    grounder = UniVtg(
        write_random_univtg("full", 1, tmp_path),
        ClipWeights("transformers", find_checkpoint(str(clip))),
        store[0],
        device="cuda:0",
        dtype="bfloat16",
    )
    asked = [request(store, GRID_FRAMES[i % 8 :], f"person opens door {i}") for i in range(64)]
    answers = grounder.ground(asked)
    assert all(len(moments(answer)) == 1 for answer in answers)
