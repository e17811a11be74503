"""`aotd bench star`: how good each tool is on its own, with ground truth for all steps before it."""

from __future__ import annotations

import asyncio
import json
import shlex
import shutil
import sys
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from pydantic import ValidationError
from tqdm import tqdm

from aotd.agent.config import RunConfig
from aotd.agent.grammar import template_of
from aotd.agent.pipeline import Item, Pipeline
from aotd.agent.prepare import Fault
from aotd.benchmarks.annotation import AnnotationError
from aotd.benchmarks.bench_table import markdown, text
from aotd.benchmarks.draw import draw
from aotd.benchmarks.star import StarItem, load_star
from aotd.benchmarks.star_bench import (
    ORACLE,
    ROLES,
    SUBTASKS,
    Answers,
    BenchResult,
    Subtask,
    Units,
    ask,
    count_faults,
    frames_of,
    gather,
    oracle_answers,
    score_units,
    unit_rows,
)
from aotd.benchmarks.star_runs import (
    ORACLES,
    bound_score,
    decomposition_config,
    only,
    run_score,
    swap_configs,
)
from aotd.benchmarks.star_scores import Score, against
from aotd.benchmarks.star_units import QuestionUnits, Switches, picture_units_of, units_of
from aotd.cli.bench_runs import folder_of, whole_run
from aotd.cli.errors import UsageError
from aotd.cli.execution import composed
from aotd.cli.questions import load_items
from aotd.cli.settings import load_config
from aotd.tools.cache import Cache
from aotd.traces.call_index import CallIndex

__all__ = ["bench"]

PREFIX = "bench."
"""Words that begin so are choices of the benchmark, not settings of a run."""


class _Job(NamedTuple):
    """What is to be measured."""

    config: RunConfig
    switches: Switches
    items: list[Item]
    keyframes: Path | None
    out: Path
    seed: int


class _Asked(NamedTuple):
    """What came of units."""

    units: Units
    systems: dict[Subtask, dict[str, Answers]]
    faults: dict[str, int]
    models: dict[str, str]


def bench(
    dataset: Annotated[str, typer.Argument(help="star")],
    annotations: Annotated[Path, typer.Argument(help="STAR's release JSON, with situation graphs")],
    settings: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Settings, and choices such as bench.events=all"),
    ] = None,
    subtask: Annotated[
        str, typer.Option(help=f"all (but swap), or some of {', '.join(SUBTASKS)}, joined by commas")
    ] = "all",
    out: Annotated[Path, typer.Option(help="Folder of the result; an unfinished one is gone on with")] = Path(
        "bench"
    ),
    videos: Annotated[Path | None, typer.Option(help="Folder of videos; without it none is opened")] = None,
    keyframes: Annotated[
        Path | None, typer.Option(help="Folder of QUESTION/KEYFRAME.png, for detection on these images")
    ] = None,
    fps: Annotated[Path | None, typer.Option(help='JSON file {"VIDEO.mp4": frames per second}')] = None,
    preset: Annotated[str | None, typer.Option(help="Settings that come with aotd")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of settings, over the preset")] = None,
    n: Annotated[
        int | None, typer.Option("--n", min=1, help="Questions, drawn evenly from STAR's templates")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the draw")] = 0,
    fake_weights: Annotated[
        str | None, typer.Option(help="small or full: made-up weights, to try everything")
    ] = None,
) -> None:
    """Measure each tool on STAR by itself, beside oracles, trivial answers and the paper's figures.

    Answers are kept under --out: another call with the same settings asks only what is new.

    Example: aotd bench star STAR_train.json --videos Charades_v1_480 --preset paper --n 1000 --out bench
    """
    if dataset != "star":
        raise UsageError(f"unknown dataset {dataset!r}: the tool benchmark is for star")
    chosen = _subtasks(subtask)
    source = {
        "dataset": "star",
        "annotations": str(annotations.resolve()),
        "videos": str(videos.resolve()) if videos else None,
        "fps": str(fps.resolve()) if fps else None,
    }
    ours = [word for word in settings or [] if word.startswith(PREFIX)]
    words = [word for word in settings or [] if word not in ours]
    settled = load_config(preset, config, words, source, fake_weights)
    switches = _switches(ours)
    _check_folders(switches, videos, keyframes)
    items = draw(_with_graphs(settled), n, seed, lambda item: template_of(item.question.text))
    _run(_Job(settled, switches, items, keyframes and keyframes.resolve(), out, seed), chosen)


def _check_folders(switches: Switches, videos: Path | None, keyframes: Path | None) -> None:
    if keyframes is not None and not keyframes.is_dir():
        raise UsageError(f"--keyframes {keyframes} is no folder: give one of QUESTION/KEYFRAME.png")
    if switches.input == "full_video" and videos is None:
        raise UsageError("bench.input=full_video shows whole videos: give --videos DIR with VIDEO.mp4 files")


def _run(job: _Job, chosen: Sequence[Subtask]) -> None:
    try:
        result, units = _measure(job, chosen)
    except KeyboardInterrupt:
        print("aotd: what was answered is kept; the same command goes on", file=sys.stderr)
        raise
    _write(result, units, job.out)
    _show(result, job.out)


def _with_graphs(config: RunConfig) -> list[Item]:
    """Load the questions; the benchmark is made of their situation graphs."""
    items = load_items(config)
    lacking = next((item.question.id for item in items if item.graph is None), None)
    if lacking is not None:
        raise UsageError(
            f"{config.source.annotations}: {lacking} has no situation graph: the tool benchmark needs STAR's "
            "release JSON (train or val)"
        )
    return items


def _subtasks(text: str) -> list[Subtask]:
    words = [word.strip() for word in text.split(",")]
    if "all" in words:
        words = [word for word in words if word != "all"] + [name for name in SUBTASKS if name != "swap"]
    unknown = [word for word in words if word not in SUBTASKS]
    if unknown:
        raise UsageError(f"unknown sub-task {', '.join(unknown)!r}: known are all, {', '.join(SUBTASKS)}")
    return [name for name in SUBTASKS if name in words]


def _switches(words: Sequence[str]) -> Switches:
    pairs = [word.removeprefix(PREFIX).partition("=") for word in words]
    try:
        return Switches.model_validate({key: value for key, _, value in pairs})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        if key not in Switches.model_fields:
            known = ", ".join(f"{PREFIX}{name}" for name in Switches.model_fields)
            raise UsageError(f"unknown choice {PREFIX}{key}: known are {known}") from None
        told = first["msg"].removeprefix("Input should be ")
        raise UsageError(f"{PREFIX}{key}={first['input']}: must be {told}") from None


def _measure(job: _Job, chosen: Sequence[Subtask]) -> tuple[BenchResult, list[dict[str, object]]]:
    found: dict[Subtask, dict[str, Score]] = {}
    asked = [name for name in chosen if name in ROLES]
    answered = _Asked(Units(), {}, {}, {})
    models = {"planner": job.config.planner.kind} if {"decomposition", "swap"} & set(chosen) else {}
    if "decomposition" in chosen:
        found["decomposition"] = _decomposition(job)
    units: list[dict[str, object]] = []
    if asked:
        answered = _units(job, asked)
        scored = score_units(answered.units, answered.systems, job.switches)
        units = [dict(row) for row in unit_rows(answered.units, answered.systems, scored)]
        found |= scored
    if "swap" in chosen:
        found["swap"] = _swaps(job)
    result = BenchResult(
        command=shlex.join(["aotd", *sys.argv[1:]]),
        settings=job.config.model_dump(mode="json"),
        switches=job.switches,
        seed=job.seed,
        questions=len(job.items),
        faults=answered.faults,
        models={**models, **answered.models},
        labels=tuple(_labels(job, chosen, found)),
        subtasks={name: found[name] for name in SUBTASKS if name in found},
    )
    return result, units


def _labels(job: _Job, chosen: Sequence[Subtask], found: Collection[Subtask]) -> list[str]:
    labels = [f"{name}: there is nothing to ask in this sample" for name in chosen if name not in found]
    if job.config.random_weights:
        labels.insert(0, "weights are made up: these figures say nothing about any model")
    return labels


def _decomposition(job: _Job) -> dict[str, Score]:
    """Score the planner under oracles that see the future, as STAR's own programs do."""
    configured = job.switches.selector == "configured"
    timed = all(item.question.fps and item.question.span for item in job.items)
    config = decomposition_config(job.config, selector=configured, videos=not timed)
    folder = job.out / ("decomposition-selector" if configured else "decomposition")
    score = run_score(whole_run(config, job.items, folder, "decomposition"))
    name = f"planner {job.config.planner.kind}, oracle tools, future visible"
    try:
        bound = bound_score(_star_items(job))
    except ValueError:
        return {name: score}  # there are graphs, but no programs
    bound_name = "STAR's own programs (bound), future visible"
    return {name: against(score, "the bound", bound), bound_name: bound}


def _star_items(job: _Job) -> list[StarItem]:
    source = job.config.source
    try:
        loaded = load_star(Path(source.annotations), fps_file=Path(source.fps) if source.fps else None)
    except AnnotationError as error:
        raise UsageError(str(error)) from None
    by_id = {item.question.id: item for item in loaded}
    return [by_id[item.question.id] for item in job.items]


def _units(job: _Job, subtasks: Sequence[Subtask]) -> _Asked:
    """Ask the tools their units, those on images of key frames in a pass of their own."""
    videos = job.config.source.videos
    pictured = ["detection"] if job.keyframes and "detection" in subtasks else []
    rest = [name for name in subtasks if name not in pictured]
    asked = _Asked(Units(), {}, {}, {})
    if rest:
        library = videos
        asked = _pass(
            job, rest, library, lambda item, pipeline: units_of(item, pipeline.library, job.switches)
        )
    if pictured:
        seen = _pass(job, ["detection"], str(job.keyframes), _pictures(job.switches))
        asked = _Asked(
            asked.units._replace(detection=seen.units.detection),
            seen.systems | asked.systems,
            asked.faults | {f"{what} (images)": count for what, count in seen.faults.items()},
            seen.models | asked.models,
        )
    return asked


def _pictures(switches: Switches) -> Callable[[Item, Pipeline], QuestionUnits | Fault]:
    def make(item: Item, pipeline: Pipeline) -> QuestionUnits | Fault:
        if pipeline.library is None:
            raise ValueError("images need a folder")
        return picture_units_of(item, pipeline.library, switches)

    return make


def _pass(
    job: _Job,
    subtasks: Sequence[Subtask],
    videos: str | None,
    make: Callable[[Item, Pipeline], QuestionUnits | Fault],
) -> _Asked:
    """Make units of one kind of picture and ask them; answers of an earlier call are found again."""
    roles = dict.fromkeys(ROLES[name] for name in subtasks)
    config = only(job.config, roles, videos)
    asked = [name for name in subtasks if getattr(config, ROLES[name]).kind != "oracle"]
    run = folder_of(config, job.config.digest, job.out / "units", len(job.items))
    with (
        run.writer() as writer,
        CallIndex.open(run.folder) as index,
        composed(config, Cache(config.functions.cache_mb * 1_000_000, index), writer.call) as pipeline,
        ThreadPoolExecutor(config.workers) as threads,
    ):
        made = list(
            tqdm(
                threads.map(lambda item: make(item, pipeline), job.items),
                desc="questions",
                total=len(job.items),
                unit="q",
                file=sys.stderr,
                ncols=100,
            )
        )
        units = gather([q for q in made if isinstance(q, QuestionUnits)], subtasks)
        answers = _ask(units, pipeline, asked)
        models: dict[str, str] = {role: pipeline.toolbox.identities()[role] for role in roles}
    oracle = oracle_answers(units)
    systems = {
        name: {**({models[ROLES[name]]: answers} if name in asked else {}), ORACLE: oracle}
        for name in subtasks
    }
    return _Asked(units, systems, count_faults(made), models)


def _ask(units: Units, pipeline: Pipeline, asked: Sequence[Subtask]) -> Answers:
    if not asked:
        return Answers()
    if pipeline.frames is not None:
        for video, indices in frames_of(units).items():
            pipeline.frames.expect(video, indices)
    sizes = {
        "detection": len(units.detection),
        "grounding": len(units.events),
        "action": len(units.actions),
        "qa": len(units.qa),
    }
    total = sum(sizes[name] for name in asked)
    with tqdm(desc="units", total=total, unit="u", file=sys.stderr, ncols=100) as bar:
        answers = asyncio.run(ask(units, pipeline.toolbox, asked, bar.update))
    for trouble in pipeline.toolbox.troubles():
        print(f"aotd: {trouble}", file=sys.stderr)
    return answers


def _swaps(job: _Job) -> dict[str, Score]:
    scores: dict[str, Score] = {}
    for swap in swap_configs(job.config):
        folder = job.out / "swap" / swap.tool.replace(" ", "-")
        score = run_score(whole_run(swap.config, job.items, folder, f"swap, {swap.tool}"))
        base = scores.get(ORACLES)
        scores[swap.tool] = score if base is None else against(score, ORACLES, base)
    return scores


def _write(result: BenchResult, units: Sequence[dict[str, object]], out: Path) -> None:
    try:
        (out / "results.json").write_text(json.dumps(result.model_dump(mode="json"), indent=1) + "\n")
        (out / "table.md").write_text(markdown(result), encoding="utf-8")
        if units:
            (out / "units.jsonl").write_text("".join(json.dumps(row) + "\n" for row in units))
    except OSError as error:
        raise UsageError(f"cannot write into {out}: {error.strerror}") from None


def _show(result: BenchResult, out: Path) -> None:
    print(text(result, shutil.get_terminal_size().columns))
    for label in result.labels:
        print(label)
    if result.faults:
        print("lacking:", ", ".join(f"{what} {count}" for what, count in result.faults.items()))
    written = [out / "results.json", out / "table.md"]
    written += [out / "units.jsonl"] if set(result.subtasks) & set(ROLES) else []
    try:
        from aotd.benchmarks.bench_plots import write_plots

        written += write_plots(result, out)
    except ModuleNotFoundError:
        print("no plots: pip install 'aotd[plots]'")
    print("written:", ", ".join(map(str, written)))
