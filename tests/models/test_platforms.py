"""Claude at Bedrock, Vertex AI and Foundry: the vendor's own clients over a real socket, chosen by settings alone."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bot.config import Config
from bot.domain.errors import ModelError, UserError
from bot.model_wiring import models
from bot.models.anthropic import AnthropicModel
from bot.models.openai import OpenAIModel
from bot.standins.messages import Cut, Fault, LoopbackMessages, Status, answer, say, think, use
from bot.standins.serving import serve
from tests.models.clouds import Clouds
from tests.models.test_anthropic import TASK, WORDS, check_reply

STEP = answer(think(""), say(WORDS), use("read", file_path="ä.py"))
BEDROCK = {"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "s" * 40}
FOUNDRY = {"ANTHROPIC_FOUNDRY_API_KEY": "foundry-key-0123456789"}
US = "us.anthropic.claude-opus-5-5-v1:0"


@asynccontextmanager
async def cloud(
    tmp_path: Path, name: str, settings: Mapping[str, str], faults: Mapping[int, Fault] | None = None
) -> AsyncIterator[tuple[AnthropicModel, Clouds, LoopbackMessages, Config]]:
    server = LoopbackMessages(lambda observed: STEP, now=lambda: 0.0, faults=faults)
    clouds = Clouds(server)
    async with serve(clouds.app) as url:
        config = local({"BACKSPACE_MODEL": name, "ANTHROPIC_BASE_URL": url, **settings}, tmp_path)
        async with models(config) as named:
            model = named(name)
            assert isinstance(model, AnthropicModel)
            yield model, clouds, server, config


def local(settings: Mapping[str, str], home: Path) -> Config:
    return Config.from_env({"BACKSPACE_HOME": str(home), **settings}, role="local")


PLACES = [
    pytest.param(
        US,
        {"ANTHROPIC_PLATFORM": "bedrock", **BEDROCK},
        ("bedrock", "eu-west-1", US, "signed by AKIAEXAMPLE"),
        id="bedrock",
    ),
    pytest.param(
        f"bedrock:{US}",
        {"AWS_REGION": "eu-west-1", "AWS_BEARER_TOKEN_BEDROCK": "bedrock-key-0123456789"},
        ("bedrock", "", US, "Bearer"),
        id="bedrock-with-a-key",
    ),
    pytest.param(
        "claude-opus-5-5",
        {"ANTHROPIC_PLATFORM": "foundry", **FOUNDRY},
        ("foundry", "", "claude-opus-5-5", "foundry-key-0123456789"),
        id="foundry",
    ),
]


@pytest.mark.parametrize(("name", "settings", "seen"), PLACES)
async def test_a_reply_comes_whole_from_the_platform_the_settings_name(
    tmp_path: Path, name: str, settings: Mapping[str, str], seen: tuple[str, str, str, str]
) -> None:
    async with cloud(tmp_path, name, settings) as (model, clouds, server, config):
        check_reply(await model.ask(TASK, max_tokens=1000))
        assert (model.name, model.family) == (name, "claude")
        assert await model.problem() is None, "nothing is asked where every question costs"
    assert clouds.seen == [seen]
    assert server.refused == []
    keys = [value for setting, value in settings.items() if "KEY" in setting and "ID" not in setting]
    assert set(keys) <= set(config.secrets), "what it is asked with is looked for in all that leaves"
    assert not any(key in repr(config) for key in keys)


async def test_vertex_is_asked_in_its_project_and_region(tmp_path: Path) -> None:
    """With a token as Google's library would find it: there is no Google here to find one at."""
    from bot.models.platforms import Access

    server = LoopbackMessages(lambda observed: STEP, now=lambda: 0.0)
    clouds = Clouds(server)
    async with serve(clouds.app) as url:
        access = Access(platform="vertex", api_key="ya29.token", base_url=url, place="global", project="acme-ai")
        model = AnthropicModel(model="claude-opus-5-5@20260922", access=access)
        check_reply(await model.ask(TASK, max_tokens=1000))
        await model.aclose()
    assert clouds.seen == [("vertex", "acme-ai/global", "claude-opus-5-5@20260922", "Bearer ya29.token")]


@pytest.mark.parametrize(("name", "settings", "seen"), PLACES)
@pytest.mark.parametrize(
    ("fault", "remedy"),
    [
        pytest.param(Status(status=529), "retry", id="overloaded"),
        pytest.param(Status(status=403), "next", id="not-allowed"),
        pytest.param(Status(status=400, message="prompt is too long: 9 tokens"), "context", id="too-long"),
        pytest.param(Cut(700), "retry", id="cut"),
    ],
)
async def test_what_fails_there_is_sorted_as_at_home(
    tmp_path: Path, name: str, settings: Mapping[str, str], seen: object, fault: Fault, remedy: str
) -> None:
    async with cloud(tmp_path, name, settings, {1: fault}) as (model, _, _, _):
        with pytest.raises(ModelError) as caught:
            await model.ask(TASK, max_tokens=1000)
        assert caught.value.remedy == remedy, caught.value.message
        check_reply(await model.ask(TASK, max_tokens=1000))


async def test_a_chain_may_hold_one_model_at_several_places(tmp_path: Path) -> None:
    chain = f"claude-opus-5-5,bedrock:{US},foundry:claude-opus-5-5,openai:gpt-6-sol,qwen3:32b,rules"
    settings = {
        "ANTHROPIC_API_KEY": "sk-ant-0123456789",
        "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
        **BEDROCK,
        **FOUNDRY,
    }
    config = local({"BACKSPACE_MODEL": chain, "ANTHROPIC_FOUNDRY_RESOURCE": "acme", **settings}, tmp_path)
    async with models(config) as named:
        made = [named(name) for name in config.models]
        assert [model.name for model in made] == chain.split(",")
        assert [model.family for model in made] == ["claude", "claude", "claude", "chat", "chat", "rules"]
        assert isinstance(made[3], OpenAIModel)
        assert named(config.models[1]) is made[1], "made once"
        with pytest.raises(UserError, match="this bot has no access to it"):
            named("vertex:claude-opus-5-5")


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        pytest.param({}, "ANTHROPIC_API_KEY is missing", id="home"),
        pytest.param({"ANTHROPIC_PLATFORM": "bedrock"}, "AWS_REGION is missing", id="bedrock"),
        pytest.param({"ANTHROPIC_PLATFORM": "vertex"}, "ANTHROPIC_VERTEX_PROJECT_ID or CLOUD_ML_REGION", id="vertex"),
        pytest.param({"ANTHROPIC_PLATFORM": "foundry"}, "ANTHROPIC_FOUNDRY_API_KEY is missing", id="foundry"),
        pytest.param(
            {"ANTHROPIC_PLATFORM": "foundry", **FOUNDRY}, "ANTHROPIC_FOUNDRY_RESOURCE is missing", id="foundry-where"
        ),
        pytest.param(
            {"BACKSPACE_MODEL": "rules,gpt-6-sol"}, "OPENAI_API_KEY is missing: gpt-6-sol needs it", id="openai"
        ),
        pytest.param({"BACKSPACE_MODEL": " , "}, "BACKSPACE_MODEL names nothing", id="no-model"),
        pytest.param({"ANTHROPIC_PLATFORM": "azure"}, "ANTHROPIC_PLATFORM is not one of", id="no-platform"),
    ],
)
def test_what_a_model_needs_is_asked_for_before_anything_starts(
    tmp_path: Path, settings: Mapping[str, str], fault: str
) -> None:
    _, faults = Config.read({"BACKSPACE_HOME": str(tmp_path), **settings}, role="local")
    assert [said for said in faults if said.startswith(fault)], faults
