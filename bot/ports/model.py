"""A language model: one conversation in, one whole reply out."""

from typing import Protocol

from bot.domain.conversation import Conversation, Reply


class Model(Protocol):
    @property
    def name(self) -> str: ...

    async def ask(self, conversation: Conversation, *, max_tokens: int) -> Reply:
        """One attempt. Raises ModelError for anything but a whole reply."""
        ...
