"""Any model behind a chat completions endpoint (OpenAI, Gemini's, vLLM, Ollama): one request, one whole reply."""

import asyncio
import logging

import httpx2
import openai
import structlog

from bot.domain.conversation import Conversation, Reply
from bot.domain.errors import ModelError
from bot.domain.pricing import Price, plain_name
from bot.models.abilities import HANDOFF_SHARE, KNOWN, MOST_OUTPUT, Abilities, Known
from bot.models.chat_failures import PROVIDER, chat_error
from bot.models.chat_render import ABILITIES, LACKING, OUTPUT_LIMIT, render
from bot.models.chat_reply import ChatGathering, tokens_of
from bot.models.classify import Failure, wait_of
from bot.models.listening import Listener, Patience, http_manners
from bot.models.reply import size_of

PUBLIC_API = "https://api.openai.com/v1"
FAMILY = "chat"
HANDOFF_TOKENS = 400_000
NO_KEY = "none"  # the SDK insists on one; a server of one's own asks for none
LEAST_OUTPUT = 1_000
WINDOW = 128_000  # where nobody says how much a model reads
# How vLLM, SambaNova, Groq and Mistral name it in a model's card.
TELLS_WINDOW = ("max_model_len", "context_length", "context_window", "max_context_length")

log = structlog.get_logger()


class OpenAIModel:
    """The `Model` port on the `openai` SDK, which never retries here: the agent's loop decides that."""

    family = FAMILY

    def __init__(
        self,
        api_key: str,
        *,
        model: str,
        name: str | None = None,
        base_url: str | None = None,
        effort: str = "",
        handoff_tokens: int = HANDOFF_TOKENS,
        price: Price | None = None,
        http_client: httpx2.AsyncClient | None = None,
        patience: Patience | None = None,
    ) -> None:
        """`model` is the endpoint's id, `name` what this bot calls it. `base_url` None: OpenAI's own.

        `api_key` "" where the server asks for none. `effort` "": the model's own.
        """
        logging.getLogger("openai").setLevel(logging.INFO)  # at DEBUG the SDK logs request bodies: prompts
        self._api_key = api_key
        self._model = model
        self.name = name or model
        self.effort = effort
        self._handoff_tokens = handoff_tokens
        self.price = price
        patience = patience or Patience()
        self._listener = Listener(provider=PROVIDER, who=model, id_header="x-request-id", patience=patience)
        known = KNOWN.get(plain_name(model), Known(WINDOW, MOST_OUTPUT))
        self._window = known.window
        renamed = OUTPUT_LIMIT if base_url is None else "max_tokens"
        self._abilities = Abilities(
            self.name,
            has=(ABILITIES - {OUTPUT_LIMIT}) | {renamed},
            words=LACKING,
            instead={"max_tokens": OUTPUT_LIMIT},
            most_output=known.most_output,
        )
        self._client = openai.AsyncOpenAI(
            api_key=api_key or NO_KEY,
            base_url=base_url or PUBLIC_API,
            max_retries=0,
            timeout=patience.timeout,
            http_client=http_client or openai.DefaultAsyncHttpxClient(**http_manners(patience.timeout)),
        )

    @property
    def longest_prompt(self) -> int:
        return min(self._handoff_tokens, int(HANDOFF_SHARE * self._window))

    async def ask(self, conversation: Conversation, *, max_tokens: int) -> Reply:
        """One attempt. Raises ModelError for anything but a whole reply; cancelling closes the connection."""
        while True:
            try:
                return await self._asked(conversation, max_tokens=min(max_tokens, self._abilities.most_output))
            except openai.BadRequestError as error:
                if not self._abilities.learn(_said(error)):
                    raise self._told(error) from error

    async def _asked(self, conversation: Conversation, *, max_tokens: int) -> Reply:
        body = render(
            conversation, model=self._model, max_tokens=max_tokens, abilities=self._abilities, effort=self.effort
        )
        size = size_of(body)
        room = max(LEAST_OUTPUT, self._window - tokens_of(size))
        if room < max_tokens:  # a server of one's own refuses what its window cannot hold
            max_tokens = body[OUTPUT_LIMIT if OUTPUT_LIMIT in body else "max_tokens"] = room
        gathered = ChatGathering(who=self._model, max_tokens=max_tokens, prompt_bytes=size)
        try:
            opening = self._client.chat.completions.create(**body, stream=True)
            await self._listener.listen(opening, gathered)
        except asyncio.CancelledError as left:
            raise left from self._listener.connection_lost(gathered)
        except openai.BadRequestError:
            raise
        except (openai.APITimeoutError, httpx2.TimeoutException, TimeoutError) as error:
            if not gathered.is_whole:
                raise self._listener.too_slow(error, gathered) from error
        except (openai.APIConnectionError, httpx2.HTTPError, httpx2.StreamError) as error:
            if not gathered.is_whole:
                raise self._listener.connection_lost(gathered, error) from error
        except openai.APIError as error:
            if not gathered.is_whole:
                raise self._told(error, gathered) from error
        return self._listener.reply_of(gathered)

    def _told(self, error: openai.APIError, gathered: ChatGathering | None = None) -> ModelError:
        """As an error for the loop; the operator hears of what only the operator can mend."""
        told = chat_error(self._failure(error), who=self._model, usage=gathered.usage if gathered else None)
        if told.for_operator:
            log.error("a model's settings are wrong", model=self.name, problem=told.message)
        return told

    def _failure(self, error: openai.APIError) -> Failure:
        """An error inside a stream comes without a status: as one that began well."""
        answer = error.response if isinstance(error, openai.APIStatusError) else None
        headers = answer.headers if answer is not None else {}
        text = _said(error)
        return Failure(
            model=self._model,
            status=answer.status_code if answer is not None else 200,
            kind=str(error.type or ""),
            code=str(error.code or ""),
            message=text.replace(self._api_key, "[key]") if self._api_key else text,
            retry_after_s=wait_of(headers.get("retry-after"), date=headers.get("date")),
            request_id=headers.get("x-request-id"),
        )

    async def problem(self) -> str | None:
        """Why this model cannot be asked, in one sentence for the operator; None when it can. Costs nothing."""
        where = self._client.base_url.host
        try:
            card = await self._client.models.retrieve(self._model, timeout=10.0)
        except openai.APIStatusError as error:
            return chat_error(self._failure(error), who=self._model).message
        except openai.OpenAIError:
            return f"The endpoint of {self._model} cannot be reached at {where}: check OPENAI_BASE_URL."
        except ValueError:
            return f"What answers at {where} is no chat completions endpoint: check OPENAI_BASE_URL."
        told = [most for name in TELLS_WINDOW if isinstance(most := getattr(card, name, None), int) and most > 0]
        self._window = min(told, default=self._window)
        return None

    async def aclose(self) -> None:
        await self._client.close()


def _said(error: openai.APIError) -> str:
    """The provider's own words, without what the SDK puts before them."""
    told = error.body.get("message") if isinstance(error.body, dict) else None
    return str(told or error.message)
