"""What has to hold before `backspace run` costs anything: settings, checkout, rules, a place for the result."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bot.agent.switching import chain_of
from bot.config import RULES, Config
from bot.domain.errors import UserError
from bot.intake.reading import subjects_of
from bot.journey import check_instructions
from bot.local.git import check_branch, has_uncommitted, head_of, last_subjects, toplevel
from bot.ports import Remote
from bot.publish.mirror import Mirror
from bot.repo_config import PATH, Budget, RepoConfig, lowered, repo_config
from bot.sandboxes.images import PARTS, image_for
from bot.setup.plan import SetupWish, setup_plan
from bot.setup.premises import Premises
from bot.setup_wiring import setup_rules
from bot.wiring import models, sandbox_provider

LOCAL_REPOSITORY = 0  # no GitHub repository has this id
NO_IMAGES = ("e2b", "daytona")  # every job there has the one template or snapshot of the settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What was asked for at the terminal. `branch`, `image` and `model` may be ""; `patch` None: no file is to be
    written."""

    prompt: str
    repo: Path
    model: str = ""
    branch: str = ""
    image: str = ""
    patch: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """All that has to hold before anything costs money."""

    config: Config
    wish: Wish
    repo: Path
    premises: Premises
    rules: RepoConfig
    models: tuple[str, ...]
    paths: tuple[str, ...]
    budget: Budget
    uncommitted: bool
    subjects: tuple[str, ...]


def local_config(env: Mapping[str, str], model: str | None, budget: float | None = None) -> Config:
    """The settings that matter without GitHub; without a key and without a wish, the rule agent works.

    Raises UserError, ConfigFault.
    """
    wanted = RULES if rules_for_want_of_a_key(env, model) else model or env.get("BACKSPACE_MODEL")
    settings = {k: v for k, v in env.items() if not k.startswith("GITHUB_")}
    if wanted:
        settings["BACKSPACE_MODEL"] = wanted
    if budget is not None:
        settings["BACKSPACE_BUDGET_USD"] = str(budget)
    return Config.from_env(settings, role="local")


def rules_for_want_of_a_key(env: Mapping[str, str], model: str | None) -> bool:
    return not (model or env.get("BACKSPACE_MODEL") or env.get("ANTHROPIC_API_KEY"))


async def made_ready(config: Config, wish: Wish) -> Ready:
    """Raises UserError for what has to be put right first, and ProviderError."""
    if wish.patch is not None:
        check_place(wish.patch)
    provider = sandbox_provider(config)
    _check_image(config, wish.image, provider.name)
    problem = provider.problem()
    if problem:
        raise UserError(problem)
    repo = await toplevel(wish.repo)
    sha = await head_of(repo)
    if wish.branch:
        await check_branch(repo, wish.branch)
    mirror = Mirror(config.home / "mirrors", environment=os.environ)
    workspace = await mirror.pin(Remote(str(repo), ""), repo_id=LOCAL_REPOSITORY, sha=sha)
    rules = repo_config(await workspace.base_file(PATH))
    await check_instructions(rules, workspace)
    paths = await workspace.base_paths()
    image = wish.image or rules.image or image_for(paths)
    plan = await setup_plan(
        workspace,
        SetupWish(commands=rules.setup, network=rules.network, required=rules.setup_required),
        setup_rules(config),
        repo_id=int.from_bytes(hashlib.sha256(str(repo).encode()).digest()[:6]),
        provider=provider.name,
        image=image,
    )
    return Ready(
        config=config,
        wish=wish,
        repo=repo,
        premises=Premises(provider, workspace, plan, image),
        rules=rules,
        models=await models_of(config, wish, rules),
        paths=paths,
        budget=lowered(Budget(usd=config.budget_usd, turns=config.turns, minutes=config.minutes), rules.budget),
        uncommitted=await has_uncommitted(repo),
        subjects=subjects_of(await last_subjects(repo, sha)),
    )


async def models_of(config: Config, wish: Wish, rules: RepoConfig) -> tuple[str, ...]:
    """The terminal's, else the repository's as far as there are keys, else those of the settings. Raises UserError."""
    if wish.model or not rules.model:
        return config.models
    try:
        async with models(config) as model_named:
            return tuple(model.name for model in chain_of(rules.model, model_named))
    except UserError as error:
        raise UserError(f"{PATH}: {error} --model chooses another.") from None


def check_place(file: Path) -> None:
    """Raises UserError when no file can be written there: the change would be paid for and lost."""
    folder = file.absolute().parent
    if not folder.is_dir():
        raise UserError(f"--patch {file} cannot be written: there is no folder {folder}.")
    if file.is_dir():
        raise UserError(f"--patch {file} cannot be written: it is a folder; name a file.")
    if not os.access(file if file.exists() else folder, os.W_OK):
        raise UserError(f"--patch {file} cannot be written: this user may not write there.")


def _check_image(config: Config, image: str, provider: str) -> None:
    """Raises UserError for an image that is none, and where the sandboxes know no images."""
    if not image:
        return
    if image not in PARTS:
        raise UserError(f"--image {image} is not known: it is one of {', '.join(PARTS)}.")
    has_none = provider in NO_IMAGES or (provider == "bubblewrap" and config.sandbox_rootfs is None)
    if has_none or (provider == "docker" and config.docker_image):
        raise UserError(
            f"--image {image} would change nothing: the sandboxes of {provider} have no choice of images as it is set "
            "up. Leave it out, or see `backspace images --help`."
        )
