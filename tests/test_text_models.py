"""Language models by role: what is shared, where it runs, what it is told and what it costs."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import threading
from pathlib import Path
from typing import Any

import pytest

from aotd.agent.text_models import TextModels
from aotd.prompts.loader import BUILT_IN, Templates
from aotd.tools.batching import Backbone
from aotd.tools.cache import Cache
from aotd.tools.chat import ChatServer
from aotd.tools.config_text import TextConfig
from aotd.tools.device import Devices
from aotd.tools.models import Message, Reply, TextRequest
from aotd.tools.scripted_server import Said, ScriptedServer
from aotd.tools.text_transformers import TransformersText
from aotd.tools.torchvision_cpu import mend_torchvision
from aotd.tools.vllm_engine import VllmEngines
from aotd.traces.runs import ModelCall, Run
from aotd.world.build import write_annotation
from tests.conftest import Aotd
from tests.tiny_text import save_chat

pytest.importorskip("openai")
pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("default::DeprecationWarning", "default::FutureWarning")


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a tiny chat model with room for a judge's prompt."""
    mend_torchvision()
    folder = tmp_path_factory.mktemp("llama")
    return str(save_chat(folder, max_position_embeddings=4096))


class Composed:
    """Models of some settings, and the calls that were journalled."""

    def __init__(self, **settings: Any) -> None:
        self.calls: list[ModelCall] = []
        self._devices = Devices()
        idle = self._devices.of("idle")
        self.device = self._devices.of
        backbone = Backbone(Cache(10**6), idle, self.calls.append, 64)
        config = TextConfig.model_validate(settings)
        self.models = TextModels(config, backbone, self._devices.of, "cpu", VllmEngines())

    def __enter__(self) -> Composed:
        return self

    def __exit__(self, *_: object) -> None:
        self.models.__exit__(None, None, None)
        self._devices.__exit__(None, None, None)


def local(folder: str, **more: Any) -> dict[str, Any]:
    """Settings of a model in this process."""
    return {"kind": "transformers", "weights": folder, "dtype": "float32", "max_tokens": 4} | more


def request(role: str, text: str = "Is it so?", choices: tuple[str, ...] | None = None) -> TextRequest:
    """Ask in a role."""
    message = Message(role="user", content=text)
    return TextRequest.model_validate({"role": role, "messages": (message,), "choices": choices})


def test_roles_that_name_one_model_share_it(llama: str) -> None:
    """Equal settings are one model; other limits are another model over the same weights, loaded once."""
    with Composed(default=local(llama), judge=local(llama, max_tokens=2)) as composed:
        planner, writer, judge = (composed.models.model(role) for role in ("planner", "writer", "judge"))
        assert planner is writer
        assert isinstance(planner, TransformersText)
        assert isinstance(judge, TransformersText)
        (long,), (short,) = planner.complete([request("planner")]), judge.complete([request("judge")])
        assert isinstance(long, Reply)
        assert isinstance(short, Reply)
        assert (long.reply_tokens, short.reply_tokens) == (4, 2)
        assert planner._weights is judge._weights
        assert composed.models.backbone("judge").device is composed.device("cpu")


def test_roles_name_their_own_models_devices_and_batches(llama: str, tmp_path: Path) -> None:
    """Each role is answered by its model, on its device, in its batches; a server is a device of its own."""
    other = str(save_chat(tmp_path, seed=1))
    with (
        ScriptedServer(lambda _: Said("from the server", prompt_tokens=3, reply_tokens=2)) as server,
        Composed(
            default={"base_url": server.base_url, "model": "scripted", "concurrency": 5},
            judge=local(llama, device="cpu", prompts_at_once=3),
            writer=local(other, device="cpu:0", prompts_at_once=2),
        ) as composed,
    ):
        models = composed.models
        asked = [models.role(role) for role in ("planner", "judge", "writer")]

        async def ask() -> list[Any]:
            roles = ("planner", "judge", "writer")
            return [await role.ask(request(name)) for name, role in zip(roles, asked, strict=True)]

        served, judged, written = asyncio.run(ask())
        assert served == Reply(text="from the server", prompt_tokens=3, reply_tokens=2)
        assert judged != written
        assert {call.model for call in composed.calls} == {role.identity.rpartition("/")[0] for role in asked}
        assert isinstance(models.model("planner"), ChatServer)
        backbones = [models.backbone(role) for role in ("planner", "judge", "writer")]
        assert [b.batch_items for b in backbones] == [1, 3, 2]
        assert [b.device.lanes for b in backbones] == [5, 1, 1]
        assert len({id(b.device) for b in backbones}) == 3


def test_a_comparer_runs_on_its_own_device(llama: str) -> None:
    """Called from the selector's threads, a comparer in this process answers on its device's thread."""
    with (
        ScriptedServer(lambda _: Said("A")) as server,
        Composed(
            selector={"base_url": server.base_url, "model": "scripted"}, comparer=local(llama)
        ) as composed,
    ):
        comparer = composed.models.comparer()
        assert comparer is not None
        assert comparer.identity == composed.models.model("comparer").identity
        busy, released = threading.Event(), threading.Event()

        def occupy() -> None:
            busy.set()
            released.wait(30)

        composed.device("cpu").threads.submit(occupy)
        busy.wait(30)
        replies: list[Any] = []
        asking = threading.Thread(
            target=lambda: replies.extend(comparer.complete([request("comparer", choices=("yes", "no"))]))
        )
        asking.start()
        asking.join(0.2)
        assert replies == []
        released.set()
        asking.join(30)
        assert replies[0].text in ("yes", "no")


def test_who_selects_also_compares(llama: str) -> None:
    """Without a comparer of its own, or with the same model, there is none apart."""
    with Composed(selector=local(llama)) as composed:
        assert composed.models.comparer() is None
    with Composed(default=local(llama), comparer=local(llama)) as composed:
        assert composed.models.comparer() is None


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({}, ValueError, "the judge is a language model and none is set for it: .*text.judge.weights"),
        ({"kind": "transformers", "weights": "/no/such/folder"}, ValueError, "/no/such/folder is no folder"),
        ({"kind": "transformers", "device": "cuda:99"}, ValueError, "device cuda:99 is not here"),
        ({"kind": "vllm"}, ModuleNotFoundError, r"needs vllm: pip install 'aotd\[vllm\]'"),
    ],
)
def test_what_cannot_work_is_told_when_models_are_made(
    settings: dict[str, Any], error: type[Exception], words: str, llama: str
) -> None:
    """A model that is not set, not there, not installed or on no device is one line, before any request."""
    if settings.get("kind") == "vllm" and importlib.util.find_spec("vllm"):
        pytest.skip("vllm is installed")
    judge = {"weights": llama} | settings if settings else None
    with Composed(judge=judge) as composed, pytest.raises(error, match=words) as told:
        composed.models.role("judge")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("judge", None, r"prompts.judge=.*judge.j2: No such file or directory"),
        ("judge", "Is this good?", r"prompts.judge=.*: it lacks \{\{ case \}\}"),
        ("judge", "{{ case }} {{ verdict }}", r"prompts.judge=.*: nothing fills verdict; slots are case"),
        ("selector", "{{ query }} {{ bullets }}", r"it lacks \{\{ options \}\}"),
        ("question", "{{ question", r"prompts.question=.*: .*expected"),
        ("writer", "{{ lines | sorted }}", r"prompts.writer=.*: No filter named 'sorted'"),
    ],
)
def test_a_prompt_file_is_checked_before_anything_is_asked(
    name: str, text: str | None, words: str, tmp_path: Path
) -> None:
    """A file that is missing, broken, blind or wants what nothing gives is told in one line."""
    path = tmp_path / f"{name}.j2"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=words) as told:
        Templates({name: str(path)})
    assert "\n" not in str(told.value)


def test_a_planner_page_may_hold_its_own_account_of_the_functions(tmp_path: Path) -> None:
    """The page of a planner may be plain text; the other prompts stay as they are."""
    (tmp_path / "page.j2").write_text("You write programs. Find(clip, obj) finds.")
    templates = Templates({"planner": str(tmp_path / "page.j2")})
    assert templates["planner"].render({}) == "You write programs. Find(clip, obj) finds."
    assert templates["repair"] == BUILT_IN["repair"]


def test_a_run_with_models_in_this_process(aotd: Aotd, llama: str, tmp_path: Path) -> None:
    """Selector and judge run here, under a prompt of the user's; the manifest tells all, with no cost."""
    annotations = write_annotation(tmp_path, clips=1)
    page = tmp_path / "judge.j2"
    page.write_text("Judge this, yes or no twice: {{ case }}")
    words = ["text.default.kind=transformers", f"text.default.weights={llama}", "text.default.max_tokens=6"]
    words += ["text.default.dtype=float32", "device=cpu", "selector.kind=llm", "judge.kind=llm"]
    out = tmp_path / "run"
    code, _, err = aotd(
        "generate", "star", annotations, "--out", out, "--preset", "oracle", *words, f"prompts.judge={page}"
    )
    assert code == 0, err
    run = Run.open(out)
    manifest = run.manifest
    assert manifest.prompts["judge/judge"] == hashlib.sha256(page.read_bytes()).hexdigest()
    name = Path(llama).name
    assert manifest.models["selector"] == f"selector/transformers/{name}"
    assert str(manifest.models["judge"]).startswith(f"llm/transformers/{name}/")
    asked = [call for call in run.calls() if call.request.get("role") == "judge"]
    assert asked
    assert all("Judge this" in str(call.request) for call in asked)
    used = manifest.usage
    assert set(used) == {"judge", "selector"}
    for part in used.values():
        assert isinstance(part, dict)
        assert part["cost"] is None
        assert all(
            float(str(part[key])) > 0 for key in ("requests", "prompt_tokens", "reply_tokens", "seconds")
        )
    chosen = [call for call in run.calls() if call.model.startswith("selector/")]
    assert used["selector"]["requests"] == len(chosen)  # type: ignore[index,call-overload]
    assert {call.answer["raw"] for call in chosen if isinstance(call.answer, dict)} <= set("ABCDE")


def test_wrong_settings_of_a_run_are_one_line(aotd: Aotd, llama: str, tmp_path: Path) -> None:
    """A prompt file that is not there and weights that are not there end a run before it makes its folder."""
    annotations = write_annotation(tmp_path, clips=1)
    begin = ["generate", "star", annotations, "--out", tmp_path / "run", "--preset", "oracle", "device=cpu"]
    here = ["judge.kind=llm", "text.judge.kind=transformers"]
    for words, told in (
        (
            [*here, f"text.judge.weights={llama}", "prompts.judge=none.j2"],
            "prompts.judge=none.j2: No such file",
        ),
        ([*here, "text.judge.weights=./nothing"], "./nothing is no folder"),
    ):
        code, _, err = aotd(*begin, *words)
        assert code == 2
        assert told in err
        assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_doctor_looks_for_models_in_this_process(aotd: Aotd, llama: str) -> None:
    """A model that lies here is told with its device; one that does not, with the command that fetches it."""
    words = ["planner.kind=llm", "text.default.kind=transformers", "device=cpu"]
    _, out, _ = aotd("doctor", "--preset", "oracle", *words, f"text.default.weights={llama}")
    assert "✓ planner" in " ".join(out.split())
    assert "on cpu" in " ".join(out.split())
    code, out, _ = aotd("doctor", "--preset", "oracle", *words, "text.default.weights=nobody/nothing")
    assert code == 1
    assert "aotd models fetch nobody/nothing" in " ".join(out.split())


def test_where_and_how_fast_a_model_runs_is_not_part_of_a_run(llama: str) -> None:
    """The digest of settings follows weights, limits and prompts, not devices, batches or prices."""
    from aotd.cli.settings import load_config

    def digest(*words: str) -> str:
        named = ["judge.kind=llm", "text.judge.kind=transformers", f"text.judge.weights={llama}"]
        return load_config("oracle", None, [*named, *words], {}).digest

    same = ["device=cpu", "text.judge.device=cuda:1", "text.judge.prompts_at_once=1", "workers=7"]
    other = ["text.judge.max_tokens=7", "text.judge.dtype=float32", "prompts.judge=x.j2", "repairs=0"]
    assert {digest(word) for word in same} == {digest()}
    assert len({digest(word) for word in other} | {digest()}) == 5
