"""How good the shipped models are: every sub-task and the whole agent on the household's test split.

Runs the commands that users run (`aotd bench star`, `aotd generate`, with preset `demo`), sets the answers of
two blind baselines beside them, and fails if a figure is below its floor. A call that was stopped is gone on
with by the same one; after one that ended, everything is asked anew. Trains nothing.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from tqdm import tqdm

from aotd.benchmarks.planted import count_refused
from aotd.benchmarks.star_bench import ORACLE
from aotd.traces.report import Report, report
from aotd.traces.runs import Run
from aotd.world.blind import BLIND, Json, blind_answers, questions
from aotd.world.build import write_world

__all__ = ["FLOORS", "Figure", "check_quality", "is_unfinished", "measure"]

TEST_SEED: Final = 1400
"""Of the first thousand episodes of the test split."""
_BLIND_EPISODES: Final = 700
"""Of the training split, for the blind baselines."""
_MARK: Final = ".aotd-quality"
_RESULT: Final = "quality.json"
_MARGIN: Final = ", margin"

FLOORS: Final[Mapping[str, float]] = {
    "planning": 95,
    "detection, objects": 65,
    "detection, objects, margin": 50,
    "grounding": 60,
    "grounding, margin": 25,
    "action": 72,
    "action, margin": 60,
    "one-hop questions": 75,
    "one-hop questions, margin": 35,
    "whole agent": 73,
    "whole agent: Interaction": 95,
    "whole agent: Sequence": 88,
    "whole agent: Prediction": 72,
    "chains kept": 71,
    "planted faults refused": 99,
}
"""Least values, in per cent or points, on seventy clips of the test split: below what was shipped."""


class Figure(NamedTuple):
    """A measured value, and what trivial answers reach on the same units."""

    value: float
    n: int
    beside: Mapping[str, float] = {}

    @property
    def margin(self) -> float:
        """Points above the best trivial answer."""
        return self.value - max(self.beside.values(), default=0.0)


def check_quality(out: Path, *, clips: int) -> int:
    """Measure on the first clips of the test split, print the figures, and compare them with `FLOORS`.

    Returns
    -------
    int
        0, or 1 if a figure is below its floor.
    """
    if not is_unfinished(out, clips):
        shutil.rmtree(out, ignore_errors=True)
    figures = measure(out, clips=clips, tell=tqdm.write)
    written = {name: figure._asdict() for name, figure in figures.items()}
    (out / _RESULT).write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    low = below(figures, FLOORS)
    for name, figure in figures.items():
        beside = "; ".join(f"{what} {value:.1f}" for what, value in figure.beside.items())
        tqdm.write(f"{name}: {figure.value:.1f} (n={figure.n}){f'  [{beside}]' if beside else ''}")
    for line in low:
        tqdm.write(f"below its floor: {line}")
    tqdm.write(f"written to {out / _RESULT}")
    return 1 if low else 0


def is_unfinished(out: Path, clips: int) -> bool:
    """Tell whether a folder holds a measurement of as many clips that was stopped.

    Raises
    ------
    ValueError
        If it holds other files.
    """
    mark = out / _MARK
    if not mark.is_file():
        if out.is_dir() and any(out.iterdir()):
            raise ValueError(f"{out} holds other files: give another --home")
        return False
    return mark.read_text(encoding="utf-8") == f"{clips}\n" and not (out / _RESULT).is_file()


def below(figures: Mapping[str, Figure], floors: Mapping[str, float]) -> list[str]:
    """Name the figures below their floors; a floor "NAME, margin" is of points above the best baseline."""
    found = []
    for name, floor in floors.items():
        figure = figures[name.removesuffix(_MARGIN)]
        value = figure.margin if name.endswith(_MARGIN) else figure.value
        if value < floor:
            found.append(f"{name} is {value:.1f}, at least {floor:g} is wanted")
    return found


def measure(out: Path, *, clips: int, tell: Callable[[str], None]) -> dict[str, Figure]:
    """Measure the models of preset `demo`, each alone and all together; values are per cent.

    Parameters
    ----------
    out
        Gets the clips, the answers and the results; what is there already is gone on with.
    """
    world = out / "world"
    if not (world / "star.json").is_file():
        out.mkdir(parents=True, exist_ok=True)
        (out / _MARK).write_text(f"{clips}\n", encoding="utf-8")
        tell(f"drawing {clips} clips of the test split")
        write_world(world, clips=clips, seed=TEST_SEED)
    rows: list[Json] = json.loads((world / "star.json").read_text(encoding="utf-8"))
    blind = _blind(rows)
    tools = _bench(world, out / "bench", "all", "bench.events=all")
    direct = _bench(world, out / "direct", "qa", "bench.part=clip")
    examples = _generate(world, out / "run").examples()
    counts = report(examples.values())
    return {
        **_of_tools(tools, blind),
        **_of_agent(counts, direct, blind),
        **_of_faults(count_refused(examples.values(), seed=0)),
    }


def _aotd(*words: str) -> None:
    """Run a command of aotd as a user does."""
    command = [sys.executable, "-c", "from aotd.cli.main import main; main()", *words]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        last = (ended.stderr.strip() or ended.stdout.strip()).splitlines()[-1:]
        raise ValueError(f"aotd {words[0]} ended with {ended.returncode}: {' '.join(last)}")


def _bench(world: Path, out: Path, subtasks: str, *words: str) -> dict[str, Any]:
    source = [str(world / "star.json"), "--videos", str(world / "videos")]
    _aotd("bench", "star", *source, "--preset", "demo", "--subtask", subtasks, "--out", str(out), *words)
    found: dict[str, Any] = json.loads((out / "results.json").read_text(encoding="utf-8"))["subtasks"]
    return found


def _generate(world: Path, out: Path) -> Run:
    if out.exists():
        _aotd("resume", str(out))
    else:
        source = [str(world / "star.json"), "--videos", str(world / "videos")]
        _aotd("generate", "star", *source, "--preset", "demo", "--out", str(out))
    return Run.open(out)


def _blind(rows: Sequence[Json]) -> dict[str, float]:
    """Give the accuracy of the two blind baselines on the questions, in per cent."""
    train = questions("train", _BLIND_EPISODES)
    found = {}
    for name, facts in BLIND.items():
        said = blind_answers(train, rows, facts)
        right = sum(text == row["answer"] for text, row in zip(said, rows, strict=True))
        found[name] = 100 * right / len(rows)
    return found


def _of_tools(found: Mapping[str, Any], blind: Mapping[str, float]) -> dict[str, Figure]:
    """Read the figures of each tool alone: the first system of a sub-task is the model."""
    figures = {}
    for subtask, systems in found.items():
        (_, score), *others = systems.items()
        trivial = [(name, other) for name, other in others if name != ORACLE and "(bound)" not in name]
        beside = {name: other["mean"] for name, other in trivial}
        if subtask == "detection":
            plain = {name: other["more"]["without person"] for name, other in trivial}
            figures["detection, objects"] = Figure(score["more"]["without person"], score["n"], plain)
        elif subtask == "qa":
            figures["one-hop questions"] = Figure(score["mean"], score["n"], {**beside, **blind})
        elif subtask == "decomposition":
            figures["planning"] = Figure(score["mean"], score["n"], beside)
        else:
            figures[subtask] = Figure(score["mean"], score["n"], beside)
    return figures


def _of_agent(counts: Report, direct: Mapping[str, Any], blind: Mapping[str, float]) -> dict[str, Figure]:
    """Read the whole agent's accuracy, beside the video model asked directly, and the chains' yield."""
    (_, asked), *_ = direct["qa"].items()
    funnel = counts.funnel
    figures = {
        "whole agent": Figure(
            100 * funnel.right / counts.questions,
            counts.questions,
            {"video model asked directly": asked["mean"], **blind},
        )
    }
    for kind, of_type in counts.by_type.items():
        beside = {"video model asked directly": asked["by"].get(kind, 0.0)}
        figures[f"whole agent: {kind}"] = Figure(
            100 * of_type.right / of_type.questions, of_type.questions, beside
        )
    for step, count in (("faithful", funnel.faithful), ("complete", funnel.complete), ("kept", funnel.kept)):
        figures[f"chains {step}"] = Figure(100 * count / counts.questions, counts.questions)
    return figures


def _of_faults(counts: Mapping[str, tuple[int, int]]) -> dict[str, Figure]:
    """Give the share of planted faults that the checks refuse, by kind and in all."""
    kinds = {name: Figure(100 * r / p, p) for name, (p, r) in counts.items() if p}
    planted, refused = (sum(count) for count in zip(*counts.values(), strict=True))
    return {**kinds, "planted faults refused": Figure(100 * refused / max(1, planted), planted)}
