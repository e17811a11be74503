"""The ledger of memory: what is counted, and what is refused before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from aotd.cli.settings import load_config
from aotd.tools.checkpoints import find_checkpoint
from aotd.tools.loading import load_model
from aotd.tools.memory import Need, NotEnoughMemory, check_memory, free_memory, needs
from aotd.tools.random_weights import write_random


def test_the_paper_preset_is_counted_model_by_model() -> None:
    """Each model of the preset takes its parameters times their width, and a fifth more."""
    config = load_config("paper", None, [], {})
    found = {need.role: need for need in needs(config, config.text_roles)}
    assert set(found) == {
        "detector", "grounder", "features", "video model", "planner", "selector, comparer, writer, judge",
    }  # fmt: skip
    assert found["planner"].bytes == pytest.approx(6.7405e9 * 2 * 1.2, rel=1e-3)
    assert found["video model"].bytes == pytest.approx(7.0634e9 * 2 * 1.2, rel=1e-3)
    assert {need.device for need in found.values()} == {"cuda:0"}


def test_models_are_placed_where_their_settings_say() -> None:
    """A model's own device goes before the run's."""
    config = load_config("paper", None, ["text.planner.device=cuda:1", "device=cuda:3"], {})
    places = {need.role: need.device for need in needs(config, config.text_roles)}
    assert places["planner"] == "cuda:1"
    assert places["detector"] == "cuda:3"


def test_a_local_checkpoint_is_counted_from_its_files(tmp_path: Path) -> None:
    """A folder's parameters are read from the heads of its files."""
    transformers = pytest.importorskip("transformers")
    made = find_checkpoint(str(write_random("some/model", "owlv2", "small", 0, tmp_path)))
    model = load_model(transformers.AutoModelForZeroShotObjectDetection, made, "float32", "cpu")
    model.save_pretrained(tmp_path / "saved")
    words = ["detector.kind=owl", f"detector.weights={tmp_path / 'saved'}", "device=cpu"]
    (need,) = needs(load_config("oracle", None, words, {}), ())
    count = sum(weight.numel() for weight in model.parameters())
    assert need.bytes == pytest.approx(count * 4 * 1.2, rel=0.01)


def test_a_device_that_cannot_hold_its_models_is_refused_with_their_names() -> None:
    """More than the free memory is refused in one line that names device, models and the mend."""
    free = free_memory("cpu")
    assert free
    check_memory([Need("detector", "small", "cpu", 1)])
    with pytest.raises(NotEnoughMemory, match=r"cpu has .* free .*planner big .*place some on another"):
        check_memory([Need("planner", "big", "cpu", 2 * free), Need("judge", "unknown", "cpu", None)])


def test_shares_of_one_device_may_not_exceed_it() -> None:
    """Two vLLM models that want 60 % each do not fit on one device."""
    with pytest.raises(NotEnoughMemory, match=r"add up to 1\.2"):
        check_memory([Need("planner", "a", "cpu", None, 0.6), Need("judge", "b", "cpu", None, 0.6)])
