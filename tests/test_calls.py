"""The program's functions, composed from scripted models."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aotd.agent.config import RunConfig
from aotd.tools.api import API
from aotd.tools.batching import Backbone
from aotd.tools.build import IncompatibleModels, Models, Places, Toolbox
from aotd.tools.cache import Cache
from aotd.tools.calls import EmptyClip, Evidence, Functions, ToolFailed, trim
from aotd.tools.device import Device
from aotd.tools.models import Choice, Detection, DetectRequest, Moment, ToolError, VideoAnswer, VideoRequest
from aotd.tools.sampling import Timeline, root_clip
from aotd.tools.scripted import ScriptedDetector, ScriptedGrounder, ScriptedSelector, ScriptedVideoModel
from aotd.traces.records import Clip

ORACLE = RunConfig.model_validate({k: {"kind": "oracle"} for k in ("detector", "grounder", "video_model")})
TIMELINE = Timeline(video="v", first=100, frames=64)
ROOT = root_clip("v", (0.0, 2.0))
EMPTY = ROOT.model_copy(update={"grid_ids": ()})


def cup(request: DetectRequest) -> tuple[Detection, ...]:
    """Two cups in frames 110..119 (grid ids 5..9), one on the far side in the others from 120."""
    index, name = request.frame.index, request.names[0]
    if name != "cup" or index < 110:
        return ()
    far = Detection(name=name, box=(200, 10, 220, 30), score=0.5)
    near = Detection(name=name, box=(10, 10, 30, 30), score=0.9)
    return (near, far) if index < 120 else (far,)


def video(request: VideoRequest) -> VideoAnswer:
    """Say what was asked."""
    if request.task == "is_this":
        return VideoAnswer(texts=("yes" if request.subject == "cup" else "no",))
    return VideoAnswer(texts=(f"{request.task} of {len(request.clip.indices)}",))


def run(
    use: Callable[[Functions], Awaitable[Evidence]],
    moments: tuple[Moment, ...] = (Moment(windows=((2, 5), (7, 8)), score=1.0),),
    answer: Callable[[VideoRequest], VideoAnswer | ToolError] = video,
) -> Evidence:
    """Use the functions of a scripted toolbox once."""
    models = Models(
        ScriptedDetector(cup),
        ScriptedGrounder(lambda _: moments),
        ScriptedVideoModel(answer),
        ScriptedSelector(lambda r: Choice(text=r.options[0] if r.options and r.info else None)),
    )

    async def drive(device: ThreadPoolExecutor) -> Evidence:
        """Use it on a loop."""
        toolbox = Toolbox(
            ORACLE, models, Places.all_at(Backbone(Cache(10**6), Device(device), lambda _: None, 16))
        )
        return await use(toolbox.functions(TIMELINE, None, "q/0"))

    with ThreadPoolExecutor(1) as device:
        return asyncio.run(drive(device))


def test_every_declared_function_is_composed_with_the_declared_signature() -> None:
    """Names, parameters and types of the host's functions are those of the declaration."""
    import aotd.tools.api as api

    for name, function in API.items():
        declared = inspect.signature(getattr(api, name))
        host = trim if function.local else getattr(Functions, name)
        parameters = [p for p in inspect.signature(host).parameters.values() if p.name != "self"]
        assert [(p.name, p.default) for p in parameters] == [
            (p.name, p.default) for p in declared.parameters.values()
        ]
        hints = get_type_hints(host)
        kinds = {p.name: p.kind for p in function.parameters}
        assert all(
            hints[p.name] == get_type_hints(getattr(api, name))[p.name]
            for p in parameters
            if kinds[p.name] != "dict"
        )


def test_find_crops_to_the_best_sighting_and_leaves_other_frames_out() -> None:
    """The clip keeps frames with a sighting, each cropped to its best box and a margin of 10 pixels."""
    found = run(lambda f: f.Find(ROOT, "cup"))
    assert isinstance(found.value, Clip)
    assert found.value.grid_ids == tuple(range(5, 32))
    assert found.value.crops[0] == (0, 0, 40, 40)
    assert found.value.crops[-1] == (190, 0, 230, 40)
    assert [s.score for s in found.sightings[:5]] == [0.9] * 5


def test_find_in_a_crop_looks_inside_the_crop_only() -> None:
    """A second Find keeps sightings whose centre lies in the crop, in pixels of the whole frame."""

    async def twice(functions: Functions) -> Evidence:
        """Look in the near corner."""
        near = ROOT.model_copy(update={"crops": ((0, 0, 100, 100),) * 32})
        return await functions.Find(near, "cup")

    found = run(twice)
    assert isinstance(found.value, Clip)
    assert found.value.grid_ids == tuple(range(5, 10))


def test_nothing_found_is_empty_and_never_the_whole_clip() -> None:
    """An object that is never seen, or an action that never happens, leaves an empty clip."""
    for use in (
        lambda f: f.Find(ROOT, "dog"),
        lambda f: f.Filter_frames_with_obj(ROOT, "dog"),
        lambda f: f.Filter_frames_with_act(ROOT, "x"),
    ):
        value = run(use, moments=()).value
        assert isinstance(value, Clip)
        assert value.num_frames == 0


def test_an_action_keeps_the_best_moment_and_a_list_narrows_in_turn() -> None:
    """Windows count positions of the clip asked about; a list of actions is applied one after another."""
    once = run(lambda f: f.Filter_frames_with_act(ROOT, "x")).value
    twice = run(lambda f: f.Filter_frames_with_act(ROOT, ["x", "y"])).value
    assert isinstance(once, Clip)
    assert isinstance(twice, Clip)
    assert once.grid_ids == (2, 3, 4, 7)
    assert twice.grid_ids == (4, 7)


def test_count_is_the_most_that_one_frame_shows() -> None:
    """Two cups in a frame make two, whatever other frames show."""
    counted = run(lambda f: f.Count(ROOT, "cup"))
    assert (counted.value, len(counted.sightings)) == (2, 2)


def test_exist_needs_a_sighting_and_a_yes() -> None:
    """A thing that was detected exists if the video model confirms it on the crops."""
    assert run(lambda f: f.exist(ROOT, "cup")).value is True
    assert run(lambda f: f.exist(ROOT, "dog")).value is False
    refuted = run(lambda f: f.exist(ROOT, "cup"), answer=lambda _: VideoAnswer(texts=("no",)))
    assert refuted.value is False
    assert refuted.notes == ("the video model says no to: is this cup?",)


@pytest.mark.parametrize(
    "use",
    [
        lambda f: f.Query_Objs(EMPTY, "x"),
        lambda f: f.Query_Actions(EMPTY),
        lambda f: f.Video_query(EMPTY, "x"),
        lambda f: f.Video_summary(EMPTY),
        lambda f: f.Video_caption(EMPTY),
    ],
)
def test_questions_about_no_frames_raise(use: Callable[[Functions], Awaitable[Evidence]]) -> None:
    """Asking about an empty clip is an error that the program can catch."""
    with pytest.raises(EmptyClip):
        run(use)


def test_looking_at_no_frames_finds_nothing() -> None:
    """Filters and Find of an empty clip are empty, exist is False and Count 0."""
    for name in ("Find", "Filter_frames_with_obj", "Filter_frames_with_act"):
        value = run(lambda f, name=name: getattr(f, name)(EMPTY, "cup")).value
        assert isinstance(value, Clip)
        assert value.num_frames == 0
    assert run(lambda f: f.exist(EMPTY, "cup")).value is False
    assert run(lambda f: f.Count(EMPTY, "cup")).value == 0


def test_a_models_error_is_raised_to_the_caller() -> None:
    """A request that a model could not answer becomes an error of the call, with its kind."""
    with pytest.raises(ToolFailed, match="too long") as caught:
        run(
            lambda f: f.Video_query(ROOT, "x"),
            answer=lambda _: ToolError(kind="bad-request", message="too long"),
        )
    assert caught.value.error.kind == "bad-request"


def test_selection_and_comparison_abstain_as_empty_text_and_false() -> None:
    """No supported option is an empty answer; comparing asks whether one text supports the other."""
    assert run(lambda f: f.select_answer("q", {}, ["a", "b"])).value == ""
    assert run(lambda f: f.select_answer("q", {"x": "a"}, ["a", "b"])).value == "a"
    assert run(lambda f: f.Compare("a", "b")).value is True


@given(
    st.lists(st.integers(0, 31), unique=True).map(sorted),
    st.one_of(st.none(), st.integers(-5, 40)),
    st.one_of(st.none(), st.integers(-5, 40)),
)
def test_trim_keeps_ids_from_start_up_to_end(ids: list[int], start: int | None, end: int | None) -> None:
    """Trimming is the plain filter start <= id < end, open where a border is left out."""
    kept = trim(ROOT.model_copy(update={"grid_ids": tuple(ids)}), start, end).grid_ids
    low, high = -100 if start is None else start, 100 if end is None else end
    assert kept == tuple(i for i in ids if low <= i < high)


def test_an_oracle_of_the_future_beside_a_model_of_pixels_is_refused() -> None:
    """A model that reads pixels cannot see past the question's end, so the two are refused by name."""
    camera = ScriptedDetector(cup)
    camera.reads_pixels = True
    models = Models(camera, None, None, ScriptedSelector(lambda _: Choice(text=None)))
    with ThreadPoolExecutor(1) as device:
        backbone = Backbone(Cache(1000), Device(device), lambda _: None, 16)
        with pytest.raises(IncompatibleModels, match=r"oracle.future=true beside scripted/detector"):
            Toolbox(ORACLE, models, Places.all_at(backbone))
        past = ORACLE.model_copy(update={"oracle": ORACLE.oracle.model_copy(update={"future": False})})
        assert Toolbox(past, models, Places.all_at(backbone)).reads_graphs
