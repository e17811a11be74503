"""From a preset, a config file and `key=value` words to the settings of a run.

Later sources win: preset, then file, then words. Unknown keys are errors that name the nearest known one.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from aotd.agent.config import RunConfig
from aotd.cli.errors import UsageError

__all__ = ["load_config", "preset_names"]


def preset_names() -> list[str]:
    """Names of the presets that come with the package."""
    folder = resources.files("aotd.agent") / "presets"
    return sorted(p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith(".yaml"))


def load_config(
    preset: str | None, file: Path | None, words: Sequence[str], source: dict[str, Any]
) -> RunConfig:
    """Merge the sources into checked settings.

    Raises
    ------
    UsageError
        Naming the preset, file or key that is wrong and what would be right.
    """
    if preset is None and file is None:
        raise UsageError(f"no settings: give --preset ({', '.join(preset_names())}) or --config FILE")
    merged: dict[str, Any] = {}
    if preset is not None:
        merged = _preset(preset)
    if file is not None:
        merged = _merge(merged, _read(file))
    for word in words:
        merged = _merge(merged, _word(word))
    merged = _merge(merged, {"source": {k: v for k, v in source.items() if v is not None}})
    return check_config(merged)


def check_config(settings: dict[str, Any]) -> RunConfig:
    """Check merged settings; errors name the key."""
    try:
        return RunConfig.model_validate(settings)
    except ValidationError as error:
        raise UsageError(_explain(error)) from None


def _preset(name: str) -> dict[str, Any]:
    if name not in preset_names():
        raise UsageError(f"unknown preset {name!r}: the presets are {', '.join(preset_names())}")
    text = (resources.files("aotd.agent") / "presets" / f"{name}.yaml").read_text(encoding="utf-8")
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def _read(file: Path) -> dict[str, Any]:
    try:
        loaded = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read config {file}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"config {file} is not YAML: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(loaded, dict):
        raise UsageError(f"config {file} holds no settings: expected `key: value` lines")
    return loaded


def _word(word: str) -> dict[str, Any]:
    key, equals, text = word.partition("=")
    if not equals or not key:
        raise UsageError(f"{word!r} is not a setting: write key=value, such as oracle.future=false")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise UsageError(f"the value of {key} is not YAML: {text!r}") from None
    for part in reversed(key.split(".")):
        value = {part: value}
    settings: dict[str, Any] = value
    return settings


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        known = merged.get(key)
        merged[key] = _merge(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return merged


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    key = ".".join(place)
    if first["type"] == "extra_forbidden":
        known = _known_keys(place[:-1])
        near = difflib.get_close_matches(place[-1], known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
        return f"unknown setting {key}: {hint}"
    if first["type"] == "missing":
        return f"setting {key} is missing: start from a preset ({', '.join(preset_names())}) or set it"
    return f"setting {key}={first['input']!r}: {first['msg'][:1].lower()}{first['msg'][1:]}"


def _known_keys(path: Sequence[str]) -> list[str]:
    model: type[BaseModel] = RunConfig
    for part in path:
        annotation = model.model_fields[part].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return list(model.model_fields)
