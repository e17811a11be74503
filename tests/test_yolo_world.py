"""Tests of YOLO-World against ultralytics' own prediction, of its reading of weights, and of its silence."""

from __future__ import annotations

import importlib.util
import os
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from aotd.tools.checkpoints import find_checkpoint
from aotd.tools.frames import FrameStore
from aotd.tools.loading import UnusableCheckpoint
from aotd.tools.models import Detection, ToolError
from aotd.tools.random_tokenizers import clip_tokenizer
from aotd.tools.torchvision_cpu import mend_torchvision
from aotd.tools.yolo_weights import Architecture, read_weights
from aotd.tools.yolo_world import YoloWorld, letterbox
from tests.tiny_frames import Videos, assert_alike, open_videos, request, rounded, write_video

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("ultralytics") is None, reason="ultralytics is not installed"
    ),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # ultralytics' own
]

NAMES = ("person", "red door")
TOLERANCE = 1e-4
"""Of scores, in float32: ultralytics joins convolutions with their norms before it predicts."""


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Videos:
    """Open two made videos that are not square."""
    folder = tmp_path_factory.mktemp("videos")
    write_video(folder / "wide.mp4", 320, 150)
    write_video(folder / "tall.mp4", 90, 170)
    return open_videos(folder, "wide", "tall")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a small CLIP that embeds in 512 numbers, as ViT-B/32 does."""
    return write_clip(tmp_path_factory.mktemp("clip"), 512)


def write_clip(folder: Path, width: int) -> Path:
    """Write a small random CLIP of transformers."""
    mend_torchvision()
    from transformers import CLIPConfig, CLIPModel

    tokenizer = clip_tokenizer(77)
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    ends = {f"{e}_token_id": getattr(tokenizer, f"{e}_token_id") for e in ("bos", "eos", "pad")}
    torch.manual_seed(2)
    config = CLIPConfig(
        text_config={**tower, **ends, "vocab_size": len(tokenizer), "max_position_embeddings": 77},
        vision_config={**tower, "image_size": 32, "patch_size": 16},
        projection_dim=width,
    )
    CLIPModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory, text: Path, videos: Videos) -> Path:
    """Save a random model of the smallest size as ultralytics does, its scores spread out."""
    folder = tmp_path_factory.mktemp("yolo")
    path = folder / "yolov8n-worldv2.pt"
    with pytest.MonkeyPatch.context() as patch:  # read when it is imported
        patch.setenv("YOLO_CONFIG_DIR", str(folder))
        patch.setenv("YOLO_OFFLINE", "1")
        from ultralytics import YOLOWorld

    torch.manual_seed(4)
    model = YOLOWorld("yolov8n-worldv2.yaml")
    norms = [m for m in model.model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            norm.momentum = None  # the plain mean of what is seen now
        model.model.train()
        model.model.predict(torch.rand(4, 3, 256, 256))
        model.model.eval()
        for norm in norms:
            norm.momentum = 0.03
        for head in model.model.model[-1].cv4:
            head.logit_scale.fill_(1.0)
            head.bias.fill_(0.0)
    model.save(str(path))
    return path


def yolo(weights: Path, text: Path, store: FrameStore, **settings: Any) -> YoloWorld:
    """Make the detector as the product does."""
    base: dict[str, Any] = {"device": "cpu", "threshold": 0.3}
    return YoloWorld(weights, find_checkpoint(str(text)), store, **(base | settings))


def plain(
    weights: Path, text: Path, images: Sequence[np.ndarray], name: str, least: float
) -> list[list[Detection]]:
    """Detect by ultralytics' own prediction, with the name's embedding in the place of its classes."""
    from transformers import AutoTokenizer, CLIPTextModelWithProjection
    from ultralytics import YOLOWorld

    inputs = AutoTokenizer.from_pretrained(text)([name], return_tensors="pt")
    with torch.no_grad():
        row = CLIPTextModelWithProjection.from_pretrained(text)(**inputs).text_embeds
    model = YOLOWorld(str(weights))
    model.model.txt_feats = (row / row.norm(dim=-1, keepdim=True))[None]
    model.model.model[-1].nc = 1
    model.model.names = {0: name}
    told = []
    for image in images:
        (result,) = model.predict(image[:, :, ::-1], conf=least, verbose=False, device="cpu")
        height, width = image.shape[:2]
        boxes, scores = result.boxes.xyxy.numpy(), result.boxes.conf.tolist()
        told.append(rounded(name, boxes, scores, width, height, least))
    return told


def test_boxes_are_those_of_ultralytics(weights: Path, text: Path, videos: Videos) -> None:
    """On wide and tall frames each name gets the boxes that ultralytics predicts for it alone."""
    store = videos.store()
    frames = videos.refs("wide", 0, 2) + videos.refs("tall", 1)
    images = [store.read(f.video, [f.index])[0] for f in frames]
    asked = [request(frame, name) for name in NAMES for frame in frames]
    told = yolo(weights, text, store).detect(asked)
    expected = [boxes for name in NAMES for boxes in plain(weights, text, images, name, 0.3)]
    assert sum(map(len, expected)) > 20
    for got, boxes in zip(told, expected, strict=True):
        assert_alike(got, boxes, TOLERANCE)


def test_a_published_video_is_read_as_ultralytics_reads_it(weights: Path, text: Path, data: Path) -> None:
    """On a real video of 480 x 270 pixels every box is the one that ultralytics predicts."""
    videos = open_videos(data / "videos", "univtg_charades")
    store = videos.store()
    (frame,) = videos.refs("univtg_charades", 200)
    (got,) = yolo(weights, text, store).detect([request(frame, "person")])
    (expected,) = plain(weights, text, store.read(frame.video, [200]), "person", 0.3)
    assert expected
    assert_alike(got, expected, TOLERANCE)


def test_a_batch_changes_nothing(weights: Path, text: Path, videos: Videos) -> None:
    """Names and frames together give what each gives alone; an alias gives back the program's word."""
    frames = videos.refs("wide", 0, 1) + videos.refs("tall", 0)
    together = yolo(weights, text, videos.store(), frames_at_once=4, aliases={"people": "person"})
    alone = yolo(weights, text, videos.store(), frames_at_once=1)
    joint = together.detect([request(f, "people", "red door") for f in frames])
    for frame, got in zip(frames, joint, strict=True):
        singles = [box for name in NAMES for box in alone.detect([request(frame, name)])[0]]
        renamed = [
            d.model_copy(update={"name": "people"}) if d.name == "person" else d
            for d in sorted(singles, key=lambda d: -d.score)
        ]
        assert_alike(got, renamed, TOLERANCE)


def test_errors_stay_with_their_requests(weights: Path, text: Path, tmp_path: Path) -> None:
    """A blank name, a name that is too long and a video that is gone fail alone."""
    for name, width in (("gone", 64), ("here", 80)):
        write_video(tmp_path / f"{name}.mp4", width, 48)
    videos = open_videos(tmp_path, "gone", "here")
    (tmp_path / "gone.mp4").unlink()
    (lost,), (here,) = videos.refs("gone", 0), videos.refs("here", 0)
    asked = [request(lost, "door"), request(here, " "), request(here, "x" * 90), request(here, "door")]
    told = yolo(weights, text, videos.store()).detect(asked)
    messages = [t.message for t in told if isinstance(t, ToolError)]
    assert len(messages) == 3
    for message, part in zip(messages, ("gone.mp4", "blank", "reads 77"), strict=True):
        assert part in message
    assert isinstance(told[3], tuple)


def test_bare_tensors_are_read_too(weights: Path, text: Path, videos: Videos, tmp_path: Path) -> None:
    """A safetensors file of the same weights, named after its architecture, gives the same boxes."""
    held = read_weights(weights)
    assert held.architecture == Architecture("n", "worldv2")
    bare = tmp_path / "yolov8n-worldv2.safetensors"
    save_file({n: t.contiguous() for n, t in held.tensors.items()}, bare)
    asked = [request(f, "person") for f in videos.refs("wide", 0)]
    assert yolo(bare, text, videos.store()).detect(asked) == yolo(weights, text, videos.store()).detect(asked)
    assert yolo(bare, text, videos.store()).identity.key != yolo(weights, text, videos.store()).identity.key
    nameless = tmp_path / "best.safetensors"
    bare.rename(nameless)
    with pytest.raises(UnusableCheckpoint, match=r"best\.safetensors.*name the file such as yolov8x-worldv2"):
        read_weights(nameless)


def test_weights_that_do_not_fit_are_named(weights: Path, text: Path, videos: Videos, tmp_path: Path) -> None:
    """Missing weights and those of another size are refused by name."""
    held = read_weights(weights)
    fewer = {n: t.contiguous() for n, t in held.tensors.items() if n != "model.0.conv.weight"}
    asked = [request(*videos.refs("wide", 0), "person")]
    for stem, tensors, told in (
        ("yolov8n-worldv2", fewer, r"they lack model\.0\.conv\.weight"),
        ("yolov8s-worldv2", held.tensors, r"no yolov8s-worldv2.*size mismatch"),
    ):
        file = tmp_path / f"{stem}.safetensors"
        save_file({n: t.contiguous() for n, t in tensors.items()}, file)
        with pytest.raises(UnusableCheckpoint, match=told):
            yolo(file, text, videos.store()).detect(asked)


def test_another_text_tower_is_refused(weights: Path, videos: Videos, tmp_path: Path) -> None:
    """A CLIP that embeds in another width is refused by name."""
    other = write_clip(tmp_path / "clip", 64)
    with pytest.raises(UnusableCheckpoint, match=r"64 numbers; YOLO-World takes 512"):
        yolo(weights, other, videos.store()).detect([request(*videos.refs("wide", 0), "person")])


class Evil:
    """Pickled as a call that leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (self.path, "owned"))


class Exec:
    """Pickled as a call of `exec`."""

    def __init__(self, code: str) -> None:
        self.code = code

    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, (self.code,))


def test_a_file_that_wants_to_run_code_runs_none(tmp_path: Path) -> None:
    """What a file asks to be called is not called: the file is refused in one line."""
    mark = tmp_path / "mark"
    for evil in (Evil(mark), Exec(f"open({str(mark)!r}, 'w').close()")):
        file = tmp_path / "yolov8n-worldv2.pt"
        torch.save({"model": evil}, file)
        with pytest.raises(UnusableCheckpoint, match=r"^weights .*yolov8n-worldv2\.pt: the file [^\n]*$"):
            read_weights(file)
        assert not mark.exists()
        torch.load(file, weights_only=False)  # the file does what it says when it is unpickled
        assert mark.exists()
        mark.unlink()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"not a model", pickle.dumps({"model": 1})])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    """A file that is no checkpoint is refused by name."""
    file = tmp_path / "yolov8n-worldv2.pt"
    file.write_bytes(content)
    with pytest.raises(UnusableCheckpoint, match=r"yolov8n-worldv2\.pt: the file cannot be read"):
        read_weights(file)


sides = st.integers(2, 3000)


@settings(deadline=None)
@given(width=sides, height=sides, box=st.tuples(*[st.floats(0, 1, width=32)] * 4))
def test_places_are_mapped_back(width: int, height: int, box: tuple[float, float, float, float]) -> None:
    """For a frame of any size the input is ultralytics', and a place in it comes back where it was."""
    from ultralytics.data.augment import LetterBox
    from ultralytics.utils.ops import scale_boxes

    fit = letterbox(width, height)
    params = LetterBox((640, 640), auto=True, stride=32).get_params({"img": np.zeros((height, width, 3))})
    assert (fit.width, fit.height) == tuple(params["new_unpad"])
    margins = tuple(params[side] for side in ("left", "top", "right", "bottom"))
    assert (fit.left, fit.top, fit.right, fit.bottom) == margins
    inside = torch.tensor(box, dtype=torch.float64) * torch.tensor([width, height, width, height])
    x1, y1, x2, y2 = inside.tolist()
    across, down = params["new_unpad"][0] / width, params["new_unpad"][1] / height
    left, top = margins[:2]
    place = torch.tensor([x1 * across + left, y1 * down + top, x2 * across + left, y2 * down + top])
    assert torch.allclose(fit.to_frame(place.double(), width, height), inside, atol=1e-3, rtol=1e-5)
    # Ultralytics works the scale out anew from the padded size and can be off by a pixel of the input.
    shape = (fit.height + fit.top + fit.bottom, fit.width + fit.left + fit.right)
    theirs = scale_boxes(shape, place[None].clone(), (height, width))[0]
    assert (theirs - inside).abs().max() <= 1.5 * max(1 / across, 1 / down)


QUIET = """
    import sys, os
    from pathlib import Path

    seen = []
    home = os.environ["HOME"]

    def hook(event, args):
        if event.startswith(("socket.connect", "socket.getaddrinfo", "socket.gethostby", "socket.sendto")):
            seen.append((event, str(args)))
        elif event in ("subprocess.Popen", "os.system", "os.posix_spawn"):
            seen.append((event, str(args)))
        elif event == "os.mkdir" and str(args[0]).startswith(home):
            seen.append((event, str(args)))
        elif event == "open" and str(args[0]).startswith(home) and set(str(args[1])) & set("wax+"):
            seen.append((event, str(args)))

    sys.addaudithook(hook)
    from aotd.tools.checkpoints import find_checkpoint
    from aotd.tools.frames import FrameStore
    from aotd.tools.library import Library
    from aotd.tools.models import DetectRequest, FrameRef
    from aotd.tools.yolo_world import YoloWorld
    from aotd.traces.records import Question

    weights, text, folder = map(Path, sys.argv[1:])
    library = Library(folder)
    video = library.open(Question(id="q", dataset="d", video_id="v", text="?"))
    store = FrameStore(library, 1 << 24)
    yolo = YoloWorld(weights, find_checkpoint(str(text)), store, device="cpu", threshold=0.3)
    request = DetectRequest(frame=FrameRef(video=video.digest, index=0), names=("person",))
    print(len(yolo.detect([request])[0]))
    for event in seen:
        print(*event)
"""


def test_it_talks_to_nobody(weights: Path, text: Path, tmp_path: Path) -> None:
    """Asked for boxes, it connects to nothing, looks no host up, starts no program, writes in no home."""
    home = tmp_path / "home"
    home.mkdir()
    write_video(tmp_path / "v.mp4", 320, 150)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("YOLO_", "XDG_", "MPL"))}
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(QUIET), str(weights), str(text), str(tmp_path)],
        env={**kept, "HOME": str(home), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    found, *events = ran.stdout.splitlines()
    assert int(found) > 0
    assert events == []
    assert list(home.iterdir()) == []


def test_without_ultralytics_the_extra_is_named(weights: Path, text: Path, tmp_path: Path) -> None:
    """Where ultralytics is not installed the error says what to install, and its module still imports."""
    code = """
        import sys
        from importlib.machinery import PathFinder
        class Hide:
            def find_spec(self, name, path=None, target=None):
                hidden = name.split(".")[0] == "ultralytics"
                return None if hidden else PathFinder.find_spec(name, path, target)
        sys.meta_path[sys.meta_path.index(PathFinder)] = Hide()
        from pathlib import Path
        from aotd.tools.checkpoints import find_checkpoint
        from aotd.tools.yolo_world import YoloWorld
        try:
            YoloWorld(Path(sys.argv[1]), find_checkpoint(sys.argv[2]), None, device="cpu")
        except ModuleNotFoundError as error:
            print(error)
    """
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(weights), str(text)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ran.stdout.strip().endswith("pip install 'aotd[yolo]'")
