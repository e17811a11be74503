"""The shipped small models: what is in the package, and a slice of their measurement on the test split."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest
from safetensors import safe_open

from aotd.tools.checkpoints import CheckpointMissing, find_checkpoint, local_file
from aotd.world.build import write_annotation
from aotd.zoo.quality import FLOORS, Figure, below, is_unfinished, measure
from aotd.zoo.ship import MODELS, ship
from tests.conftest import Aotd

WEIGHTS = Path(str(resources.files("aotd.tools") / "weights"))

CLIPS = 5
SLICE = {
    "planning": 90,
    "detection, objects": 60,
    "grounding": 45,
    "action": 60,
    "one-hop questions": 60,
    "whole agent": 60,
    "chains kept": 60,
    "planted faults refused": 99,
}
"""Floors of a slice: lower than `FLOORS`, since five clips say less than seventy."""


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Figure]:
    """Measure the shipped models on the first clips of the test split."""
    return measure(tmp_path_factory.mktemp("quality"), clips=CLIPS, tell=lambda _: None)


@pytest.mark.timeout(600)
def test_the_shipped_models_see(figures: dict[str, Figure]) -> None:
    """Every sub-task and the whole agent are above floors on clips that no model was trained on."""
    assert below(figures, SLICE) == []


@pytest.mark.timeout(600)
def test_the_shipped_models_beat_trivial_answers(figures: dict[str, Figure]) -> None:
    """Each tool alone is far above mean boxes, whole clips, frequent actions and blind answers."""
    for name in ("detection, objects", "grounding", "action", "one-hop questions"):
        assert figures[name].beside, name
        assert figures[name].margin > 10, (name, figures[name])


def test_floors_are_compared_by_value_and_by_margin() -> None:
    """A figure below its floor, or too close to the best trivial answer, is named with both numbers."""
    figures = {"a": Figure(50.0, 10, {"blind": 45.0, "chance": 25.0}), "b": Figure(80.0, 10)}
    assert below(figures, {"a": 50, "a, margin": 5, "b": 80, "b, margin": 80}) == []
    assert below(figures, {"a": 51, "a, margin": 6}) == [
        "a is 50.0, at least 51 is wanted",
        "a, margin is 5.0, at least 6 is wanted",
    ]


def test_a_measurement_that_ended_is_not_taken_for_a_new_one(tmp_path: Path) -> None:
    """Only a stopped one of as many clips is gone on with; a folder of other files is left as it is."""
    assert not is_unfinished(tmp_path / "none", 5)
    (tmp_path / ".aotd-quality").write_text("5\n")
    assert is_unfinished(tmp_path, 5)
    assert not is_unfinished(tmp_path, 6)
    (tmp_path / "quality.json").write_text("{}")
    assert not is_unfinished(tmp_path, 5)
    other = tmp_path / "home/quality"
    other.mkdir(parents=True)
    (other / "thesis.tex").touch()
    command = [sys.executable, "-m", "aotd.zoo", "quality", "--home", str(tmp_path / "home")]
    told = subprocess.run(command, capture_output=True, text=True)
    assert told.returncode == 2
    assert told.stderr == f"aotd.zoo: {other} holds other files: give another --home\n"
    assert [file.name for file in other.iterdir()] == ["thesis.tex"]


def test_floors_name_figures_that_are_measured(figures: dict[str, Figure]) -> None:
    """No floor is of a figure that does not exist."""
    assert {name.removesuffix(", margin") for name in FLOORS} <= set(figures)
    assert FLOORS


@pytest.mark.parametrize("name", MODELS)
def test_a_shipped_model_comes_with_card_and_curve(name: str) -> None:
    """Each has half-precision weights, a card that says data, recipe, scores and limits, and its curve."""
    card = (WEIGHTS / name / "README.md").read_text(encoding="utf-8")
    assert all(f"**{part}**" in card for part in ("Data", "Recipe", "Scores", "Limits"))
    with safe_open(WEIGHTS / name / "model.safetensors", "pt") as opened:
        assert {opened.get_slice(key).get_dtype() for key in opened.keys()} == {"F16"}  # noqa: SIM118 (no dict)
    with (WEIGHTS / name / "curve.csv").open(encoding="utf-8") as opened_curve:
        steps = [float(row["step"]) for row in csv.DictReader(opened_curve)]
    assert steps == sorted(steps)
    assert len(steps) >= 3


def test_the_shipped_models_are_small() -> None:
    """All of them together take at most 25 MB."""
    assert sum(file.stat().st_size for file in WEIGHTS.rglob("*") if file.is_file()) <= 25_000_000


def test_an_embedded_model_is_found_by_its_name() -> None:
    """`embedded:NAME` is a checkpoint like any other; an unknown name lists those there are."""
    found = find_checkpoint("embedded:detector")
    assert (found.id, found.folder) == ("embedded:detector", WEIGHTS / "detector")
    assert found.revision.startswith("local-")
    assert local_file("embedded:grounder/model.safetensors", "UniVTG", "").is_file()
    with pytest.raises(CheckpointMissing, match=r"no model that comes with aotd.*embedded:planner"):
        find_checkpoint("embedded:oracle")
    with pytest.raises(CheckpointMissing, match="no file embedded:grounder/other"):
        local_file("embedded:grounder/other.safetensors", "UniVTG", "set it")


def test_too_large_models_are_not_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Models that are too large together are refused, with their size, and the package stays as it was."""
    before = sorted((file, file.stat().st_mtime_ns) for file in WEIGHTS.rglob("*"))
    (tmp_path / "planner/model").mkdir(parents=True)
    (tmp_path / "planner/curve.csv").write_text("step\n1\n")
    (tmp_path / "planner/model/model.safetensors").write_bytes(bytes(26_000_000))
    with pytest.raises(ValueError, match=r"MB together: 25 are allowed"):
        ship(tmp_path)
    assert sorted((file, file.stat().st_mtime_ns) for file in WEIGHTS.rglob("*")) == before


def test_shipping_nothing_changes_nothing(tmp_path: Path) -> None:
    """`python -m aotd.zoo ship` tells the size of every model; those that were not trained anew stay."""
    command = [sys.executable, "-m", "aotd.zoo", "ship", "--home", str(tmp_path)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line.split(":")[0] for line in told] == [*MODELS, "together"]
    assert all(line.endswith("(unchanged)") for line in told[:-1])


def test_the_presets_models_are_listed_without_being_loaded(aotd: Aotd) -> None:
    """`aotd models list demo` says of every embedded model that it is here, and its licence."""
    code, out, _ = aotd("models", "list", "demo")
    assert code == 0
    for name in ("detector", "clip", "grounder", "events", "planner"):
        assert f"embedded:{name}" in out
    assert "no " not in [line.split("  ")[2] for line in out.splitlines()[1:6]]
    assert out.count("Apache-2.0") >= 5


@pytest.mark.timeout(600)
def test_the_planner_plans_more_questions_than_fit_a_batch(aotd: Aotd, tmp_path: Path) -> None:
    """`aotd plan` with a model in this process goes on after its first batch; nearly all programs pass."""
    world = write_annotation(tmp_path / "world", clips=32, seed=1400)
    code, out, _ = aotd("plan", "star", world, "--preset", "demo", "--out", tmp_path / "planned.jsonl")
    assert code == 0
    rows = [json.loads(line) for line in (tmp_path / "planned.jsonl").read_text().splitlines()]
    assert len(rows) > 256
    assert sum(row["ok"] for row in rows) >= 0.95 * len(rows), out


@pytest.mark.timeout(600)
def test_the_demo_answers_from_pixels(aotd: Aotd, tmp_path: Path) -> None:
    """The demo with the embedded models writes rows, chains and a page for each question, and says so."""
    code, out, _ = aotd("demo", "--out", tmp_path / "demo", "--clips", 1)
    assert code == 0
    assert "small models look at the pixels" in out
    pages = list((tmp_path / "demo/run/view/pages").glob("*.html"))
    rows = (tmp_path / "demo/canonical.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(pages) >= 5
    assert len(rows) >= 1
