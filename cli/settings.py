"""From a preset, a config file and `key=value` words to the settings of a run.

Later sources win: preset, then file, then words. Unknown keys are errors that name the nearest known one.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, get_args

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
    preset: str | None,
    file: Path | None,
    words: Sequence[str],
    source: dict[str, Any],
    fake_weights: str | None = None,
) -> RunConfig:
    """Merge the sources into checked settings.

    Parameters
    ----------
    preset, file, words
        What is set, later ones over earlier ones.
    source
        The questions and their videos, over everything.
    fake_weights
        `small` or `full`, for weights that are made up; small ones run on the CPU unless something else is
        set.

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
    if fake_weights is not None:
        merged |= {"random_weights": fake_weights} | ({"device": "cpu"} if fake_weights == "small" else {})
    if file is not None:
        merged = _merge(merged, _read(file))
    merged = _merge(merged, _gather(words))
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


def _gather(words: Sequence[str]) -> dict[str, Any]:
    """Put `a.b=value` words together, whatever their order."""
    settings: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key:
            raise UsageError(f"{word!r} is not a setting: write key=value, such as oracle.future=false")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            raise UsageError(f"the value of {key} is not YAML: {text!r}") from None
        *path, last = key.split(".")
        place = settings
        for part in path:
            if not isinstance(place.get(part), dict):
                place[part] = {}
            place = place[part]
        known = place.get(last)
        place[last] = {**known, **value} if isinstance(known, dict) and isinstance(value, dict) else value
    return settings


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Lay settings over others; where a model of another kind is named, nothing of the old one stays."""
    other_kind = "kind" in over and over["kind"] != base.get("kind")
    merged = {} if other_kind else dict(base)
    for key, value in over.items():
        known = merged.get(key)
        merged[key] = _merge(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return merged


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    key = ".".join(_spoken(place))
    if first["type"] == "extra_forbidden":
        known = _known_keys(place[:-1])
        near = difflib.get_close_matches(place[-1], known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
        return f"unknown setting {key}: {hint}"
    if first["type"] in ("union_tag_invalid", "union_tag_not_found"):
        kinds = ", ".join(_kinds(place))
        return f"setting {key}.kind must be one of: {kinds}"
    if first["type"] == "missing":
        return f"setting {key} is missing: start from a preset ({', '.join(preset_names())}) or set it"
    return f"setting {key}={first['input']!r}: {first['msg'][:1].lower()}{first['msg'][1:]}"


def _spoken(place: Sequence[str]) -> list[str]:
    """Leave out of a place the names of kinds, which pydantic puts into it and nobody writes."""
    spoken: list[str] = []
    models: tuple[type[BaseModel], ...] = (RunConfig,)
    for part in place:
        if len(models) > 1 and part in _tags(models):
            models = _tags(models)[part]
            continue
        spoken.append(part)
        models = _models_of(models, part)
    return spoken


def _known_keys(place: Sequence[str]) -> list[str]:
    models = _models_at(place)
    return list(dict.fromkeys(name for model in models for name in model.model_fields))


def _kinds(place: Sequence[str]) -> list[str]:
    return list(_tags(_models_at(place)))


def _models_at(place: Sequence[str]) -> tuple[type[BaseModel], ...]:
    models: tuple[type[BaseModel], ...] = (RunConfig,)
    for part in place:
        tags = _tags(models)
        models = tags[part] if len(models) > 1 and part in tags else _models_of(models, part)
    return models


def _models_of(models: Sequence[type[BaseModel]], field: str) -> tuple[type[BaseModel], ...]:
    """Give the records that a field may hold."""
    holders = (model for model in models if field in model.model_fields)
    annotations = [model.model_fields[field].annotation for model in holders]
    return tuple(dict.fromkeys(found for a in annotations for found in _records(a)))


def _records(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _records(part)


def _tags(models: Sequence[type[BaseModel]]) -> dict[str, tuple[type[BaseModel], ...]]:
    """Give records by the kinds they stand for."""
    fields = ((model, model.model_fields.get("kind")) for model in models)
    kinds = [(model, kind) for model, f in fields if f is not None for kind in get_args(f.annotation)]
    return {kind: tuple(m for m, k in kinds if k == kind) for _, kind in kinds}
