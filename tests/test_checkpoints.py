"""Where checkpoints are looked for, and what is said when they are not there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aotd.tools.checkpoints import CheckpointMissing, find_checkpoint, local_file

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def cached(cache: Path, *, files: dict[str, str]) -> Path:
    """Lay a snapshot into a hub cache as the hub's own client lays it."""
    repository = cache / "models--org--name"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    for name, text in files.items():
        (snapshot / name).write_text(text)
    return snapshot


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache, and no way to the hub."""
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path


def test_a_local_folder_is_named_and_fingerprinted(tmp_path: Path) -> None:
    """A folder goes by its name, and its fingerprint changes with what is in it."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    before = find_checkpoint(str(folder))
    assert (before.id, before.folder, before.seed) == ("mine", folder, None)
    assert find_checkpoint(str(folder)).revision == before.revision
    (folder / "config.json").write_text('{"a": 1}')
    assert find_checkpoint(str(folder)).revision != before.revision


def test_a_folder_without_a_configuration_is_no_checkpoint(tmp_path: Path) -> None:
    """An empty folder is refused by name."""
    with pytest.raises(CheckpointMissing, match=r"holds no config\.json"):
        find_checkpoint(str(tmp_path))


@pytest.mark.parametrize("weights", ["/nowhere/at/all", "./x", "three/part/name", "word"])
def test_what_is_neither_folder_nor_repository_is_refused(weights: str) -> None:
    """A path that does not exist is not taken for a hub repository."""
    with pytest.raises(CheckpointMissing, match="is no folder"):
        find_checkpoint(weights)


def test_a_cached_snapshot_is_known_by_its_commit(cache: Path) -> None:
    """A repository in the hub's cache is found without the hub, under the commit that it was fetched at."""
    snapshot = cached(cache, files={"config.json": "{}", "model.safetensors": "x"})
    found = find_checkpoint("org/name", download=False)
    assert (found.folder, found.id, found.revision) == (snapshot, "org/name", COMMIT)


def test_a_snapshot_that_lacks_a_part_of_its_weights_counts_as_missing(cache: Path) -> None:
    """A download that was cut short is not taken for a checkpoint."""
    index = json.dumps({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}})
    cached(
        cache,
        files={"config.json": "{}", "model.safetensors.index.json": index, "model-1.safetensors": "x"},
    )
    with pytest.raises(CheckpointMissing, match="aotd models fetch org/name"):
        find_checkpoint("org/name", download=False)


def test_offline_the_error_names_the_repository_and_the_command_that_fetches_it(cache: Path) -> None:
    """Without the hub, what is missing and how to get it stand in one line."""
    with pytest.raises(CheckpointMissing) as told:
        find_checkpoint("org/other", "v2")
    assert "org/other@v2 is not on this machine (config, tokenizer, weights)" in str(told.value)
    assert "aotd models fetch org/other@v2" in str(told.value)
    assert "\n" not in str(told.value)
    assert not list(cache.rglob("*.safetensors"))


def test_a_file_that_must_be_there_is_asked_for_with_its_mend(tmp_path: Path) -> None:
    """A missing file is named with what it is and how to come by it."""
    with pytest.raises(CheckpointMissing, match=r"UniVTG: no file /no\.ckpt; fetch it"):
        local_file("/no.ckpt", "UniVTG", "fetch it")
    with pytest.raises(CheckpointMissing, match="no file is set"):
        local_file("", "UniVTG", "fetch it")
    (tmp_path / "a.ckpt").touch()
    assert local_file(str(tmp_path / "a.ckpt"), "UniVTG", "fetch it") == tmp_path / "a.ckpt"
