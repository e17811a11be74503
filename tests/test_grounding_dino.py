"""Tests of Grounding DINO and MM Grounding DINO against transformers' own path."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from aotd.tools.checkpoints import find_checkpoint
from aotd.tools.frames import FrameStore
from aotd.tools.grounding_dino import GroundingDino
from aotd.tools.loading import UnusableCheckpoint
from aotd.tools.models import Detection, ToolError
from aotd.tools.torchvision_cpu import mend_torchvision
from tests.tiny_frames import Videos, assert_alike, open_videos, request, rounded, write_video

KINDS = ("grounding-dino", "mm-grounding-dino")
NAMES = ("person", "Red Door", "phone/camera")
TOLERANCE = 1e-4
"""Of scores, in float32: captions of unlike lengths are padded together."""

BERT = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103, ".": 1012, "?": 1029}
"""Ids of BERT's vocabulary that the model knows by number: they part a caption's phrases."""


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Videos:
    """Open two made videos that are not square."""
    folder = tmp_path_factory.mktemp("videos")
    write_video(folder / "wide.mp4", 96, 48)
    write_video(folder / "tall.mp4", 50, 90)
    return open_videos(folder, "wide", "tall")


def vocabulary() -> dict[str, int]:
    """Letters and word pieces around the marks, which keep their places."""
    letters = "abcdefghijklmnopqrstuvwxyz/,"
    pieces = iter([*letters, *(f"##{letter}" for letter in letters), "red", "door", "person"])
    taken = set(BERT.values())
    words = {place: next(pieces, f"[unused{place}]") for place in range(1, 1030) if place not in taken}
    return {word: place for place, word in sorted({**words, **{p: w for w, p in BERT.items()}}.items())}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write small random models of both kinds."""
    mend_torchvision()
    import transformers as hf

    made = {}
    for kind, stem in (("grounding-dino", "GroundingDino"), ("mm-grounding-dino", "MMGroundingDino")):
        tokenizer = hf.BertTokenizer(vocab=vocabulary())
        config = getattr(hf, f"{stem}Config")(
            backbone_config=hf.SwinConfig(
                image_size=64,
                embed_dim=16,
                depths=[1, 1, 1, 1],
                num_heads=[1, 1, 2, 2],
                window_size=4,
                out_features=["stage2", "stage3", "stage4"],
            ),
            text_config=hf.BertConfig(
                vocab_size=len(tokenizer),
                hidden_size=32,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=64,
            ),
            num_queries=20,
            encoder_layers=2,
            decoder_layers=2,
            encoder_ffn_dim=64,
            decoder_ffn_dim=64,
            d_model=32,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            num_feature_levels=4,
            max_text_len=32,
            disable_custom_kernels=True,
        )
        torch.manual_seed(3)
        model = getattr(hf, f"{stem}ForObjectDetection")(config)
        folder = tmp_path_factory.mktemp(kind)
        model.save_pretrained(folder)
        images = hf.GroundingDinoImageProcessor(size={"shortest_edge": 64, "longest_edge": 96})
        hf.GroundingDinoProcessor(image_processor=images, tokenizer=tokenizer).save_pretrained(folder)
        made[kind] = folder
    return made


def dino(folder: Path, store: FrameStore, **settings: Any) -> GroundingDino:
    """Make the detector as the product does."""
    base: dict[str, Any] = {"device": "cpu", "threshold": 0.0}
    return GroundingDino(find_checkpoint(str(folder)), store, **(base | settings))


def plain(folder: Path, image: np.ndarray, name: str) -> list[Detection]:
    """Detect by transformers' own call and post-processing; score the name's tokens, round and cut here."""
    from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

    model = AutoModelForZeroShotObjectDetection.from_pretrained(folder).eval()
    processor = AutoProcessor.from_pretrained(folder)
    inputs = processor(images=Image.fromarray(image), text=[[name]], return_tensors="pt")
    with torch.no_grad():
        out = model(**inputs)
    height, width = image.shape[:2]
    (told,) = processor.post_process_grounded_object_detection(
        out, inputs["input_ids"], threshold=-1.0, text_threshold=0.0, target_sizes=[(height, width)]
    )
    own = [place for place, i in enumerate(inputs["input_ids"][0].tolist()) if i not in BERT.values()]
    assert processor.decode(inputs["input_ids"][0][own]).replace(" ", "") == name.lower().replace(" ", "")
    scores = out.logits[0, :, own].sigmoid().amax(dim=-1)
    return rounded(name, told["boxes"].numpy(), scores.tolist(), width, height, 0.0)


@contextmanager
def passes() -> Iterator[list[int]]:
    """Record how many pairs go through the model, pass by pass."""
    batches: list[int] = []

    def seen(module: torch.nn.Module, _: object, out: Any) -> None:
        if type(module).__name__.endswith("ForObjectDetection"):
            batches.append(len(out.pred_boxes))

    hook = torch.nn.modules.module.register_module_forward_hook(seen)
    try:
        yield batches
    finally:
        hook.remove()


@pytest.mark.parametrize("kind", KINDS)
def test_boxes_are_those_of_transformers(kind: str, folders: dict[str, Path], videos: Videos) -> None:
    """On wide and tall frames boxes are the plain model's; scores are those of the name's own tokens."""
    store = videos.store()
    frames = videos.refs("wide", 0, 3) + videos.refs("tall", 1)
    pairs = [(frame, name) for frame in frames for name in NAMES]
    told = dino(folders[kind], store).detect([request(*pair) for pair in pairs])
    for (frame, name), got in zip(pairs, told, strict=True):
        expected = plain(folders[kind], store.read(frame.video, [frame.index])[0], name)
        assert len(expected) > 5
        assert_alike(got, expected, TOLERANCE)


def test_a_published_video_is_read_as_transformers_reads_it(folders: dict[str, Path], data: Path) -> None:
    """On a real video of 480 x 270 pixels every box is the plain model's."""
    videos = open_videos(data / "videos", "univtg_charades")
    store = videos.store()
    (frame,) = videos.refs("univtg_charades", 200)
    (got,) = dino(folders["grounding-dino"], store).detect([request(frame, "person")])
    expected = plain(folders["grounding-dino"], store.read(frame.video, [200])[0], "person")
    assert_alike(got, expected, TOLERANCE)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_changes_nothing(kind: str, folders: dict[str, Path], videos: Videos) -> None:
    """Frames of two sizes and names of unlike lengths give together what each gives alone."""
    frames = videos.refs("wide", 0, 1) + videos.refs("tall", 0)
    together = dino(folders[kind], videos.store(), frames_at_once=4)
    alone = dino(folders[kind], videos.store(), frames_at_once=1)
    with passes() as batches:
        joint = together.detect([request(f, *NAMES) for f in frames])
    assert batches == [4, 2, 3]
    for frame, got in zip(frames, joint, strict=True):
        singles = [box for name in NAMES for box in alone.detect([request(frame, name)])[0]]
        assert_alike(got, sorted(singles, key=lambda d: -d.score), TOLERANCE)
        assert {d.name for d in got} == set(NAMES)


def test_the_threshold_holds_for_each_name(folders: dict[str, Path], videos: Videos) -> None:
    """Raising the threshold drops the boxes that score no higher and no others."""
    (frame,) = videos.refs("wide", 0)
    asked = [request(frame, "person"), request(frame, "door")]
    low = dino(folders["grounding-dino"], videos.store()).detect(asked)
    scores = sorted(d.score for answer in low for d in answer)
    middle = scores[len(scores) // 2] + 1e-5
    high = dino(folders["grounding-dino"], videos.store(), threshold=middle).detect(asked)
    assert list(high) == [tuple(d for d in answer if d.score > middle) for answer in low]
    assert 0 < sum(map(len, high)) < len(scores)


def test_captions_are_written_as_the_model_was_trained(folders: dict[str, Path], videos: Videos) -> None:
    """Case, full stops, spaces and aliases in a name alter only the name that comes back."""
    (frame,) = videos.refs("wide", 0)
    detector = dino(folders["grounding-dino"], videos.store(), aliases={"people": "person"})
    words = ("person", "people", " Person. ", "PERSON")
    answers = detector.detect([request(frame, word) for word in words])
    assert all({d.name for d in answer} == {word} for answer, word in zip(answers, words, strict=True))
    bare = [tuple(d.model_copy(update={"name": "person"}) for d in answer) for answer in answers]
    for other in bare[1:]:
        assert_alike(other, bare[0], TOLERANCE)


def test_names_that_cannot_be_read_are_errors(folders: dict[str, Path], videos: Videos) -> None:
    """A name without a token and one longer than the model reads fail alone, and say why."""
    (frame,) = videos.refs("wide", 0)
    asked = [request(frame, word) for word in ("", "...", "\u200b", "door " * 40, "door")]
    *blank, long, good = dino(folders["grounding-dino"], videos.store()).detect(asked)
    assert all(isinstance(b, ToolError) and "blank" in b.message and not b.retryable for b in blank)
    assert isinstance(long, ToolError)
    assert "reads 32" in long.message
    assert isinstance(good, tuple)
    assert good


def test_an_unreadable_video_fails_alone(folders: dict[str, Path], tmp_path: Path) -> None:
    """When a video is gone its requests fail, and those of another one are answered."""
    for name, width in (("gone", 64), ("here", 80)):
        write_video(tmp_path / f"{name}.mp4", width, 48)
    videos = open_videos(tmp_path, "gone", "here")
    (tmp_path / "gone.mp4").unlink()
    frames = videos.refs("gone", 0) + videos.refs("here", 0)
    lost, found = dino(folders["grounding-dino"], videos.store()).detect([request(f, "door") for f in frames])
    assert isinstance(lost, ToolError)
    assert "gone.mp4" in lost.message
    assert isinstance(found, tuple)


def test_half_precision_stays_near(folders: dict[str, Path], videos: Videos) -> None:
    """In float16 the best score is that of float32 to a hundredth."""
    asked = [request(f, "person") for f in videos.refs("wide", 0, 1)]
    for kind in KINDS:
        exact = dino(folders[kind], videos.store()).detect(asked)
        coarse = dino(folders[kind], videos.store(), dtype="float16").detect(asked)
        for a, b in zip(exact, coarse, strict=True):
            assert isinstance(a, tuple)
            assert isinstance(b, tuple)
            assert b[0].score == pytest.approx(a[0].score, abs=0.01)


def test_another_kind_of_model_is_refused(folders: dict[str, Path], videos: Videos, tmp_path: Path) -> None:
    """A folder of OWLv2 is refused before anything is loaded, and told what belongs there."""
    (tmp_path / "config.json").write_text('{"model_type": "owlv2"}')
    with pytest.raises(UnusableCheckpoint, match=r"of the kind owlv2.*mm-grounding-dino"):
        dino(tmp_path, videos.store())
    kinds = {dino(folder, videos.store()).identity.id.split("/")[0] for folder in folders.values()}
    assert kinds == set(KINDS)
