"""The language models of a run: one client per server that the settings name, one front per role.

Connections are opened when a role is first asked and closed with the `with` block. Knows no prompt.
"""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from pydantic import TypeAdapter

from aotd.tools.batching import Backbone, Front
from aotd.tools.chat import ChatServer
from aotd.tools.config import ServerConfig, TextConfig, TextRoleName
from aotd.tools.device import Device
from aotd.tools.models import Reply, ToolError
from aotd.tools.text_role import TextRole

__all__ = ["Servers"]

_REPLIES: TypeAdapter[Reply | ToolError] = TypeAdapter(Reply | ToolError)


class Servers:
    """Clients by role.

    Parameters
    ----------
    config
        Which server answers which role.
    backbone
        Cache and journal of the run; a server batches for itself, so each is a device of its own.
    """

    def __init__(self, config: TextConfig, backbone: Backbone) -> None:
        self._config = config
        self._backbone = backbone
        self._stack = ExitStack()
        self._clients: dict[ServerConfig, tuple[ChatServer, Backbone]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def model(self, role: TextRoleName) -> ChatServer:
        """The client of a role.

        Raises
        ------
        ValueError
            If the settings name no server for it.
        """
        return self._client(role)[0]

    def backbone(self, role: TextRoleName) -> Backbone:
        """Where requests of a role run: as many at once as its server is to get."""
        return self._client(role)[1]

    def role(self, role: TextRoleName) -> TextRole:
        """The front of a role."""
        model, backbone = self._client(role)
        return TextRole(model, Front(model, model.complete, _REPLIES, backbone))

    def _client(self, role: TextRoleName) -> tuple[ChatServer, Backbone]:
        config = self._config.of(role)
        if config is None:
            raise ValueError(
                f"the {role} is a language model and no server is set for it: set text.default.base_url and "
                f"text.default.model, or text.{role}.base_url and text.{role}.model"
            )
        if config not in self._clients:
            self._clients[config] = self._open(config)
        return self._clients[config]

    def _open(self, config: ServerConfig) -> tuple[ChatServer, Backbone]:
        client = ChatServer(
            config.base_url,
            config.model,
            api_key_env=config.api_key_env,
            temperature=config.temperature,
            max_tokens=config.max_tokens,
            seed=config.seed,
            timeout_seconds=config.timeout_seconds,
            concurrency=config.concurrency,
            structured=config.structured,
            prices=config.prices,
        )
        self._stack.callback(client.close)
        threads = self._stack.enter_context(ThreadPoolExecutor(config.concurrency, "server"))
        backbone = dataclasses.replace(
            self._backbone,
            device=Device(threads, config.concurrency),
            batch_items=1,
            patience=self._config.patience_seconds,
        )
        return client, backbone
