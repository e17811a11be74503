"""Compose a pipeline from a run's settings, by hand: planner, tools, sandbox, writer.

The threads and processes live as long as the `with` block. Loads no questions and writes no file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from aotd.agent.config import PlannerConfig, RunConfig
from aotd.agent.grammar import GrammarPlanner
from aotd.agent.pipeline import Pipeline
from aotd.agent.plan import Planner, RecordedPlanner
from aotd.agent.prepare import Places
from aotd.agent.run import Runner
from aotd.agent.sandbox.host import Sandbox
from aotd.agent.write import TemplateWriter
from aotd.tools.batching import Backbone
from aotd.tools.build import Models, Toolbox
from aotd.tools.cache import Cache
from aotd.traces.records import Provenance
from aotd.traces.runs import ModelCall

__all__ = ["engine", "make_planner"]


def make_planner(config: PlannerConfig) -> Planner:
    """Make the configured planner.

    Raises
    ------
    ValueError
        If recorded programs are wanted and the file is not named, cannot be read or is malformed.
    """
    if config.kind == "grammar":
        return GrammarPlanner()
    if config.path is None:
        raise ValueError("planner.kind=recorded needs planner.path=FILE, a JSONL of question_id and source")
    try:
        return RecordedPlanner(Path(config.path))
    except OSError as error:
        raise ValueError(f"cannot read recorded programs {config.path}: {error.strerror}") from None


@contextmanager
def engine(
    config: RunConfig,
    planner: Planner,
    cache: Cache,
    record: Callable[[ModelCall], None],
    models: Models | None = None,
) -> Iterator[Pipeline]:
    """Compose the pipeline of a run.

    Parameters
    ----------
    config
        The run's settings.
    planner
        Writes the programs.
    cache
        Model answers that are known already.
    record
        Takes every new model answer to the journal.
    models
        Models to use instead of the configured ones.
    """
    with (
        Sandbox(config.sandbox, workers=config.workers) as sandbox,
        ThreadPoolExecutor(config.workers, "sandbox") as threads,
        ThreadPoolExecutor(1, "device") as device,
    ):
        writer = TemplateWriter()
        toolbox = Toolbox(config, Backbone(cache, device, record, config.functions.batch_items), models)
        source = config.source
        roles = {**toolbox.identities(), "planner": planner.identity, "writer": writer.identity}
        yield Pipeline(
            planner=planner,
            toolbox=toolbox,
            runner=Runner(sandbox, threads),
            writer=writer,
            places=Places(Path(source.videos) if source.videos else None, Path(source.annotations).parent),
            provenance=Provenance(run=config.digest, models=roles),
            future=toolbox.reads_graphs and config.oracle.future,
            allow_future=config.allow_future,
            live_programs=config.live_programs,
        )
