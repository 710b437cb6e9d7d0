"""A language model: one conversation in, one whole reply out."""

from typing import Protocol

from bot.domain.conversation import Conversation, Reply


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

    async def ask(self, conversation: Conversation, *, max_tokens: int) -> Reply:
        """One attempt. Raises ModelError for anything but a whole reply."""
        ...
