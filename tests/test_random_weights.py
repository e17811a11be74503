"""Models with made-up weights: true classes, the same on every machine, saved and loaded like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aotd.tools.architectures import FULL, SMALL, Family
from aotd.tools.catalogue import PUBLISHED
from aotd.tools.checkpoints import find_checkpoint
from aotd.tools.loading import UnusableCheckpoint, load_model, load_part
from aotd.tools.random_parts import BUILD
from aotd.tools.random_weights import write_random
from aotd.tools.torchvision_cpu import mend_torchvision

mend_torchvision()
torch = pytest.importorskip("torch")
hf = pytest.importorskip("transformers")


def auto(family: Family) -> Any:
    """The class that loads a family."""
    if family in ("owlv2", "grounding-dino"):
        return hf.AutoModelForZeroShotObjectDetection
    if family in ("clip", "xlm-roberta"):
        return hf.AutoModel
    return hf.AutoModelForImageTextToText if SMALL[family].vision else hf.AutoModelForCausalLM


@pytest.mark.parametrize("family", SMALL)
def test_made_up_weights_are_the_same_from_the_same_seed(family: Family, tmp_path: Path) -> None:
    """Two folders of one seed hold the same files and give the same weights; another seed gives others."""
    made = [write_random("some/model", family, "small", seed, tmp_path / str(n)) for n, seed in
            enumerate((0, 0, 1))]  # fmt: skip
    first, again, other = (find_checkpoint(str(folder)) for folder in made)
    assert first.id.startswith("random/")
    assert first.revision == again.revision != other.revision
    weights = [load_model(auto(family), c, "float32", "cpu").state_dict() for c in (first, again, other)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not all(torch.equal(weights[0][name], weights[2][name]) for name in weights[0])


@pytest.mark.parametrize("family", SMALL)
def test_a_saved_model_loads_from_its_folder_as_it_was(family: Family, tmp_path: Path) -> None:
    """Saved with its processor and loaded again by the same path, a model has the same weights."""
    made = find_checkpoint(str(write_random("some/model", family, "small", 0, tmp_path)))
    model = load_model(auto(family), made, "float32", "cpu")
    saved = tmp_path / "saved"
    model.save_pretrained(saved)
    vision = bool(SMALL[family].vision)
    load_part(hf.AutoProcessor if vision else hf.AutoTokenizer, made).save_pretrained(saved)
    found = find_checkpoint(str(saved))
    assert (found.id, found.seed) == ("saved", None)
    loaded = load_model(auto(family), found, "float32", "cpu").state_dict()
    assert all(torch.equal(weight, loaded[name]) for name, weight in model.state_dict().items())


def test_a_checkpoint_that_lacks_weights_is_refused_by_their_names(tmp_path: Path) -> None:
    """Weights that the class needs and the file has not are named in one line."""
    from safetensors.torch import load_file, save_file

    made = find_checkpoint(str(write_random("some/model", "llama", "small", 0, tmp_path)))
    saved = tmp_path / "saved"
    load_model(hf.AutoModelForCausalLM, made, "float32", "cpu").save_pretrained(saved)
    weights = load_file(saved / "model.safetensors")
    del weights["model.layers.0.mlp.up_proj.weight"]
    save_file(weights, saved / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UnusableCheckpoint, match=r"lacks model\.layers\.0\.mlp\.up_proj\.weight"):
        load_model(hf.AutoModelForCausalLM, find_checkpoint(str(saved)), "float32", "cpu")


def test_a_checkpoint_of_another_kind_is_refused(tmp_path: Path) -> None:
    """A language model's folder is no detector, and the error names the folder."""
    made = find_checkpoint(str(write_random("some/model", "llama", "small", 0, tmp_path)))
    saved = tmp_path / "saved"
    load_model(hf.AutoModelForCausalLM, made, "float32", "cpu").save_pretrained(saved)
    with pytest.raises(UnusableCheckpoint, match=str(saved)):
        load_model(hf.AutoModelForZeroShotObjectDetection, find_checkpoint(str(saved)), "float32", "cpu")


@pytest.mark.parametrize("device", ["cuda:99", "nonsense"])
def test_a_device_that_is_not_here_is_named(device: str, tmp_path: Path) -> None:
    """A device that this machine has not is refused before anything is loaded."""
    made = find_checkpoint(str(write_random("some/model", "llama", "small", 0, tmp_path)))
    with pytest.raises(UnusableCheckpoint, match=device):
        load_model(hf.AutoModelForCausalLM, made, "float32", device)


@pytest.mark.parametrize("weights", FULL)
def test_the_true_shape_has_as_many_parameters_as_the_published_checkpoint(weights: str) -> None:
    """Built without memory from its shape, a model has the number of parameters that is listed for it."""
    shape = FULL[weights]
    config, _ = BUILD[shape.family](shape)
    with torch.device("meta"):
        model = auto(shape.family).from_config(config)
    millions = sum(weight.numel() for weight in model.parameters()) / 1e6
    assert millions == pytest.approx(PUBLISHED[weights].millions, abs=0.06)
