"""Which model of a run works now, which one goes on when it cannot, and whether in the same conversation."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from bot.agent import rules
from bot.agent.entries import switch_entry
from bot.agent.handoff import progress_text
from bot.agent.ledger import Ledger
from bot.agent.recipes import recipes
from bot.domain.errors import ModelError, UserError
from bot.domain.events import ModelSwitched
from bot.domain.job import Patch
from bot.ports import Model

LEAST_GROWTH = 2  # times its first prompt; a conversation that begins long is not shortened over and over
TOO_LONG = "The conversation has grown too long for it."
ANOTHER_FAMILY = "The models of this bot were changed, and the one that works now cannot read the conversation."


def chain_of(
    names: Sequence[str], model_named: Callable[[str], Model], *, wish: str | None = None
) -> tuple[Model, ...]:
    """The models in the order in which they take over; what the request wishes for comes first.

    Those this bot has not are left out. Raises UserError for a wish it has not, and where nothing is left.
    """
    models = [model_named(wish)] if wish else []
    problem: UserError | None = None
    for name in names:
        try:
            models.append(model_named(name))
        except UserError as error:
            problem = error
    if problem and not models:
        raise problem
    return tuple(dict.fromkeys(models))


@dataclass(frozen=True, slots=True)
class Switch:
    """`anew`: in a new conversation. `setback`: why the model before is set aside for the run, "" when it is not."""

    model: Model
    anew: bool
    setback: str = ""


def way_on(
    error: ModelError, *, current: Model, models: Sequence[Model], has_answer: bool, usable: Sequence[Model]
) -> Switch | None:
    """None when nothing can go on. A model that was set aside never comes back: each switch writes the cache anew.

    `has_answer`: the conversation holds an answer, so that a new one would be shorter. `usable`: those of `models` that
    may take over now.
    """
    if error.remedy == "stop":
        return None
    if error.remedy in ("context", "longer") and has_answer:
        return Switch(current, anew=True)
    place = next((place for place, model in enumerate(models) if model is current), len(models))
    following = next((model for model in models[place + 1 :] if model in usable), None)
    if following is None:
        return None
    anew = has_answer and following.family != current.family
    return Switch(following, anew, f"{current.name}: {error.message}")


def usable(models: Sequence[Model], *, request: str, changed: bool) -> tuple[Model, ...]:
    """The rule agent carries out a whole request or nothing: only one it understands, and only on an untouched tree."""
    fit = not changed and bool(recipes(request))
    return tuple(model for model in models if fit or model.family != rules.NAME)


def switched(before: Model, switch: Switch, why: str) -> str:
    """For watchers: which model works from here on, and why. `why` is a sentence."""
    if switch.model is before:
        return f"{before.name} goes on in a new conversation, from a summary of the work so far: {why}"
    how = "in a new conversation, from a summary of the work so far" if switch.anew else "in its place"
    return f"{before.name} is set aside for this run, {switch.model.name} goes on {how}: {why}"


def no_way_on(error: ModelError, current: Model, setbacks: Sequence[str]) -> str:
    """Why the run ends: every model of the chain with what was wrong with it."""
    if not setbacks:
        return error.message
    return " ".join(["No model of the chain could go on.", *setbacks, f"{current.name}: {error.message}"])


class Chain:
    """The models of one run. Which of them works now stands in the journal, so a resumed run knows it too."""

    def __init__(
        self,
        models: Sequence[Model],
        ledger: Ledger,
        *,
        request: str,
        patch: Callable[[], Awaitable[Patch | None]],
    ) -> None:
        """`patch`: what the work tree differs by now, None when it cannot be told."""
        self._models = tuple(models)
        self._ledger = ledger
        self._request = request
        self._patch = patch

    @property
    def model(self) -> Model:
        """The first, until the journal says another."""
        chosen = self._ledger.progress.chosen
        return next((model for model in self._models if model.name == chosen), self._models[0])

    async def take_over(self) -> None:
        """Before a request: a resumed run whose models are not those it began with gets a conversation they can read.

        A run that has come to its end asks nobody, and ends as its journal says.
        """
        progress = self._ledger.progress
        if progress.family and progress.family != self.model.family and progress.has_answer:
            await self._switch(Switch(self.model, anew=True), ANOTHER_FAMILY)

    async def shorten(self) -> None:
        """A conversation that has grown past what the model should read begins anew, if that makes it much shorter."""
        progress = self._ledger.progress
        longest = max(self.model.longest_prompt, LEAST_GROWTH * progress.first_prompt)
        if progress.has_answer and progress.last_prompt > longest:
            await self._switch(Switch(self.model, anew=True), TOO_LONG)

    async def go_on_after(self, error: ModelError) -> str | None:
        """After a failure for good: switches, or says in words why the run ends. Raises LeaseLost, ProviderError."""
        progress, patch = self._ledger.progress, await self._patch()
        fit = usable(self._models, request=self._request, changed=patch is None or bool(patch.changes))
        switch = way_on(error, current=self.model, models=self._models, has_answer=progress.has_answer, usable=fit)
        if switch is None:
            return no_way_on(error, self.model, progress.setbacks)
        await self._switch(switch, error.message)
        return None

    async def _switch(self, switch: Switch, why: str) -> None:
        before, summary = self.model, ""
        if switch.anew:
            patch = await self._patch()
            diff = "[it cannot be shown: look at it with git]" if patch is None else patch.diff
            summary = progress_text(self._ledger.entries(), diff=diff, reason=why)
        entry = switch_entry(
            self._ledger.progress.switches + 1,
            model=switch.model.name,
            family=switch.model.family,
            setback=switch.setback,
            progress=summary,
        )
        event = ModelSwitched(before.name, switch.model.name, switched(before, switch, why))
        await self._ledger.record(event, entry=entry)
