"""The language models of a run, by role: clients of servers, and models in this process on its devices.

Roles that name the same model share it; each role has a front of its own. Connections and engines are opened
when a role is first asked and closed with the `with` block. Knows no prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import NamedTuple, Self

from pydantic import TypeAdapter

from aotd.tools.batching import Backbone, Front
from aotd.tools.chat import ChatServer
from aotd.tools.checkpoints import find_checkpoint
from aotd.tools.config_text import ServerConfig, TextConfig, TextLlmConfig, TextRoleName, TextVllmConfig
from aotd.tools.device import Device
from aotd.tools.loading import torch_device
from aotd.tools.models import ModelIdentity, Reply, TextModel, TextRequest, ToolError
from aotd.tools.text_role import TextRole
from aotd.tools.text_transformers import TransformersText
from aotd.tools.vllm_engine import VllmEngines
from aotd.tools.vllm_text import VllmText

__all__ = ["TextModels"]

_REPLIES: TypeAdapter[Reply | ToolError] = TypeAdapter(Reply | ToolError)


class _Placed(NamedTuple):
    model: TextModel
    backbone: Backbone


class TextModels:
    """Language models by role.

    Parameters
    ----------
    config
        Which model answers which role.
    backbone
        Cache and journal of the run; a server batches for itself, so each is a device of its own.
    device
        Gives the device of a name such as `cuda:1`.
    default_device
        Of models that name none.
    engines
        The run's vLLM engines.
    """

    def __init__(
        self,
        config: TextConfig,
        backbone: Backbone,
        device: Callable[[str], Device],
        default_device: str,
        engines: VllmEngines,
    ) -> None:
        self._config = config
        self._backbone = backbone
        self._device = device
        self._default_device = default_device
        self._engines = engines
        self._stack = ExitStack()
        self._models: dict[ServerConfig | TextLlmConfig | TextVllmConfig, _Placed] = {}
        self._clients: dict[ServerConfig, tuple[ChatServer, Backbone]] = {}
        self._weights: dict[tuple[str, str | None, str, str], TransformersText] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def model(self, role: TextRoleName) -> TextModel:
        """The model of a role.

        Raises
        ------
        ValueError
            If the settings name no model for it, or it is not to be had here.
        ModuleNotFoundError
            If a package that it needs is not installed.
        """
        return self._placed(role).model

    def comparer(self) -> TextModel | None:
        """The model that compares, if it is another than the one that selects; errors as `model`.

        It may be called from the selector's device and runs on its own.
        """
        selector, comparer = self._placed("selector"), self._placed("comparer")
        if comparer.model is selector.model:
            return None
        alone = isinstance(comparer.model, ChatServer)  # a server takes requests from anywhere
        if alone or comparer.backbone.device is selector.backbone.device:
            return comparer.model
        return _Elsewhere(comparer.model, comparer.backbone.device)

    def backbone(self, role: TextRoleName) -> Backbone:
        """Where requests of a role run, and how many at once."""
        return self._placed(role).backbone

    def role(self, role: TextRoleName) -> TextRole:
        """The front of a role."""
        model, backbone = self._placed(role)
        return TextRole(model, Front(model, model.complete, _REPLIES, backbone))

    def connect(self, server: ServerConfig) -> ChatServer:
        """Give the client of a server, as roles that name the same one get it; errors as `model`."""
        return self._connected(server)[0]

    def place_of(self, server: ServerConfig) -> Backbone:
        """Where requests of a server run: as many at once as it is to get."""
        return self._connected(server)[1]

    def _placed(self, role: TextRoleName) -> _Placed:
        config = self._config.of(role)
        if config is None:
            raise ValueError(
                f"the {role} is a language model and none is set for it: set text.default.base_url and "
                f"text.default.model, or text.{role}.base_url and text.{role}.model, for one on a server; or "
                f"text.{role}.kind (transformers, vllm) and text.{role}.weights for one in this process"
            )
        if config not in self._models:
            self._models[config] = self._make(config)
        return self._models[config]

    def _make(self, config: ServerConfig | TextLlmConfig | TextVllmConfig) -> _Placed:
        if isinstance(config, ServerConfig):
            return _Placed(*self._connected(config))
        device = config.device or self._default_device
        model = (
            self._load(config, device) if isinstance(config, TextLlmConfig) else self._serve(config, device)
        )
        backbone = replace(self._backbone, device=self._device(device), batch_items=config.prompts_at_once)
        return _Placed(model, backbone)

    def _load(self, config: TextLlmConfig, device: str) -> TransformersText:
        """Make a model in this process; its weights are loaded once, whatever the limits of its roles."""
        weights = config.weights, config.revision, config.dtype, device
        if weights not in self._weights:
            self._weights[weights] = TransformersText(
                find_checkpoint(config.weights, config.revision), device=device, dtype=config.dtype
            )
            torch_device(device)  # told now rather than at the first request
        return self._weights[weights].sharing(
            max_tokens=config.max_tokens, prompts_at_once=config.prompts_at_once
        )

    def _serve(self, config: TextVllmConfig, device: str) -> VllmText:
        engine = self._engines.engine(
            find_checkpoint(config.weights, config.revision),
            device=device,
            dtype=config.dtype,
            memory_share=config.memory_share,
            context=config.context,
        )
        return VllmText(engine, max_tokens=config.max_tokens)

    def _connected(self, config: ServerConfig) -> tuple[ChatServer, Backbone]:
        if config not in self._clients:
            self._clients[config] = self._connect(config)
        return self._clients[config]

    def _connect(self, config: ServerConfig) -> tuple[ChatServer, Backbone]:
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
        backbone = replace(
            self._backbone,
            device=Device(threads, config.concurrency),
            batch_items=1,
            patience=self._config.patience_seconds,
        )
        return client, backbone


class _Elsewhere:
    """A model that is called from another device's thread and runs on its own."""

    reads_pixels = False

    def __init__(self, model: TextModel, device: Device) -> None:
        self._model = model
        self._device = device

    @property
    def identity(self) -> ModelIdentity:
        """The model's own."""
        return self._model.identity

    def complete(self, requests: Sequence[TextRequest]) -> Sequence[Reply | ToolError]:
        """Reply to each request, once the device's thread is free."""
        return self._device.threads.submit(self._model.complete, requests).result()
