"""Tests of the small grounder's training: what is learnt, from what, and that the product loads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from aotd.tools.checkpoints import find_checkpoint
from aotd.tools.clip_features import ClipTowers, ClipWeights, load_clip
from aotd.tools.config import ToolsConfig
from aotd.tools.frames import FrameStore
from aotd.tools.library import Library
from aotd.tools.make import make_grounder
from aotd.tools.models import Frames, GroundRequest, ToolError
from aotd.tools.torchvision_cpu import mend_torchvision
from aotd.tools.univtg_grounder import frame_borders, frame_window
from aotd.traces.records import Question
from aotd.traces.star_phrases import action_phrase, parse_phrase, relation_phrase
from aotd.world.build import write_video
from aotd.world.motion import simulate
from aotd.world.scene import Move
from aotd.world.templates import action
from aotd.zoo.clip import ClipTask, new_clip, save_clip
from aotd.zoo.excerpts import EACH, Excerpts, Part, embed_excerpts, kept_excerpts, positions
from aotd.zoo.fit import Course, fit
from aotd.zoo.grounder import GrounderTask, grounding_scores, save_grounder, targets
from aotd.zoo.phrases import ACTIONS, FACTS, SAYINGS, meant, runs, truth

mend_torchvision()
transformers = pytest.importorskip("transformers")


pytestmark = pytest.mark.usefixtures("one_thread")


def tower() -> Any:
    """Make an image tower of OWLv2 for 48 pixels, with made-up weights."""
    torch.manual_seed(3)
    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    sight = {**size, "hidden_act": "gelu", "image_size": 48, "patch_size": 12}
    config = transformers.Owlv2Config(text_config=size, vision_config=sight, projection_dim=16)
    return transformers.Owlv2Model(config).eval().vision_model


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a narrow CLIP that was trained for two steps."""
    folder = tmp_path_factory.mktemp("clip")
    task, told = ClipTask(tower(), 0, measured=16), list[str]()
    fit(task, Course(2, 1e-3, warmup=1, every=2), folder, seed=0, device="cpu", workers=0, tell=told.append)
    save_clip(task, folder / "model")
    assert "auc" in told[0]
    return folder / "model"


@pytest.fixture(scope="module")
def towers(clip: Path) -> ClipTowers:
    """The narrow CLIP, loaded as the grounder loads it."""
    return load_clip(ClipWeights("transformers", find_checkpoint(str(clip))), "float32", "cpu")


@pytest.fixture(scope="module")
def excerpts(towers: ClipTowers) -> Excerpts:
    """Excerpts of two training episodes."""
    return embed_excerpts(towers, Part("train", 0, 2), workers=0, tell=print)


# What is true, and when


def test_first_wordings_are_those_of_programs() -> None:
    """Every action, and every relation, is first worded as programs for STAR's questions word it."""
    for saying in SAYINGS:
        fact = FACTS[saying.readings[0]]
        if saying.readings[0] < ACTIONS:
            assert saying.texts[0] == f"person is {action_phrase(action(Move(*fact)), 'gerund')}"
        else:
            assert saying.texts[0] == f"person is {relation_phrase(*fact)}"


def test_first_wordings_are_read_as_what_they_mean() -> None:
    """STAR's reading of a text gives the fact, and where it has two readings, both in our order."""
    for saying in SAYINGS:
        phrase = parse_phrase(saying.texts[0])
        own = {number: FACTS[number] for number in saying.readings}
        assert {fact.object for fact in own.values()} == {phrase.obj}
        for number, fact in own.items():
            assert fact.name == (phrase.verb if number < ACTIONS else phrase.relation)


def test_no_wording_means_two_things() -> None:
    """A text belongs to one saying."""
    texts = [text for saying in SAYINGS for text in saying.texts]
    assert len(set(texts)) == len(texts)


def test_the_positions_of_an_event_in_a_span() -> None:
    """In 64 frames, two to a position, an event from frame 10 on begins at position 5."""
    episode = simulate(4)
    event = episode.plan.events[0]
    seen = positions(event.start - 10, 64)
    assert seen == [event.start - 10 + 2 * p for p in range(32)]
    saying = next(s for s in SAYINGS if FACTS[s.readings[0]] == event.move)
    work = event.end - event.start
    assert runs(meant(saying, truth(episode)[seen])) == [(5, 5 + -(-work // 2))]


def test_an_action_comes_before_the_state_that_is_worded_alike() -> None:
    """Sitting is the event in a clip that shows one, the state in a clip that shows that alone."""
    (saying,) = (s for s in SAYINGS if s.texts[0] == "person is sitting on the chair")
    told = np.zeros((6, len(FACTS)), np.bool_)
    deed, state = saying.readings
    told[2:4, deed] = told[3:, state] = True
    assert runs(meant(saying, told)) == [(2, 4)]
    assert runs(meant(saying, told[4:])) == [(0, 2)]
    assert runs(meant(saying, told[:2])) == []


# What the network is to say


def test_targets_by_hand() -> None:
    """Of positions 2, 3 and 4 of 8 the first two are inside; borders lie in the middle of 2 and of 4."""
    hits = torch.zeros(2, 8, dtype=torch.bool)
    hits[0, 2:5] = True
    score, weight, spans = targets(hits)
    assert score.tolist() == [[0, 0, 1, 1, 0, 0, 0, 0], [0] * 8]
    assert weight[0, 2:5].tolist() == [1, 1, 0]
    assert spans[0, 2].tolist() == [(2.5 - 3) / 8, (4.5 - 3) / 8]
    assert spans[0, 3].tolist() == [(2.5 - 4) / 8, (4.5 - 4) / 8]
    assert not spans[0, 4:].any()
    assert not spans[1].any()


@given(st.integers(2, 32), st.data())
def test_a_network_that_says_so_gives_the_window(length: int, data: st.DataObject) -> None:
    """Every inside frame's target is the window itself to the grounder, but for a window of one position."""
    start = data.draw(st.integers(0, length - 2))
    end = data.draw(st.integers(start + 2, length))
    hits = torch.zeros(1, length, dtype=torch.bool)
    hits[0, start:end] = True
    score, _, spans = targets(hits)
    borders = frame_borders(spans[0], 1.0)[score[0] > 0].tolist()
    assert borders
    assert {frame_window(*own, length) for own in borders} == {(start, end)}


def test_scores_of_one_who_knows(excerpts: Excerpts) -> None:
    """Whoever answers with the targets overlaps wholly, and tells what is there from what is not."""
    whole = Excerpts(excerpts.features[::EACH], excerpts.told[::EACH])
    told = {features.numpy().tobytes(): facts.numpy() for features, facts in zip(*whole, strict=True)}

    def look(features: Tensor, sayings: Any) -> tuple[Tensor, Tensor]:
        facts = told[features.numpy().tobytes()]
        score, _, spans = targets(torch.from_numpy(np.stack([meant(SAYINGS[s], facts) for s in sayings])))
        return score, spans

    scores = grounding_scores(look, whole)
    events = sum(len(simulate(seed).plan.events) for seed in (0, 1))
    assert (scores["n"], scores["iou"], scores["half"], scores["middle"]) == (events, 1, 1, 1)
    assert (scores["auc"], scores["none_kept"]) == (1, 0)
    assert scores["whole"] < 0.3


# Learning


def test_the_copied_tower_sees_as_the_detectors() -> None:
    """The same pixels give the same hidden states and the same pooled ones."""
    own = tower()
    task = ClipTask(own, 0)
    pixels = torch.randn(2, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        old = own(pixel_values=pixels)
        new = new_clip(own, task.tokenizer).eval().vision_model(pixel_values=pixels)
    assert torch.allclose(old.last_hidden_state, new.last_hidden_state, atol=1e-5)
    assert torch.allclose(old.pooler_output, new.pooler_output, atol=1e-5)


def test_excerpts_are_embedded_once(towers: ClipTowers, clip: Path, tmp_path: Path) -> None:
    """A second call reads the first one's file, unless it asks for other episodes."""
    told: list[Excerpts] = []
    for episodes in (1, 1, 2):
        file, weights = tmp_path / "kept.safetensors", clip / "model.safetensors"
        part = Part("validation", 0, episodes)
        told.append(kept_excerpts(file, towers, weights, part, workers=0, tell=print))
    assert torch.equal(told[0].features, told[1].features)
    assert len(told[2].features) == 2 * len(told[1].features) == 2 * EACH
    assert torch.equal(told[2].told[:EACH], told[0].told)


def test_a_run_that_was_cut_ends_as_one_that_was_not(
    towers: ClipTowers, excerpts: Excerpts, tmp_path: Path
) -> None:
    """Going on from a checkpoint gives the same weights, and the loss has fallen."""
    course = Course(12, 3e-3, warmup=2, every=4)
    cut, few = list[str](), Excerpts(excerpts.features[:1], excerpts.told[:1])

    def stop(line: str) -> None:
        cut.append(line)
        if len(cut) == 2:
            raise KeyboardInterrupt

    def task() -> GrounderTask:
        return GrounderTask(towers, excerpts, few, 1, width=16)

    def loss(of: GrounderTask) -> float:
        return sum(of.loss(of.batch(step))[0].item() for step in range(3))

    whole, halved = task(), task()
    before = loss(whole)
    fit(whole, course, tmp_path / "whole", seed=0, device="cpu", workers=0, tell=lambda _: None)
    assert loss(whole) < 0.8 * before
    with pytest.raises(KeyboardInterrupt):
        fit(halved, course, tmp_path / "cut", seed=0, device="cpu", workers=0, tell=stop)
    resumed = task()
    fit(resumed, course, tmp_path / "cut", seed=0, device="cpu", workers=0, tell=cut.append)
    assert len(cut) == 3
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name


def test_the_product_loads_what_was_trained(
    towers: ClipTowers, excerpts: Excerpts, clip: Path, tmp_path: Path
) -> None:
    """Saved in float16, CLIP and UniVTG answer as a grounder, with windows in the clip and scores."""
    task = GrounderTask(towers, excerpts, excerpts, 1, width=16)
    save_grounder(task, tmp_path)
    assert {tensor.dtype for tensor in load_file(tmp_path / "model.safetensors").values()} == {torch.float16}
    write_video(simulate(5), tmp_path / "room.mp4")
    library = Library(tmp_path)
    digest = library.open(Question(id="q", dataset="star", video_id="room", text="What?")).digest
    config = ToolsConfig.model_validate(
        {
            "detector": {"kind": "oracle"},
            "grounder": {
                "kind": "univtg",
                "weights": str(tmp_path / "model.safetensors"),
                "clip": {"kind": "transformers", "weights": str(clip)},
                "top_k": 3,
            },
            "video_model": {"kind": "oracle"},
            "device": "cpu",
        }
    )
    grounder = make_grounder(config, FrameStore(library, 1 << 28))
    assert grounder is not None
    for count in (32, 9):
        frames = Frames(video=digest, indices=tuple(positions(0, 124)[:count]))
        answers = grounder.ground(
            [GroundRequest(frames=frames, text=text) for text in ("person is near the laptop", "a fox runs")]
        )
        for answer in answers:
            assert not isinstance(answer, ToolError)
            assert answer
            for moment in answer:
                ((start, end),) = moment.windows
                assert 0 <= start < end <= count
                assert 0 < moment.score < 1
                assert not moment.notes
