"""Any event from plain values and back: made once a process, for store, stream and recordings."""

from typing import Annotated

from pydantic import Field, TypeAdapter

from bot.domain.events import JobEvent

EVENT: TypeAdapter[JobEvent] = TypeAdapter(Annotated[JobEvent, Field(discriminator="kind")])
