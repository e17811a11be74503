"""The command `aotd`: one function per command, registered here.

The only module that turns errors into one line and an exit code; the work is in the modules it names.
"""

from __future__ import annotations

import logging
import sys

import typer

from aotd.agent.sandbox.host import SandboxUnavailable
from aotd.cli import (
    ask,
    bench,
    configuration,
    demo,
    diff,
    doctor,
    generate,
    models,
    plan,
    programs,
    reference,
    replay,
    runs,
    score,
    validate,
    view,
    whatif,
)
from aotd.cli.errors import BAD_INPUT, INTERRUPTED, RESUMABLE, UsageError
from aotd.tools.batching import ModelDown
from aotd.tools.build import IncompatibleModels
from aotd.tools.chat import ChatSetupError
from aotd.tools.checkpoints import CheckpointMissing
from aotd.tools.loading import UnusableCheckpoint
from aotd.tools.memory import NotEnoughMemory
from aotd.traces.journal import DiskFull, JournalError
from aotd.traces.runs import RunError

__all__ = ["app", "main"]

app = typer.Typer(
    name="aotd",
    help="Programs over vision tools for video question answering: run safely, traced, told as checked "
    "chains of thought.\n\nStart with `aotd demo`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("generate")(generate.generate)
app.command("resume")(generate.resume)
app.command("plan")(plan.plan)
app.command("ask")(ask.ask)
app.command("show")(runs.show)
app.command("view")(view.view)
app.command("replay")(replay.replay_run)
app.command("whatif")(whatif.whatif)
app.command("diff")(diff.diff)
app.command("report")(runs.report)
app.command("export")(runs.export)
app.command("score")(score.score)
app.command("bench")(bench.bench)
app.command("validate")(validate.validate)
app.command("schema")(reference.schema)
app.command("prompt")(reference.prompt)
app.command("check")(programs.check)
app.command("exec")(programs.exec_program)
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)
app.add_typer(models.app, name="models")
app.add_typer(configuration.app, name="config")


def main() -> None:
    """Run a command; an error that a person can mend is one line, not a traceback."""
    logging.basicConfig(format="aotd: %(message)s", stream=sys.stderr)
    try:
        app(standalone_mode=True)
    except (ModelDown, DiskFull) as error:
        sys.exit(_tell(str(error), RESUMABLE))
    except (
        UsageError,
        JournalError,
        RunError,
        SandboxUnavailable,
        IncompatibleModels,
        ChatSetupError,
        CheckpointMissing,
        NotEnoughMemory,
        UnusableCheckpoint,
    ) as error:
        sys.exit(_tell(str(error), BAD_INPUT))
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(_tell("interrupted", INTERRUPTED))


def _tell(message: str, code: int) -> int:
    print(f"aotd: {message}", file=sys.stderr)
    return code
