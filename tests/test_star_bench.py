"""The STAR tool benchmark: oracles reach their bound, answers are kept, the study swaps one tool."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from aotd.agent.config import RunConfig
from aotd.agent.pipeline import Item
from aotd.agent.prepare import Fault
from aotd.benchmarks.bench_plots import write_plots
from aotd.benchmarks.bench_table import markdown, rows, text
from aotd.benchmarks.star import load_star
from aotd.benchmarks.star_bench import (
    ORACLE,
    PAPER,
    ROLES,
    Answers,
    BenchResult,
    Subtask,
    Units,
    ask,
    count_faults,
    gather,
    oracle_answers,
    score_units,
    unit_rows,
)
from aotd.benchmarks.star_runs import ORACLES, bound_score, decomposition_config, only, swap_configs
from aotd.benchmarks.star_scores import Score, against
from aotd.benchmarks.star_units import QuestionUnits, Switches, units_of
from aotd.tools.batching import Backbone
from aotd.tools.build import Models, Places, Toolbox
from aotd.tools.cache import Cache
from aotd.tools.device import Devices
from aotd.tools.models import (
    Detection,
    DetectRequest,
    GroundRequest,
    Moment,
    ToolError,
    VideoAnswer,
    VideoRequest,
)
from aotd.tools.retries import ModelDown
from aotd.tools.scripted import ScriptedDetector, ScriptedGrounder, ScriptedVideoModel
from aotd.tools.selector import RuleSelector
from aotd.traces.call_index import CallIndex
from aotd.traces.runs import Run, new_manifest
from aotd.world.build import write_annotation

UNITS: tuple[Subtask, ...] = tuple(ROLES)
CONFIG = RunConfig.model_validate({role: {"kind": "oracle"} for role in set(ROLES.values())})


def made(annotations: Path, switches: Switches | None = None) -> list[QuestionUnits | Fault]:
    """Units of all questions of a file, without videos."""
    items = [Item(one.question, one.graph) for one in load_star(annotations)]
    return [units_of(item, None, switches or Switches()) for item in items]


def collected(annotations: Path, switches: Switches | None = None) -> Units:
    """The same, each once."""
    return gather([m for m in made(annotations, switches) if isinstance(m, QuestionUnits)], UNITS)


def oracle_scores(units: Units, switches: Switches | None = None) -> dict[Subtask, dict[str, Score]]:
    """Oracles beside trivial answers."""
    answers = oracle_answers(units)
    return score_units(units, {name: {ORACLE: answers} for name in UNITS}, switches or Switches())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Annotation of three episodes of the household world."""
    return write_annotation(tmp_path_factory.mktemp("world"), clips=3)


@pytest.mark.parametrize(
    ("name", "sizes", "qa", "whole"),
    [
        ("star_full_graphs.json", (395, 13, 13, 76), 63, 69.5),
        ("star_thinned_graphs.json", (87, 5, 5, 12), 8, 42.5),
    ],
)
def test_oracles_reach_the_bound_on_star(
    data: Path, name: str, sizes: tuple[int, ...], qa: int, whole: float
) -> None:
    """On published annotation: detection, overlap and recall are 100; questions about the future are not."""
    units = collected(data / "star" / name)
    assert tuple(map(len, units)) == sizes
    found = oracle_scores(units)
    assert found["detection"][ORACLE].mean == 100
    assert (found["grounding"][ORACLE].mean, found["grounding"][ORACLE].more["recall"]) == (100, 100)
    assert sum(value > 0 for value in found["qa"][ORACLE].values) == qa
    assert found["qa"][ORACLE].by["Interaction"] == 100
    clip = found["grounding"]["whole clip"]
    assert (round(clip.mean, 1), clip.more["recall"]) == (whole, 100)
    assert found["action"][ORACLE].more["lenient"] >= found["action"][ORACLE].mean


def test_programs_of_star_are_the_bound(data: Path) -> None:
    """The corrected executor solves 72 of 76 and 8 of 12."""
    for name, solved in (("star_full_graphs.json", 72), ("star_thinned_graphs.json", 8)):
        score = bound_score(load_star(data / "star" / name))
        assert sum(value > 0 for value in score.values) == solved


@pytest.mark.parametrize("names", ["whole", "parts"])
@pytest.mark.parametrize("frames", ["exact", "grid"])
def test_oracles_reach_the_bound_under_every_choice(world: Path, names: str, frames: str) -> None:
    """Whatever is asked, the annotation answers it; grounding may lose where frames repeat on the grid."""
    switches = Switches.model_validate({"names": names, "frames": frames, "objects": "all", "events": "all"})
    found = oracle_scores(collected(world, switches), switches)
    assert found["detection"][ORACLE].mean == 100
    assert found["grounding"][ORACLE].more["recall"] == 100
    assert found["grounding"][ORACLE].mean > 99


def box(request: DetectRequest) -> tuple[Detection, ...]:
    """Answer any frame with one box."""
    return (Detection(name=request.names[0], box=(0, 0, 100, 100), score=0.5),)


def early(request: GroundRequest) -> tuple[Moment, ...]:
    """Answer any text with the first half."""
    return (Moment(windows=((0, 16),), score=0.5),)


def guess(request: VideoRequest) -> VideoAnswer:
    """Answer with the first option, or with two actions."""
    return VideoAnswer(texts=request.options[:1] if request.options else ("open the door", "eat"))


def refuse(request: object) -> ToolError:
    """Fail the test: nothing may be asked."""
    raise AssertionError(f"was asked {request}")


class Bench:
    """Models behind fronts with a run folder, as the command has them; each call is a new process' worth."""

    def __init__(self, folder: Path) -> None:
        self.run = Run.create(
            folder, {}, new_manifest("x", models={}, prompts={}, seeds={}, annotation=None, counts={})
        )
        self.detector = ScriptedDetector(box)
        self.grounder = ScriptedGrounder(early)
        self.video_model = ScriptedVideoModel(guess)

    def ask(self, units: Units, subtasks: Sequence[Subtask], done: Callable[[], object] = int) -> Answers:
        """Ask with what the folder holds."""
        models = Models(self.detector, self.grounder, self.video_model, RuleSelector())
        with self.run.writer() as writer, CallIndex.open(self.run.folder) as index, Devices() as devices:
            backbone = Backbone(Cache(1_000_000, index), devices.of("cpu"), writer.call, 8, patience=0)
            toolbox = Toolbox(CONFIG, models, Places.all_at(backbone))
            return asyncio.run(ask(units, toolbox, subtasks, done))

    def scores(self, units: Units, switches: Switches, answers: Answers) -> str:
        """All figures and rows as text."""
        systems = {name: {"it": answers} for name in UNITS}
        found = score_units(units, systems, switches)
        lines = [json.dumps(row) for row in unit_rows(units, systems, found)]
        return "\n".join([str(found), *lines])


def test_a_second_call_asks_no_model_and_gives_the_same(world: Path, tmp_path: Path) -> None:
    """Answers are found in the journal, also under another rule of matching; nothing is added to it."""
    units = collected(world)
    bench = Bench(tmp_path / "units")
    ticks: list[int] = []
    first = bench.ask(units, UNITS, lambda: ticks.append(1))
    assert len(ticks) == sum(map(len, units))
    journal = (tmp_path / "units" / "calls.jsonl").read_bytes()
    before = bench.scores(units, Switches(), first)
    bench.detector, bench.grounder = ScriptedDetector(refuse), ScriptedGrounder(refuse)
    bench.video_model = ScriptedVideoModel(refuse)
    again = bench.ask(units, UNITS)
    assert bench.scores(units, Switches(), again) == before
    assert bench.scores(units, Switches(match="class-name"), again) != before
    assert (tmp_path / "units" / "calls.jsonl").read_bytes() == journal


def test_only_what_is_new_is_asked(world: Path, tmp_path: Path) -> None:
    """More units than before ask for the new ones alone, in batches; a part of the sub-tasks asks less."""
    bench = Bench(tmp_path / "units")
    few, all_of_them = collected(world), collected(world, Switches(objects="all"))
    bench.ask(few, ["detection"])
    assert sum(bench.detector.batches) == len(few.detection)
    assert max(bench.detector.batches) == 8
    assert not bench.grounder.batches
    bench.ask(all_of_them, ["detection"])
    assert sum(bench.detector.batches) == len(all_of_them.detection) > len(few.detection)


def test_a_model_that_is_down_stops_the_benchmark(world: Path, tmp_path: Path) -> None:
    """It is no miss: the call ends, and what was answered is kept for the next."""
    bench = Bench(tmp_path / "units")
    bench.grounder = ScriptedGrounder(lambda _: ToolError(kind="gone", message="no", retryable=True))
    with pytest.raises(ModelDown):
        bench.ask(collected(world), ["grounding"])


def result_of(found: dict[Subtask, dict[str, Score]]) -> BenchResult:
    """A result to be shown."""
    return BenchResult(
        command="aotd bench star a|b", settings={}, switches=Switches(), seed=3, questions=9,
        faults={"missing-video": 2}, models={"detector": "owl"}, labels=("made up",), subtasks=found,
    )  # fmt: skip


def test_the_table_shows_every_system_and_labels_the_papers_figure(world: Path) -> None:
    """Each sub-task: systems, trivial answers, then the paper's row; switches and command are told."""
    found = oracle_scores(collected(world))
    found["qa"]["other"] = against(found["qa"][ORACLE], ORACLE, found["qa"][ORACLE])
    result = result_of(found)
    told = [(row.subtask, row.system) for row in rows(result)]
    assert [system for subtask, system in told if subtask == "grounding"] == [
        ORACLE, "whole clip", "centre half", f"for reference: {PAPER['grounding'].system}",
    ]  # fmt: skip
    page = markdown(result)
    assert "aotd bench star a|b" in page
    assert "**made up**" in page
    assert "missing-video: 2" in page
    assert all(f"`bench.{name}={value}`" in page for name, value in Switches().model_dump().items())
    assert "recall 35.3, another sample, not comparable" in page
    assert "McNemar p = 1" in page
    table = [line for line in page.splitlines() if line.startswith("| ")]
    assert {line.replace("\\|", "").count("|") for line in table} == {6}
    assert max(map(len, text(result, 80).splitlines())) < 150
    assert BenchResult.model_validate_json(result.model_dump_json()) == result


def test_plots_are_written(world: Path, tmp_path: Path) -> None:
    """One picture for each thing to be seen, of a size that can be read."""
    pytest.importorskip("matplotlib")
    from PIL import Image

    found = oracle_scores(collected(world))
    found["swap"] = {
        ORACLES: found["qa"][ORACLE],
        "planner": against(found["qa"][ORACLE], ORACLES, found["qa"][ORACLE]),
    }
    written = write_plots(result_of(found), tmp_path)
    assert {path.name for path in written} == {
        "detection_iou.png", "grounding_iou.png", "detection_classes.png", "qa_types.png", "swap.png",
    }  # fmt: skip
    for path in written:
        with Image.open(path) as image:
            assert image.width >= 1000
            assert len(image.convert("RGB").getcolors(1 << 20) or []) > 10


def test_questions_without_units_are_counted(world: Path) -> None:
    """A fault is counted by its outcome; images that lack are counted too."""
    (one, *_) = made(world)
    assert isinstance(one, QuestionUnits)
    fault = units_of(Item(one.scene.question, None), None, Switches())
    assert isinstance(fault, Fault)
    assert count_faults([one, fault, one._replace(without_image=3)]) == {
        "bad-annotation": 1,
        "key frames without an image": 3,
    }


PIXELS = RunConfig.model_validate(
    {
        "detector": {"kind": "owl"},
        "grounder": {"kind": "univtg"},
        "video_model": {"kind": "transformers"},
        "selector": {"kind": "llm"},
        "planner": {"kind": "llm"},
        "writer": {"kind": "llm"},
        "judge": {"kind": "llm"},
        "oracle": {"future": False},
        "source": {"annotations": "a.json", "videos": "v"},
    }
)


def differing(config: RunConfig, base: RunConfig) -> set[str]:
    """Names of settings in which two runs differ."""
    return {name for name in type(config).model_fields if getattr(config, name) != getattr(base, name)}


def test_the_study_replaces_one_tool_at_a_time() -> None:
    """From oracles everywhere; then the three of perception together, then all; no oracle sees the future."""
    base, *others = swap_configs(PIXELS)
    assert base.tool == ORACLES
    assert {swap.tool: differing(swap.config, base.config) for swap in others} == {
        "planner": {"planner"},
        "detector": {"detector"},
        "grounder": {"grounder"},
        "video model": {"video_model"},
        "perception (the three)": {"detector", "grounder", "video_model"},
        "selector": {"selector"},
        "everything": {"planner", "detector", "grounder", "video_model", "selector"},
    }
    assert not any(swap.config.oracle.future for swap in [base, *others])
    assert (base.config.writer.kind, base.config.judge.kind) == ("template", "none")


def test_a_study_of_one_tool_has_no_joint_runs() -> None:
    """Runs that would be the same as another are left out."""
    one = PIXELS.model_copy(update={"planner": CONFIG.planner, "selector": CONFIG.selector})
    one = one.model_copy(update={"grounder": CONFIG.grounder, "video_model": CONFIG.video_model})
    assert [swap.tool for swap in swap_configs(one)] == [ORACLES, "detector"]
    assert [swap.tool for swap in swap_configs(CONFIG)] == [ORACLES]


def test_the_decomposition_keeps_the_planner_alone() -> None:
    """Oracles that see the future answer; the selector is a rule unless it is asked for."""
    (base, *_) = swap_configs(PIXELS)
    kept = decomposition_config(PIXELS, selector=False, videos=True)
    assert differing(kept, base.config) == {"planner", "oracle"}
    assert kept.oracle.future
    chosen = decomposition_config(PIXELS, selector=True, videos=False)
    assert differing(chosen, kept) == {"selector", "source"}
    assert chosen.source.videos is None


def test_a_pass_loads_the_models_of_its_own_sub_tasks() -> None:
    """Roles that are not asked are oracles, which load nothing."""
    config = only(PIXELS, ["detector"], "images")
    assert (config.detector.kind, config.grounder.kind, config.video_model.kind) == (
        "owl",
        "oracle",
        "oracle",
    )
    assert (config.planner.kind, config.selector.kind, config.source.videos) == ("grammar", "rule", "images")
