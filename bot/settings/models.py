"""Which models work, who runs them, and with whose keys: their settings, and what each model needs of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, get_args

from bot.settings.values import Setting, api_key, names, one_of, optional_url, text, whole

Platform = Literal["anthropic", "bedrock", "vertex", "foundry"]
Provider = Literal["rules", "anthropic", "bedrock", "vertex", "foundry", "openai"]
RULES = "rules"  # the name of the agent that needs no model


@dataclass(frozen=True, slots=True)
class ModelName:
    """A model as the settings name it, read: whom to ask, and for which `id`."""

    provider: Provider
    id: str


def model_name(name: str, *, platform: Platform) -> ModelName:
    """`provider:id` says it; without a provider, Claude's names go to `platform` and all others to OPENAI_BASE_URL."""
    if name == RULES:
        return ModelName("rules", name)
    before, colon, rest = name.partition(":")
    for provider in get_args(Provider):
        if colon and rest and before == provider != "rules":
            return ModelName(provider, rest)
    return ModelName(platform if "claude" in name else "openai", name)


def _is_missing(value: str | None) -> bool:
    """Not given; what was given and is at fault has had its own sentence."""
    return value == ""


def lacking(name: str, platform: Platform, values: Mapping[str, Any]) -> str:
    """Which setting a model needs and has not, in one sentence; "" for none. `values` are a Config's fields."""
    match model_name(name, platform=platform).provider:
        case "anthropic" if _is_missing(values["anthropic_api_key"]):
            return (
                f"ANTHROPIC_API_KEY is missing: set it, or set BACKSPACE_MODEL={RULES} to work without a model "
                "(it applies patches and recipes written in the request)."
            )
        case "bedrock" if _is_missing(values["aws_region"]):
            return f"AWS_REGION is missing: say where Bedrock runs {name}, such as us-east-1."
        case "vertex" if _is_missing(values["vertex_project"]) or _is_missing(values["vertex_region"]):
            return f"ANTHROPIC_VERTEX_PROJECT_ID or CLOUD_ML_REGION is missing: {name} runs in that project and region."
        case "foundry" if _is_missing(values["foundry_api_key"]):
            return f"ANTHROPIC_FOUNDRY_API_KEY is missing: {name} is asked for with it."
        case "foundry" if _is_missing(values["foundry_resource"]) and values["anthropic_base_url"] is None:
            return f"ANTHROPIC_FOUNDRY_RESOURCE is missing: name the resource that runs {name}, or ANTHROPIC_BASE_URL."
        case "openai" if _is_missing(values["openai_api_key"]) and values["openai_base_url"] is None:
            return f"OPENAI_API_KEY is missing: {name} needs it, or OPENAI_BASE_URL where a server of your own runs it."
    return ""


def prices(raw: str) -> Mapping[str, tuple[Decimal, Decimal, Decimal]]:
    """By model: dollars for a million tokens of input, of input read from a cache, of output."""
    found = {}
    for part in raw.split(",") if raw.strip() else ():
        name, _, amounts = part.strip().rpartition("=")
        try:
            numbers = [Decimal(amount) for amount in amounts.split("/")]
        except InvalidOperation:
            numbers = []
        if not name or len(numbers) not in (2, 3) or not all(n.is_finite() and 0 <= n < 10_000 for n in numbers):
            raise ValueError(f"is not NAME=INPUT/OUTPUT or NAME=INPUT/CACHED/OUTPUT in dollars: {part.strip()}.")
        found[name] = (numbers[0], numbers[len(numbers) - 2], numbers[-1])
    return found


MODEL_SETTINGS: tuple[Setting, ...] = (
    Setting("ANTHROPIC_API_KEY", "anthropic_api_key", "", "The key for Claude", api_key),
    Setting("ANTHROPIC_BASE_URL", "anthropic_base_url", "", "Another address for Claude's API", optional_url),
    Setting(
        "ANTHROPIC_PLATFORM",
        "anthropic_platform",
        "anthropic",
        "Who runs Claude: `anthropic`, `bedrock`, `vertex` or `foundry`",
        one_of("anthropic", "bedrock", "vertex", "foundry"),
    ),
    Setting("AWS_REGION", "aws_region", "", "Where Bedrock runs it", text),
    Setting("AWS_ACCESS_KEY_ID", "aws_access_key_id", "", "For Bedrock; without it, what AWS finds itself", text),
    Setting("AWS_SECRET_ACCESS_KEY", "aws_secret_access_key", "", "and its secret", api_key),
    Setting("AWS_SESSION_TOKEN", "aws_session_token", "", "and its token, where it has one", api_key),
    Setting("AWS_BEARER_TOKEN_BEDROCK", "aws_bearer_token", "", "or an API key for Bedrock", api_key),
    Setting("CLOUD_ML_REGION", "vertex_region", "", "Where Vertex AI runs it, such as `global`", text),
    Setting("ANTHROPIC_VERTEX_PROJECT_ID", "vertex_project", "", "and in which Google Cloud project", text),
    Setting("ANTHROPIC_FOUNDRY_RESOURCE", "foundry_resource", "", "The resource in Microsoft Foundry", text),
    Setting("ANTHROPIC_FOUNDRY_API_KEY", "foundry_api_key", "", "and its key", api_key),
    Setting("OPENAI_API_KEY", "openai_api_key", "", "The key for models that are not Claude", api_key),
    Setting(
        "OPENAI_BASE_URL",
        "openai_base_url",
        "",
        "Where they are; default OpenAI; any server that speaks chat completions, such as vLLM, Ollama or Gemini's",
        optional_url,
    ),
    Setting(
        "BACKSPACE_MODEL",
        "models",
        "claude-opus-5-5",
        "The model, or several with commas: the next takes over for the rest of a job when one fails for good. "
        "`rules` works without a model, from patches and recipes in the request",
        names,
    ),
    Setting(
        "BACKSPACE_PRICES",
        "prices",
        "",
        "What models cost that have no list price here, in dollars for a million tokens in and out, such as "
        "`qwen3:32b=0/0,gemini-3-pro=1.25/10`",
        prices,
    ),
    Setting(
        "BACKSPACE_EFFORT",
        "effort",
        "",
        "How hard the model thinks: `low`, `medium`, `high`, `xhigh` or `max`; default: its own",
        one_of("", "low", "medium", "high", "xhigh", "max"),
    ),
    Setting(
        "BACKSPACE_HANDOFF_TOKENS",
        "handoff_tokens",
        "400000",
        "Tokens after which a job's conversation begins anew from a summary; 60 % of the model's window at most, "
        "which is taken for 128,000 where nobody tells it",
        whole(8_000, 10_000_000, "number of tokens"),
    ),
)
