"""`aotd view`: pages of a run of the household world, its frames, and how it fails."""

from __future__ import annotations

import base64
import io
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aotd.cli.stills import NoStills, stills
from aotd.tools.video import read_frames
from aotd.traces.outcomes import Outcome
from aotd.traces.page_text import page_name
from aotd.traces.records import Attempt, Example, Provenance, Question, Trace, Video
from aotd.traces.runs import Run
from aotd.world.build import write_world
from tests.conftest import Aotd
from tests.parsed_page import Parsed


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rendered clips of the household world and their annotation."""
    folder = tmp_path_factory.mktemp("world")
    write_world(folder, clips=2, seed=0)
    return folder


@pytest.fixture
def run(aotd: Aotd, world: Path, tmp_path: Path) -> Path:
    """A run over three questions of the world, with its videos."""
    folder = tmp_path / "run"
    words = ["generate", "star", world / "star.json", "--preset", "oracle", "--limit", 3]
    code, _, err = aotd(*words, "--videos", world / "videos", "--out", folder)
    assert code == 0, err
    return folder


def pictures(page: Path) -> dict[int, str]:
    """Give the addresses of a page's pictures by the position of their frame."""
    parsed = Parsed(page.read_text(encoding="utf-8"))
    images = [e.attributes for e in parsed.elements if e.tag == "image"]
    return {int(image["id"].removeprefix("q-f")): image["href"] for image in images}


def test_question(aotd: Aotd, run: Path, world: Path) -> None:
    """A question's page lands in the run by default, with the very frames of the video on its grid."""
    example = next(iter(Run.open(run).examples().values()))
    assert example.trace is not None
    code, out, _ = aotd("view", run, example.question.id)
    page = run / "view" / "pages" / page_name(example.question.id)
    assert (code, out.strip()) == (0, str(page))
    shown = pictures(page)
    assert shown
    assert page.stat().st_size < 1_500_000
    span, fps = example.trace.span, example.question.fps
    assert span is not None
    assert fps is not None
    video = world / "videos" / (example.trace.video.path or "")
    for position, address in list(shown.items())[:3]:
        jpeg = base64.b64decode(address.partition(",")[2])
        index = round(span[0] * fps) + position * round((span[1] - span[0]) * fps) // 32
        (frame,) = read_frames(video, [index])
        drawn = Image.open(io.BytesIO(jpeg)).convert("RGB")
        wanted = np.asarray(Image.fromarray(frame).resize(drawn.size), float)
        assert np.abs(np.asarray(drawn, float) - wanted).mean() < 6


def test_list_and_pages(aotd: Aotd, run: Path) -> None:
    """The list links the pages that there are, old and new, and pages lead back to it."""
    ids = list(Run.open(run).examples())
    aotd("view", run, ids[2])
    code, out, _ = aotd("view", run, "--pages", 1)
    index = run / "view" / "index.html"
    assert (code, out.strip()) == (0, f"{index} lists 3 questions, 2 of them with a page")
    links = [e.attributes["href"] for e in Parsed(index.read_text()).elements if e.tag == "a"]
    wanted = {f"pages/{page_name(ids[n])}" for n in (0, 2)}
    assert {link for link in links if not link.startswith("#")} == wanted
    assert all((index.parent / link).is_file() for link in wanted)
    assert 'href="../index.html"' in (index.parent / "pages" / page_name(ids[0])).read_text()
    assert "3 of them with a page" in aotd("view", run, "--all")[1]


def test_linked_frames(aotd: Aotd, run: Path, tmp_path: Path) -> None:
    """With --assets frames are files, found from where the page lies, whatever its folder is called."""
    question = next(iter(Run.open(run).examples()))
    page = tmp_path / "my pages #1" / "p.html"
    assets = tmp_path / "frames & more"
    assert aotd("view", run, question, "--out", page, "--assets", assets)[0] == 0
    addresses = set(pictures(page).values())
    assert addresses
    assert all(re.fullmatch(r"\.\./frames%20%26%20more/[0-9a-f]{20}\.jpg", address) for address in addresses)
    assert {path.name for path in assets.iterdir()} == {Path(address).name for address in addresses}


def test_without_the_video(aotd: Aotd, run: Path, world: Path, tmp_path: Path) -> None:
    """A page is written without frames, and says why, when the video is not there or is another one."""
    example = next(iter(Run.open(run).examples().values()))
    assert example.trace is not None
    assert example.trace.video.path is not None
    page = tmp_path / "p.html"
    code, _, err = aotd("view", run, example.question.id, "--videos", tmp_path, "--out", page)
    assert (code, pictures(page)) == (0, {})
    assert "is no file" in err
    assert "--videos" in err
    others = sorted((world / "videos").iterdir())
    other = next(path for path in others if path.name != example.trace.video.path)
    shutil.copy(other, tmp_path / example.trace.video.path)
    code, _, err = aotd("view", run, example.question.id, "--videos", tmp_path, "--out", page)
    assert (code, pictures(page)) == (0, {})
    assert "is not the file that the run used" in err


def test_faults(aotd: Aotd, run: Path, tmp_path: Path) -> None:
    """What cannot be done is told in one line that names the mend."""
    question = next(iter(Run.open(run).examples()))
    for words, told in (
        ((tmp_path / "none",), "give the folder of a run"),
        ((run, "nobody"), "has no example of question 'nobody'"),
        ((run, question, "--all"), "leave them or the question out"),
        ((run, question, "--videos", tmp_path / "none"), "give --videos an existing folder"),
        ((run, question, "--out", "/dev/null/p.html"), "cannot write /dev/null/p.html"),
        ((run, question, "--assets", "/dev/null/a"), "cannot write /dev/null/a/"),
    ):
        code, _, err = aotd("view", *words)
        assert (code, err.count("\n"), told in err) == (2, 1, True), err


def made(video: Video, span: tuple[float, float] | None) -> Example:
    """Make an example that only has a video."""
    trace = Trace(video=video, span=span, program="")
    return Example(
        question=Question(id="q", dataset="d", video_id="v", text="?", fps=None),
        attempts=(Attempt(program="", trace=trace),),
        outcome=Outcome.WRONG,
        provenance=Provenance(run="r"),
    )


def test_frames_past_the_end(run: Path, world: Path) -> None:
    """Where an oracle saw the future, positions after the file's end have no frame; others do."""
    example = next(iter(Run.open(run).examples().values()))
    assert example.trace is not None
    video = example.trace.video
    assert video.fps
    assert video.frames
    length = video.frames / video.fps
    clip = made(video.model_copy(update={"found_as": "segment"}), (100.0, 100.0 + 2 * length))
    frames = stills(clip, world / "videos", future=True)
    assert frames is not None
    assert [frames(n) is not None for n in (0, 15, 17, 31)] == [True, True, False, False]
    whole = made(video.model_copy(update={"found_as": "video"}), (100.0, 200.0))
    missing = stills(whole, world / "videos", future=True)
    assert missing is not None
    assert missing(0) is None


def test_climbing_paths(run: Path, world: Path, tmp_path: Path) -> None:
    """A recorded path that climbs to some other file shows nothing of it: only the recorded digest opens."""
    example = next(iter(Run.open(run).examples().values()))
    assert example.trace is not None
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    for path, why in ((f"../../../../../../{secret}", "digest differs"), ("/dev/zero", "is no file")):
        video = example.trace.video.model_copy(update={"path": path})
        with pytest.raises(NoStills, match=why):
            stills(made(video, None), world / "videos", future=False)
