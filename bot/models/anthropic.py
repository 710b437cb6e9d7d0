"""Claude through the Messages API: one streaming request, one whole reply or one sorted error."""

import asyncio

import anthropic
import httpx2
import structlog
from anthropic.types import ModelInfo
from anthropic.types import Usage as ToldUsage

from bot.domain.conversation import Conversation, Reply, Usage
from bot.domain.errors import ModelError
from bot.domain.pricing import Price, plain_name
from bot.models.abilities import HANDOFF_SHARE, KNOWN, MOST_OUTPUT, Abilities, Known
from bot.models.classify import PROVIDER, Failure, model_error, wait_of
from bot.models.listening import Listener, Patience
from bot.models.platforms import Access, client, streamed
from bot.models.render import ABILITIES, LACKING, render
from bot.models.reply import Gathering, usage_of

DEFAULT_MODEL = "claude-opus-5-5"
WHO = "Claude"
FAMILY = "claude"  # whoever runs it: a conversation with one Claude can go on with another
HANDOFF_TOKENS = 400_000

log = structlog.get_logger()


class AnthropicModel:
    """The `Model` port on the `anthropic` SDK. The SDK never retries here: the agent's loop decides that."""

    family = FAMILY

    def __init__(
        self,
        api_key: str = "",
        *,
        model: str = DEFAULT_MODEL,
        name: str | None = None,
        base_url: str | None = None,
        access: Access | None = None,
        effort: str = "",
        handoff_tokens: int = HANDOFF_TOKENS,
        price: Price | None = None,
        http_client: httpx2.AsyncClient | None = None,
        patience: Patience | None = None,
    ) -> None:
        """`model` is the platform's id, `name` what this bot calls it. `access` says more than `api_key` can.

        `effort` "": the model's own. Raises ValueError for a key that cannot be one.
        """
        self._access = access or Access(api_key=api_key, base_url=base_url)
        self._model = model
        self.name = name or model
        self.effort = effort
        self._handoff_tokens = handoff_tokens
        self.price = price
        patience = patience or Patience()
        self._listener = Listener(provider=PROVIDER, who=WHO, id_header="request-id", patience=patience)
        known = KNOWN.get(plain_name(model), Known())
        at_home = self._access.platform == "anthropic"
        self._window = known.window
        self._abilities = Abilities(
            self.name,
            has=ABILITIES - (set() if at_home else {"diagnostics"}) - (set() if known.notes else {"notes"}),
            words=LACKING,
            most_output=known.most_output,
        )
        self._client = client(self._access, timeout=patience.timeout, http_client=http_client)

    @property
    def longest_prompt(self) -> int:
        return min(self._handoff_tokens, int(HANDOFF_SHARE * self._window))

    async def ask(self, conversation: Conversation, *, max_tokens: int) -> Reply:
        """One attempt. Raises ModelError for anything but a whole reply; cancelling closes the connection."""
        while True:
            try:
                return await self._asked(conversation, max_tokens=max_tokens)
            except _Rejected as rejected:
                if not self._abilities.learn(rejected.failure.message):
                    raise self._told(model_error(rejected.failure)) from rejected.__cause__

    async def _asked(self, conversation: Conversation, *, max_tokens: int) -> Reply:
        body = render(
            conversation,
            model=self._model,
            max_tokens=min(max_tokens, self._abilities.most_output),
            abilities=self._abilities,
            effort=self.effort,
        )
        gathered = Gathering()
        try:
            await self._listener.listen(streamed(self._client, body), gathered)
        except asyncio.CancelledError as left:
            raise left from self._listener.connection_lost(gathered)
        except anthropic.APIStatusError as error:
            if not gathered.is_whole:
                failure = self._failure(error)
                if failure.status == 400:
                    raise _Rejected(failure) from error
                raise self._told(model_error(failure, usage=gathered.usage)) from error
        except (anthropic.APITimeoutError, httpx2.TimeoutException, TimeoutError) as error:
            if not gathered.is_whole:
                raise self._listener.too_slow(error, gathered) from error
        except (anthropic.AnthropicError, httpx2.HTTPError, httpx2.StreamError) as error:
            if not gathered.is_whole:
                raise self._listener.connection_lost(gathered, error) from error
        return self._listener.reply_of(gathered)

    async def keep_warm(self, conversation: Conversation) -> Usage:
        """The prompt without an answer: the API reads it from its cache, and so keeps it there. Raises ModelError."""
        body = render(conversation, model=self._model, max_tokens=0, abilities=self._abilities, effort=self.effort)
        try:
            message = await self._client.messages.create(**body)
        except anthropic.APIStatusError as error:
            raise model_error(self._failure(error)) from error
        except (anthropic.AnthropicError, httpx2.HTTPError, TimeoutError, ValueError) as error:
            raise self._listener.connection_lost(Gathering(), error) from error
        told = getattr(message, "usage", None)  # the SDK hands on whatever a gateway answered, a page of HTML too
        usage = usage_of(told.to_dict()) if isinstance(told, ToldUsage) else None
        if usage is None:
            raise ModelError(PROVIDER, "What keeps the prompt in the cache was not answered by the Claude API.")
        return usage

    def _told(self, error: ModelError) -> ModelError:
        """The operator hears of what only the operator can mend."""
        if error.for_operator:
            log.error("a model's settings are wrong", model=self.name, problem=error.message)
        return error

    def _failure(self, error: anthropic.APIStatusError) -> Failure:
        headers = error.response.headers
        return Failure(
            model=self._model,
            status=error.status_code,
            kind=str(error.type or ""),
            code=error.error_code or "",
            message=self._without_secrets(error.api_message or _said_by_platform(error.body)),
            retry_after_s=wait_of(headers.get("retry-after"), date=headers.get("date")),
            request_id=error.request_id,
            own_address=self._access.base_url is not None,
        )

    def _without_secrets(self, text: str) -> str:
        for secret in self._access.secrets():
            text = text.replace(secret, "[key]")
        return text

    async def problem(self) -> str | None:
        """Why this model cannot be asked, in one sentence for the operator; None when it can. Costs nothing.

        Only Anthropic itself has a free answer to that; elsewhere the first job finds out.
        """
        if not isinstance(self._client, anthropic.AsyncAnthropic) or self._access.platform != "anthropic":
            return None
        where = self._client.base_url.host
        try:
            card = await self._client.models.retrieve(self._model, timeout=10.0)
        except anthropic.APIStatusError as error:
            return model_error(self._failure(error)).message
        except anthropic.AnthropicError:
            return f"Claude's API cannot be reached at {where}: check the network and ANTHROPIC_BASE_URL."
        if not isinstance(card, ModelInfo):
            return f"What answers at {where} is not the Claude API: check ANTHROPIC_BASE_URL."
        if card.lifecycle == "retired":
            return f"The model {self._model} is retired: set BACKSPACE_MODEL to another, such as {DEFAULT_MODEL}."
        self._window = card.max_input_tokens or self._window
        self._abilities.most_output = min(card.max_tokens or MOST_OUTPUT, MOST_OUTPUT)
        return None

    async def aclose(self) -> None:
        await self._client.close()


class _Rejected(Exception):
    """HTTP 400: the request, or a part of it that this model does not know."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def _said_by_platform(body: object) -> str:
    """The clouds answer some errors in a form of their own."""
    return str(body.get("message") or "") if isinstance(body, dict) else ""
