"""The command `validate`: check a training file against its trainer's rules."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, get_args

import typer

from aotd.cli.errors import UsageError
from aotd.traces.export import FormatName
from aotd.traces.export_hub import PyarrowMissing
from aotd.traces.validate import Finding
from aotd.traces.validate import validate as check

__all__ = ["validate"]

FORMATS: Final[dict[str, FormatName]] = {name: name for name in get_args(FormatName)}


def validate(
    file: Annotated[Path, typer.Argument(help="File to check; a folder or a table for parquet")],
    format: Annotated[str, typer.Option(help=f"Format that it should have: {', '.join(FORMATS)}")],  # noqa: A002
    video_dir: Annotated[
        Path | None, typer.Option(help="Folder of videos: a missing file is an error then")
    ] = None,
) -> None:
    """Check a training file as its trainer would read it, whoever wrote it.

    Prints a line per kind of fault, with its first place and how many rows have it. Exit 0 when there are
    none but warnings, 1 when there are errors, 2 when the file cannot be read.
    """
    if format not in FORMATS:
        raise UsageError(
            f"unknown format {format!r}: the formats that can be checked are {', '.join(FORMATS)}"
        )
    if video_dir is not None and not video_dir.is_dir():
        raise UsageError(f"{video_dir} is no folder: give --video-dir the folder of videos")
    try:
        found = check(file, FORMATS[format], video_dir)
    except PyarrowMissing as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror or error}") from None
    for finding in found.findings:
        print(_line(file, finding))
    errors = sum(not finding.warning for finding in found.findings)
    print(f"{found.rows} rows, {errors} kinds of error, {len(found.findings) - errors} kinds of warning")
    raise typer.Exit(0 if found.valid else 1)


def _line(file: Path, finding: Finding) -> str:
    place = f"{file}, {finding.place}" if finding.place else f"{file}"
    more = f" ({finding.rows} rows)" if finding.rows > 1 else ""
    return f"{place}: {'warning' if finding.warning else 'error'}: {finding.message}{more}"
