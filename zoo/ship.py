"""Put finished models where the package finds them: weights, processor, curve and card, and nothing else.

Trains and measures nothing.
"""

from __future__ import annotations

import json
import shutil
from importlib import resources
from pathlib import Path
from typing import Final

__all__ = ["MODELS", "ship"]

MODELS: Final = ("detector", "clip", "grounder", "events", "planner")
"""In the order of their training: later ones read earlier ones."""

_MOST_BYTES: Final = 25_000_000
"""Of all models together."""


def ship(home: Path) -> list[str]:
    """Copy the models that were trained under `home` into the package.

    Parameters
    ----------
    home
        Holds `NAME/model/` and `NAME/curve.csv` for each model; one that is missing stays as it was shipped.

    Returns
    -------
    list of str
        A line for each model, and the sum of all.

    Raises
    ------
    ValueError
        If the models would be too large together.
    """
    place = Path(str(resources.files("aotd.tools") / "weights"))
    made = [name for name in MODELS if (home / name / "model").is_dir()]
    sizes = {name: _size((home / name / "model") if name in made else place / name) for name in MODELS}
    whole = sum(sizes.values())
    if whole > _MOST_BYTES:
        raise ValueError(
            f"the models take {whole / 1e6:.1f} MB together: {_MOST_BYTES / 1e6:.0f} are allowed"
        )
    for name in made:
        _replace(home / name / "model", home / name / "curve.csv", place / name)
    unchanged = {name: "" if name in made else " (unchanged)" for name in MODELS}
    lines = [f"{name}: {size / 1e6:.2f} MB{unchanged[name]}" for name, size in sizes.items()]
    return [*lines, f"together: {whole / 1e6:.2f} MB"]


def _replace(made: Path, curve: Path, place: Path) -> None:
    """Take a model's files; its card, which is written by hand, stays."""
    place.mkdir(parents=True, exist_ok=True)
    for old in place.iterdir():
        if old.name != "README.md":
            old.unlink()
    for file in sorted(made.iterdir()):
        if file.suffix == ".json":  # without blanks, and without where it was made
            read = json.loads(file.read_text(encoding="utf-8"))
            if isinstance(read, dict):
                read.pop("_name_or_path", None)
            (place / file.name).write_text(json.dumps(read, indent=1) + "\n", encoding="utf-8")
        else:
            shutil.copyfile(file, place / file.name)
    shutil.copyfile(curve, place / "curve.csv")


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
