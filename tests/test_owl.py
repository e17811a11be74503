"""Tests of OWLv2 and OWL-ViT against transformers' own path, on made and published videos."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file, save_file

from aotd.tools.boxes import corners, to_found
from aotd.tools.checkpoints import find_checkpoint
from aotd.tools.frames import FrameStore
from aotd.tools.loading import UnusableCheckpoint
from aotd.tools.models import Detection, ToolError
from aotd.tools.owl import Owl, input_side
from aotd.tools.random_tokenizers import clip_tokenizer
from aotd.tools.torchvision_cpu import mend_torchvision
from tests.tiny_frames import Videos, assert_alike, open_videos, request, rounded, write_video

KINDS = ("owlv2", "owlvit")
NAMES = ("person", "red door", "phone/camera")
TOLERANCE = 1e-5
"""Of scores, in float32; boxes may differ by the one pixel of a rounding."""


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Videos:
    """Open two made videos that are not square."""
    folder = tmp_path_factory.mktemp("videos")
    write_video(folder / "wide.mp4", 96, 48)
    write_video(folder / "tall.mp4", 50, 90)
    return open_videos(folder, "wide", "tall")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write small models of both kinds, random but with scores and boxes that are spread out."""
    mend_torchvision()
    import transformers as hf

    made = {}
    for kind, stem in (("owlv2", "Owlv2"), ("owlvit", "OwlViT")):
        tokenizer = clip_tokenizer(64)
        tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
        ends = {f"{e}_token_id": getattr(tokenizer, f"{e}_token_id") for e in ("bos", "eos", "pad")}
        config = getattr(hf, f"{stem}Config")(
            text_config={**tower, **ends, "vocab_size": len(tokenizer), "max_position_embeddings": 64},
            vision_config={**tower, "image_size": 64, "patch_size": 16},
            projection_dim=32,
        )
        torch.manual_seed(1)
        model = getattr(hf, f"{stem}ForObjectDetection")(config)
        with torch.no_grad():
            for head in (model.class_head, model.box_head):
                for weight in head.parameters():
                    weight.normal_(0, 0.1)
        folder = tmp_path_factory.mktemp(kind)
        model.save_pretrained(folder)
        size = {"height": 64, "width": 64}
        images = getattr(hf, f"{stem}ImageProcessor")(size=size)
        getattr(hf, f"{stem}Processor")(image_processor=images, tokenizer=tokenizer).save_pretrained(folder)
        made[kind] = folder
    return made


def owl(folder: Path, store: FrameStore, **settings: Any) -> Owl:
    """Make the detector as the product does."""
    return Owl(find_checkpoint(str(folder)), store, **{"device": "cpu", "threshold": 0.0, **settings})


def plain(folder: Path, images: Sequence[np.ndarray], name: str, threshold: float) -> list[list[Detection]]:
    """Detect by transformers' own model call and post-processing; round and cut boxes here."""
    from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

    model = AutoModelForZeroShotObjectDetection.from_pretrained(folder)
    processor = AutoProcessor.from_pretrained(folder)
    inputs = processor(
        text=[[f"a photo of a {name}"]] * len(images),
        images=[Image.fromarray(i) for i in images],
        return_tensors="pt",
    )
    with torch.no_grad():
        out = model.eval()(**inputs)
    sizes = [image.shape[:2] for image in images]
    told = processor.post_process_grounded_object_detection(out, threshold=threshold, target_sizes=sizes)
    return [
        rounded(name, one["boxes"].numpy(), one["scores"].tolist(), width, height, threshold)
        for one, (height, width) in zip(told, sizes, strict=True)
    ]


@contextmanager
def tower_passes() -> Iterator[list[int]]:
    """Record how many frames go through image towers, pass by pass."""
    passes: list[int] = []

    def seen(module: torch.nn.Module, _: object, out: Any) -> None:
        if type(module).__name__ in {"Owlv2VisionTransformer", "OwlViTVisionTransformer"}:
            passes.append(len(out[0]))

    hook = torch.nn.modules.module.register_module_forward_hook(seen)
    try:
        yield passes
    finally:
        hook.remove()


@pytest.mark.parametrize("kind", KINDS)
def test_boxes_are_those_of_transformers(kind: str, folders: dict[str, Path], videos: Videos) -> None:
    """Features that are kept give the boxes of the plain model on frames that are wide and tall."""
    store = videos.store()
    frames = videos.refs("wide", 0, 3, 5) + videos.refs("tall", 1, 4)
    detector = owl(folders[kind], store, threshold=0.4)
    told = {name: detector.detect([request(f, name) for f in frames]) for name in NAMES}
    images = [store.read(f.video, [f.index])[0] for f in frames]
    for name in NAMES:
        expected = plain(folders[kind], images, name, 0.4)
        assert sum(map(len, expected)) > 10
        for got, boxes in zip(told[name], expected, strict=True):
            assert_alike(got, boxes, TOLERANCE)


@pytest.mark.parametrize("kind", KINDS)
def test_a_published_video_is_read_as_transformers_reads_it(
    kind: str, folders: dict[str, Path], data: Path
) -> None:
    """On a real video of 480 x 270 pixels every box is the plain model's."""
    videos = open_videos(data / "videos", "univtg_charades")
    store = videos.store()
    frames = videos.refs("univtg_charades", 0, 100, 459)
    images = [store.read(f.video, [f.index])[0] for f in frames]
    expected = plain(folders[kind], images, "person", 0.0)
    told = owl(folders[kind], store).detect([request(f, "person") for f in frames])
    for got, boxes in zip(told, expected, strict=True):
        assert_alike(got, boxes, TOLERANCE)
        assert max(d.box[2] for d in boxes) > 270


def test_a_frame_is_seen_once(folders: dict[str, Path], videos: Videos) -> None:
    """However often and for how many nouns a frame is asked, the tower sees it once, some frames a pass."""
    frames = videos.refs("wide", 0, 1, 2, 3, 4)
    detector = owl(folders["owlv2"], videos.store(), frames_at_once=2)
    with tower_passes() as passes:
        detector.detect([request(f, name) for f in frames for name in NAMES])
        assert passes == [2, 2, 1]
        detector.detect([request(f, "a late noun") for f in frames])
        assert passes == [2, 2, 1]
        mixed = [*videos.refs("tall", 0), *frames, *videos.refs("tall", 1)]
        detector.detect([request(f, "a late noun") for f in mixed])
        assert passes == [2, 2, 1, 2]


def test_what_is_not_kept_is_seen_again(folders: dict[str, Path], videos: Videos) -> None:
    """Without room for features answers are the same."""
    asked = [request(f, "person") for f in videos.refs("tall", 0, 1)]
    roomy, cramped = (owl(folders["owlv2"], videos.store(), feature_mb=mb) for mb in (16, 0))
    first = roomy.detect(asked)
    with tower_passes() as passes:
        assert roomy.detect(asked) == first
        assert passes == []
        for _ in range(2):
            for got, expected in zip(cramped.detect(asked), first, strict=True):
                assert_alike(got, expected, TOLERANCE)
        assert passes == [2, 2]


def test_a_batch_changes_nothing(folders: dict[str, Path], videos: Videos) -> None:
    """Requests together and alone, names together and alone, give the same boxes."""
    frames = videos.refs("wide", 0, 1, 2) + videos.refs("tall", 0, 1)
    together = owl(folders["owlv2"], videos.store(), frames_at_once=4)
    alone = owl(folders["owlv2"], videos.store(), frames_at_once=1)
    joint = together.detect([request(f, *NAMES, NAMES[0]) for f in frames])
    for frame, got in zip(frames, joint, strict=True):
        singles = [box for name in NAMES for box in alone.detect([request(frame, name)])[0]]
        assert_alike(got, sorted(singles, key=lambda d: -d.score), TOLERANCE)
        assert {d.name for d in got} == set(NAMES)


def test_the_answer_bears_the_programs_word(folders: dict[str, Path], videos: Videos) -> None:
    """An alias is what the model reads, and the program's own word is what it gets back."""
    (frame,) = videos.refs("wide", 0)
    detector = owl(folders["owlv2"], videos.store(), aliases={"people": "person"})
    people, person = detector.detect([request(frame, "people"), request(frame, "person")])
    assert [d.model_copy(update={"name": "person"}) for d in people] == list(person)
    assert {d.name for d in people} == {"people"}


def test_names_that_cannot_be_read_are_errors(folders: dict[str, Path], videos: Videos) -> None:
    """A blank name and one longer than the text tower fail alone, and say why."""
    (frame,) = videos.refs("wide", 0)
    asked = [request(frame, " "), request(frame, "door" * 40), request(frame, "door"), request(frame)]
    blank, long, good, nothing = owl(folders["owlv2"], videos.store()).detect(asked)
    assert isinstance(blank, ToolError)
    assert "blank" in blank.message
    assert isinstance(long, ToolError)
    assert "reads 64" in long.message
    assert not blank.retryable
    assert not long.retryable
    assert isinstance(good, tuple)
    assert good
    assert nothing == ()


def test_an_unreadable_frame_fails_alone(folders: dict[str, Path], tmp_path: Path) -> None:
    """When a video is gone, its frames that were not read fail, and no others."""
    for name, width in (("gone", 64), ("here", 80)):
        write_video(tmp_path / f"{name}.mp4", width, 48)
    videos = open_videos(tmp_path, "gone", "here")
    store = videos.store()
    (known, lost), (here,) = videos.refs("gone", 0, 3), videos.refs("here", 2)
    store.read(known.video, [known.index])
    (tmp_path / "gone.mp4").unlink()
    detector = owl(folders["owlv2"], store)
    answers = detector.detect([request(f, "person") for f in (known, lost, here)])
    assert [isinstance(a, ToolError) for a in answers] == [False, True, False]
    assert isinstance(answers[1], ToolError)
    assert not answers[1].retryable
    assert "gone.mp4" in answers[1].message


def test_numbers_that_are_none_are_an_error(folders: dict[str, Path], videos: Videos, tmp_path: Path) -> None:
    """A model whose scores are not finite says so instead of finding nothing."""
    broken = tmp_path / "broken"
    shutil.copytree(folders["owlv2"], broken)
    tensors = load_file(broken / "model.safetensors")
    tensors["class_head.logit_shift.bias"].fill_(float("nan"))
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    (answer,) = owl(broken, videos.store()).detect([request(*videos.refs("wide", 0), "person")])
    assert isinstance(answer, ToolError)
    assert answer.kind == "not-finite"


def test_a_half_checkpoint_is_refused(folders: dict[str, Path], videos: Videos, tmp_path: Path) -> None:
    """Weights that are missing are named, and so is a folder of another kind of model."""
    half = tmp_path / "half"
    shutil.copytree(folders["owlvit"], half)
    tensors = load_file(half / "model.safetensors")
    del tensors["box_head.dense0.weight"]
    save_file(tensors, half / "model.safetensors", metadata={"format": "pt"})
    detector = owl(half, videos.store())
    with pytest.raises(UnusableCheckpoint, match=r"half.*lacks box_head\.dense0\.weight"):
        detector.detect([request(*videos.refs("wide", 0), "person")])
    (half / "config.json").write_text('{"model_type": "clip"}')
    with pytest.raises(UnusableCheckpoint, match=r"of the kind clip.*owlv2 or owlvit"):
        owl(half, videos.store())


def test_the_identity_holds_what_decides(folders: dict[str, Path], videos: Videos) -> None:
    """Every setting that alters answers alters the identity; what only alters speed does not."""
    store = videos.store()
    base = owl(folders["owlv2"], store).identity
    assert (base.id, base.dtype) == (f"owlv2/{folders['owlv2'].name}", "float32")
    assert owl(folders["owlv2"], store, frames_at_once=3, feature_mb=2).identity == base
    others = [
        owl(folders["owlvit"], store),
        owl(folders["owlv2"], store, dtype="bfloat16"),
        owl(folders["owlv2"], store, threshold=0.3),
        owl(folders["owlv2"], store, prompt="{}"),
        owl(folders["owlv2"], store, aliases={"people": "person"}),
    ]
    assert len({base.key, *(other.identity.key for other in others)}) == 6


@pytest.mark.parametrize("kind", KINDS)
def test_bfloat16_keeps_boxes_fine(kind: str, folders: dict[str, Path], videos: Videos) -> None:
    """With a tower in bfloat16 boxes stay within a hundredth of the frame of those in float32."""
    asked = [request(f, "person") for f in videos.refs("wide", 0, 1)]
    exact = owl(folders[kind], videos.store(), threshold=-1.0).detect(asked)
    coarse = owl(folders[kind], videos.store(), threshold=-1.0, dtype="bfloat16").detect(asked)
    for a, b in zip(exact, coarse, strict=True):
        assert isinstance(a, tuple)
        assert isinstance(b, tuple)
        boxes, others = (np.array(sorted(d.box for d in found)) for found in (a, b))
        assert np.abs(boxes - others).max() <= 1


sides = st.integers(1, 4000)
fractions = st.floats(0, 1, width=32)


@given(
    width=sides,
    height=sides,
    boxes=st.lists(st.tuples(fractions, fractions, fractions, fractions), min_size=1, max_size=5),
)
def test_boxes_land_where_the_processor_puts_them(
    width: int, height: int, boxes: list[tuple[float, float, float, float]]
) -> None:
    """For any frame and box the pixels are those of transformers' post-processing, cut and rounded."""
    mend_torchvision()
    from transformers import Owlv2ImageProcessor, OwlViTImageProcessor

    scores = torch.linspace(0.9, 0.5, len(boxes))
    out = SimpleNamespace(logits=scores.logit()[None, :, None], pred_boxes=torch.tensor([boxes]))
    for kind, processor in (("owlv2", Owlv2ImageProcessor()), ("owlvit", OwlViTImageProcessor())):
        told = processor.post_process_object_detection(out, threshold=0.1, target_sizes=[(height, width)])[0]
        side = torch.tensor(input_side(kind, (width, height)), dtype=torch.float32).repeat(2)
        got = to_found("plain", corners(out.pred_boxes[0]) * side, scores, (width, height), 0.1)
        expected = rounded("plain", told["boxes"].numpy(), told["scores"].tolist(), width, height, 0.1)
        assert isinstance(got, tuple)
        assert len(got) == len(expected)
        for a, b in zip(got, expected, strict=True):
            assert a.box == b.box
            assert 0 <= a.box[0] < a.box[2] <= width
            assert 0 <= a.box[1] < a.box[3] <= height


def test_a_box_by_hand() -> None:
    """In a frame of 200 x 100 the same place is another box for the square and for the stretched input."""
    place = torch.tensor([[0.5, 0.25, 0.2, 0.1], [0.5, 0.75, 0.2, 0.1]])
    scores = torch.tensor([0.6, 0.9])
    boxes = {
        kind: to_found("x", corners(place) * torch.tensor(input_side(kind, (200, 100))).repeat(2), scores,
                       (200, 100), 0.2)
        for kind in KINDS
    }  # fmt: skip
    assert boxes["owlv2"] == (Detection(name="x", box=(80, 40, 120, 60), score=0.6),)  # the other is padding
    assert boxes["owlvit"] == (
        Detection(name="x", box=(80, 70, 120, 80), score=0.9),
        Detection(name="x", box=(80, 20, 120, 30), score=0.6),
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU")
def test_the_true_shape_runs_on_a_gpu(tmp_path: Path, videos: Videos) -> None:
    """OWLv2-base with made-up weights gives the same boxes on the GPU from kept and from new features."""
    from aotd.tools.random_weights import write_random

    folder = write_random("google/owlv2-base-patch16-ensemble", "owlv2", "full", 7, tmp_path)
    asked = [request(f, "person") for f in videos.refs("wide", 0, 1, 2)]
    kept, again = (
        owl(folder, videos.store(), device="cuda:0", threshold=-1.0, feature_mb=mb) for mb in (64, 0)
    )
    with tower_passes() as passes:
        first = [kept.detect(asked) for _ in range(2)]
        assert passes == [3]
    for got, expected in zip(again.detect(asked), first[1], strict=True):
        assert isinstance(expected, tuple)
        assert expected
        assert_alike(got, expected, TOLERANCE)
