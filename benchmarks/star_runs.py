"""Whole runs as benchmark scores: a planner against STAR's own programs, and what replacing one tool costs.

Settles the settings of such runs and takes their examples; runs nothing itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from aotd.agent.config import JudgeConfig, PlannerConfig, RunConfig, WriterConfig
from aotd.benchmarks.executor import execute
from aotd.benchmarks.star import StarItem
from aotd.benchmarks.star_scores import Score, Tally, tally
from aotd.tools.config import OracleConfig, SelectorConfig
from aotd.tools.config_vision import OracleKind
from aotd.traces.outcomes import RIGHT
from aotd.traces.records import Example

__all__ = ["ORACLES", "Swap", "bound_score", "decomposition_config", "only", "run_score", "swap_configs"]

ORACLES = "all oracles"
"""The run that others of the study are held against."""


class Swap(NamedTuple):
    """A run of the study, by what in it is not the oracle."""

    tool: str
    config: RunConfig


def only(config: RunConfig, roles: Collection[str], videos: str | None) -> RunConfig:
    """Keep the models of some roles and their videos; oracles answer elsewhere, and see no future."""
    kept = {role: getattr(config, role) for role in roles}
    source = config.source.model_copy(update={"videos": videos})
    return _oracles(config, future=False).model_copy(update={**kept, "source": source})


def decomposition_config(config: RunConfig, *, selector: bool, videos: bool) -> RunConfig:
    """Keep the planner, and let the annotation answer every call, as STAR's own programs see it.

    Parameters
    ----------
    selector
        Let the configured selector choose the answer, not a rule.
    videos
        Open the videos: only they tell the frames per second of some. Without them none can be missing.
    """
    changes: dict[str, object] = {"planner": config.planner}
    if selector:
        changes |= {"selector": config.selector, "embedder": config.embedder}
    if not videos:
        changes["source"] = config.source.model_copy(update={"videos": None})
    return _oracles(config, future=True).model_copy(update=changes)


def swap_configs(config: RunConfig) -> list[Swap]:
    """List the runs of the study: oracles everywhere, then each configured tool in its place.

    Where several tools of perception differ from oracles they are also replaced together, and where planner
    and perception do, all are. No oracle sees past a question's end here, since the tools that replace them
    do not either.
    """
    base = _oracles(config, future=False)
    perception = {role: getattr(config, role) for role in ("detector", "grounder", "video_model")}
    choosing: dict[str, object] = {"selector": config.selector, "embedder": config.embedder}
    tools: dict[str, dict[str, object]] = {
        "planner": {"planner": config.planner},
        **{role.replace("_", " "): {role: model} for role, model in perception.items()},
        "perception (the three)": perception,
        "selector": choosing,
        "everything": {"planner": config.planner, **perception, **choosing},
    }
    swaps = [Swap(ORACLES, base)]
    for tool, change in tools.items():
        swapped = base.model_copy(update=change)
        if all(swapped != known.config for known in swaps):
            swaps.append(Swap(tool, swapped))
    return swaps


def _oracles(config: RunConfig, *, future: bool) -> RunConfig:
    oracle = OracleKind(kind="oracle")
    return config.model_copy(
        update={
            "detector": oracle,
            "grounder": oracle,
            "video_model": oracle,
            "selector": SelectorConfig(kind="rule"),
            "embedder": None,
            "planner": PlannerConfig(kind="grammar"),
            "writer": WriterConfig(kind="template"),
            "judge": JudgeConfig(kind="none"),
            "oracle": OracleConfig(future=future),
        }
    )


def run_score(examples: Sequence[Example]) -> Score:
    """Score a run's answers, with the outcomes that it ended in."""
    right = [100.0 * (example.outcome in RIGHT) for example in examples]
    kinds = [example.question.type or "" for example in examples]
    outcomes = Counter(e.outcome.value for e in examples if e.outcome not in RIGHT)
    return _accuracy(right, kinds, [e.question.video_id for e in examples], outcomes)


def bound_score(items: Sequence[StarItem]) -> Score:
    """Score STAR's own programs under the corrected executor.

    Raises
    ------
    ValueError
        If a question has no graph or no programs.
    """
    right = [100.0 * execute(item).solved for item in items]
    kinds = [item.question.type or "" for item in items]
    return _accuracy(right, kinds, [item.question.video_id for item in items], {})


def _accuracy(
    right: Sequence[float], kinds: Sequence[str], videos: Sequence[str], outcomes: Mapping[str, int]
) -> Score:
    score = tally(Tally("accuracy", right, kinds, videos, {}, outcomes))
    if not score.by:
        return score
    return score.model_copy(update={"more": {"mean of types": sum(score.by.values()) / len(score.by)}})
