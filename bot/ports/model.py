"""A language model: one conversation in, one whole reply out."""

from typing import Protocol, runtime_checkable

from bot.domain.conversation import Conversation, Reply, Usage
from bot.domain.pricing import Price


class Model(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def family(self) -> str:
        """Models of one family can go on with each other's conversations; another family needs a new one."""
        ...

    @property
    def longest_prompt(self) -> int:
        """Tokens after which a conversation is better begun anew: it gets dear, and the window is not far."""
        ...

    @property
    def effort(self) -> str:
        """How hard it is set to think, "" as its vendor sets it; a run keeps what it began with."""
        ...

    @property
    def price(self) -> Price | None:
        """The operator's, where one is set; None: the vendor's list price, as far as it is known."""
        ...

    async def ask(self, conversation: Conversation, *, max_tokens: int) -> Reply:
        """One attempt. Raises ModelError for anything but a whole reply."""
        ...


@runtime_checkable
class KeepsWarm(Protocol):
    """A model whose cache of prompts can be kept from forgetting one."""

    @property
    def name(self) -> str: ...

    async def keep_warm(self, conversation: Conversation) -> Usage:
        """Reads the prompt of an earlier request once more, and has nothing answered. Raises ModelError."""
        ...
