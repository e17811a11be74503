"""What aotd is made of, printed: `schema` and `prompt`."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

from aotd.agent.plan import planner_page
from aotd.traces.schema import json_schemas


class Role(StrEnum):
    """Roles that have a prompt."""

    PLANNER = "planner"


def schema() -> None:
    """Print the JSON Schema of every file of a run folder."""
    print(json.dumps(json_schemas(), indent=2))


def prompt(role: Annotated[Role, typer.Argument(help="Whose prompt")]) -> None:
    """Print the prompt of a role as a language model gets it."""
    pages = {Role.PLANNER: planner_page}
    print(pages[role]())
