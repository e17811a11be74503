"""Where a checkpoint lies on this machine: a folder, a snapshot of a hub repository, or with aotd itself.

Settles the folder and the exact revision before anything is loaded, so that a run says what it used. What is
missing is downloaded where the hub can be reached, and named together with the command that fetches it where
not. Loads no weights and imports neither torch nor transformers.
"""

from __future__ import annotations

import hashlib
import json
from importlib import resources
from pathlib import Path
from typing import Final, NamedTuple

__all__ = [
    "EMBEDDED",
    "MARK",
    "Checkpoint",
    "CheckpointMissing",
    "fetch_checkpoint",
    "find_checkpoint",
    "local_file",
]

MARK: Final = "aotd_random_weights.json"
"""Marks a folder without weights: they are made up, from the seed that the mark names."""

WANTED: Final = ("*.json", "*.txt", "*.model", "*.jinja", "*.safetensors", "*.tiktoken")
"""Files that are downloaded: configuration, tokenizer and weights that hold no code."""

EMBEDDED: Final = "embedded:"
"""Begins the names of the small models that come with aotd: `embedded:detector`."""

_PICKLED: Final = ("pytorch_model*.bin", "pytorch_model.bin.index.json")

_TOLD: Final = frozenset({".md", ".csv"})
"""Files of a folder that tell of a model and are no part of it."""


class CheckpointMissing(ValueError):
    """A checkpoint is neither in a folder nor in the hub's cache; says which and what fetches it."""


class Checkpoint(NamedTuple):
    """A folder that `from_pretrained` takes."""

    folder: Path
    id: str
    """The hub repository, or the folder's name; it begins with `random/` when the weights are made up."""
    revision: str
    """The hub's commit, or a fingerprint of the folder."""
    seed: int | None = None
    """Weights are made up from this seed."""


def find_checkpoint(weights: str, revision: str | None = None, *, download: bool = True) -> Checkpoint:
    """Find a checkpoint, downloading it where it is missing and the hub can be reached.

    Parameters
    ----------
    weights
        A folder, a hub repository such as `google/owlv2-base-patch16-ensemble`, or an embedded model such as
        `embedded:detector`.
    revision
        Branch, tag or commit of the repository; of no meaning for a folder.
    download
        False looks on this machine only.

    Raises
    ------
    CheckpointMissing
        If it is nowhere to be had.
    """
    if weights.startswith(EMBEDDED):
        return _embedded(weights)
    folder = Path(weights).expanduser()
    if folder.is_dir():
        return _local(folder)
    if weights.startswith((".", "/", "~")) or weights.count("/") != 1:
        raise CheckpointMissing(
            f"{weights} is no folder: give a folder with config.json, or a hub repository"
        )
    return _snapshot(weights, revision, download=download)


def fetch_checkpoint(weights: str, revision: str | None = None) -> Checkpoint:
    """Bring a checkpoint up to date from the hub; errors as `find_checkpoint`."""
    folder = Path(weights).expanduser()
    if folder.is_dir() or weights.startswith(EMBEDDED):
        return find_checkpoint(weights)
    return _snapshot(weights, revision, download=True, fresh=True)


def local_file(path: str, what: str, mend: str) -> Path:
    """Give a file that must exist, such as `embedded:grounder/model.safetensors` of an embedded model.

    Raises
    ------
    CheckpointMissing
        Naming the file, what it is and how to come by it.
    """
    file = _shipped(path) if path.startswith(EMBEDDED) else Path(path).expanduser()
    if not path or not file.is_file():
        raise CheckpointMissing(f"{what}: {f'no file {path}' if path else 'no file is set'}; {mend}")
    return file


def _shipped(name: str) -> Path:
    """Give the place of an embedded model, or of a file of one."""
    return Path(str(resources.files("aotd.tools") / "weights" / name.removeprefix(EMBEDDED)))


def _embedded(name: str) -> Checkpoint:
    folder = _shipped(name)
    if not (folder / "config.json").is_file():
        known = sorted(found.parent.name for found in folder.parent.glob("*/config.json"))
        raise CheckpointMissing(
            f"{name} is no model that comes with aotd: those are {', '.join(EMBEDDED + k for k in known)}"
        )
    return Checkpoint(folder, name, _fingerprint(folder))


def _local(folder: Path) -> Checkpoint:
    mark = folder / MARK
    if mark.is_file():
        made = json.loads(mark.read_text(encoding="utf-8"))
        return Checkpoint(folder, f"random/{made['name']}", _fingerprint(folder), int(made["seed"]))
    if not any(folder.glob("*config.json")):
        raise CheckpointMissing(f"folder {folder} holds no config.json: give the folder of a checkpoint")
    return Checkpoint(folder, folder.resolve().name, _fingerprint(folder))


def _fingerprint(folder: Path) -> str:
    """Hash small files by content and large ones by name and size: reading gigabytes would take minutes.

    A card or a curve decides no answer, and is left out.
    """
    digest = hashlib.sha256()
    files = (p for p in folder.rglob("*") if p.is_file() and p.suffix not in _TOLD)
    for file in sorted(p for p in files if ".cache" not in p.parts):
        size = file.stat().st_size
        digest.update(f"{file.relative_to(folder).as_posix()}\n{size}\n".encode())
        if size < 1 << 22:
            digest.update(file.read_bytes())
    return f"local-{digest.hexdigest()[:16]}"


def _snapshot(weights: str, revision: str | None, *, download: bool, fresh: bool = False) -> Checkpoint:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    at = f"{weights}@{revision}" if revision else weights
    if not fresh:
        try:
            folder = Path(snapshot_download(weights, revision=revision, local_files_only=True))
            if _complete(folder):
                return Checkpoint(folder, weights, folder.name)
        except (LocalEntryNotFoundError, OfflineModeIsEnabled):
            pass
    fetch = f"`aotd models fetch {at}`"
    if not download:
        raise CheckpointMissing(f"{at} is not on this machine (config, tokenizer, weights): {fetch}")
    try:
        folder = Path(snapshot_download(weights, revision=revision, allow_patterns=list(WANTED)))
        if not _complete(
            folder
        ):  # some repositories have nothing but pickles, which are read as tensors only
            folder = Path(snapshot_download(weights, revision=revision, allow_patterns=[*WANTED, *_PICKLED]))
    except RepositoryNotFoundError:
        raise CheckpointMissing(f"the hub has no repository {weights}, or it wants HF_TOKEN") from None
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, OSError) as error:
        raise CheckpointMissing(
            f"{at} is not on this machine (config, tokenizer, weights) and the hub cannot be reached: run "
            f"{fetch} where it can, or set a local folder ({type(error).__name__})"
        ) from None
    return Checkpoint(folder, weights, folder.name)


def _complete(folder: Path) -> bool:
    """Tell whether a snapshot holds all parts of its weights: a download may have been cut short."""
    index = next(folder.glob("*.safetensors.index.json"), None)
    if index is None:
        return any(folder.glob("*.safetensors")) or any(folder.glob("*.bin"))
    parts = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    return all((folder / part).exists() for part in parts)
