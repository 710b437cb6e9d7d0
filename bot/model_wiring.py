"""A name of a model becomes the model: who runs it, with whose key, made when it is first asked for."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from bot.config import Config
from bot.domain.errors import UserError
from bot.domain.pricing import Price, own_price
from bot.ports import Model
from bot.settings.models import ModelName, lacking, model_name

if TYPE_CHECKING:
    from bot.models.anthropic import AnthropicModel
    from bot.models.openai import OpenAIModel


@asynccontextmanager
async def models(config: Config) -> AsyncIterator[Callable[[str], Model]]:
    """A model by name, made once and closed at the end; naming one raises UserError, worded for who named it."""
    async with AsyncExitStack() as closing:
        made: dict[str, Model] = {}

        def named(name: str) -> Model:
            if name not in made:
                made[name] = _model(name, config, closing)
            return made[name]

        yield named


def _model(name: str, config: Config, closing: AsyncExitStack) -> Model:
    wanted = model_name(name, platform=config.anthropic_platform)
    if wanted.provider == "rules":
        from bot.agent.rules import RuleModel

        return RuleModel()
    if lacking(name, config.anthropic_platform, config.values):
        only = ", ".join(f"`{known}`" for known in config.models)
        raise UserError(f"The model `{name}` cannot be used: this bot has no access to it; it works with {only}.")
    model = _other(name, wanted, config) if wanted.provider == "openai" else _claude(name, wanted, config)
    closing.push_async_callback(model.aclose)
    return model


def _claude(name: str, wanted: ModelName, config: Config) -> "AnthropicModel":
    from bot.models.anthropic import AnthropicModel
    from bot.models.platforms import Access

    base_url = config.anthropic_base_url
    match wanted.provider:
        case "bedrock":
            key = config.aws_bearer_token
            access = Access(
                platform="bedrock",
                api_key=key,
                base_url=base_url,
                place=config.aws_region,
                aws_access_key="" if key else config.aws_access_key_id,
                aws_secret_key="" if key else config.aws_secret_access_key,
                aws_session_token="" if key else config.aws_session_token,
            )
        case "vertex":
            access = Access(
                platform="vertex", base_url=base_url, place=config.vertex_region, project=config.vertex_project
            )
        case "foundry":
            access = Access(
                platform="foundry",
                api_key=config.foundry_api_key,
                base_url=base_url,
                resource=config.foundry_resource,
            )
        case _:
            access = Access(api_key=config.anthropic_api_key, base_url=base_url)
    return AnthropicModel(
        model=wanted.id,
        name=name,
        access=access,
        effort=config.effort,
        handoff_tokens=config.handoff_tokens,
        price=_price(name, config),
    )


def _other(name: str, wanted: ModelName, config: Config) -> "OpenAIModel":
    from bot.models.openai import OpenAIModel

    return OpenAIModel(
        config.openai_api_key,
        model=wanted.id,
        name=name,
        base_url=config.openai_base_url,
        effort=config.effort,
        handoff_tokens=config.handoff_tokens,
        price=_price(name, config),
    )


def _price(name: str, config: Config) -> Price | None:
    return own_price(name, *config.prices[name]) if name in config.prices else None
