"""Who is calling, and what they may do."""

import base64
import binascii
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import jwt

from bot.standins.github.problems import Problem, bad_credentials, forbidden, not_found
from bot.standins.github.state import App, Installation, Repository, Token
from bot.standins.github.world import World

TOKEN_SECONDS = 3_600
MOST_JWT_SECONDS = 600
TOKEN_LENGTH = 520
LEVELS = {"read": 1, "write": 2, "admin": 3}


@dataclass(frozen=True, slots=True)
class Anonymous:
    kind: str = "anonymous"


@dataclass(frozen=True, slots=True)
class AsApp:
    app: App
    kind: str = "app"


@dataclass(frozen=True, slots=True)
class AsInstallation:
    token: Token
    kind: str = "installation"

    @property
    def installation(self) -> Installation:
        return self.token.installation

    @property
    def app(self) -> App:
        return self.token.installation.app

    def covers(self, repository: Repository) -> bool:
        chosen = self.token.repositories
        return self.installation.covers(repository) and (chosen is None or repository.id in chosen)

    def allows(self, permission: str) -> bool:
        """`permission` is like `issues:write`; every installation may read metadata."""
        name, level = permission.split(":")
        if name == "metadata":
            return True
        return LEVELS.get(self.token.permissions.get(name, ""), 0) >= LEVELS[level]


Caller = Anonymous | AsApp | AsInstallation


def caller_of(world: World, authorization: str | None) -> Caller:
    """Raises Problem 401 for credentials that are not good, or no longer."""
    if not authorization:
        return Anonymous()
    credential = credential_of(authorization)
    if credential is None:
        raise bad_credentials()
    if credential.count(".") == 2 and not credential.startswith("ghs_"):
        return AsApp(app_of_jwt(world, credential))
    token = world.tokens.get(credential)
    if token is None or token.expires_at <= world.now():
        raise bad_credentials()
    if token.installation.suspended_at is not None:
        raise Problem(403, "This installation has been suspended")
    return AsInstallation(token)


def credential_of(authorization: str) -> str | None:
    """The secret in `Bearer x`, `token x` or `Basic base64(user:x)`."""
    scheme, _, rest = authorization.partition(" ")
    match scheme.lower():
        case "bearer" | "token":
            return rest.strip()
        case "basic":
            try:
                return base64.b64decode(rest, validate=True).decode().partition(":")[2]
            except (binascii.Error, UnicodeDecodeError):
                return None
        case _:
            return None


def app_of_jwt(world: World, encoded: str) -> App:
    """Raises Problem 401 with GitHub's words, 404 for an App nobody knows."""
    try:
        unchecked = jwt.decode(encoded, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        raise Problem(401, "A JSON web token could not be decoded") from None
    issuer = str(unchecked.get("iss", ""))
    app = next((a for a in world.apps.values() if issuer in (str(a.id), a.client_id)), None)
    if app is None:
        raise Problem(404, "Integration not found")
    try:
        claims = jwt.decode(
            encoded,
            app.public_key_pem,
            algorithms=["RS256"],
            options={"verify_exp": False, "verify_iat": False, "verify_nbf": False, "verify_iss": False},
        )
    except jwt.InvalidTokenError:
        raise Problem(401, "A JSON web token could not be decoded") from None
    check_claims(claims.get("iat"), claims.get("exp"), now=world.now())
    return app


def check_claims(issued_at: object, expires: object, *, now: float) -> None:
    """RS256, issued no later than now, and 10 minutes at most: the rules of "Generating a JWT for a GitHub App"."""
    if not isinstance(issued_at, int) or issued_at > now:
        raise Problem(
            401,
            "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued",
        )
    if not isinstance(expires, int) or expires <= now:
        raise Problem(
            401,
            "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the "
            "assertion expires",
        )
    if expires > now + MOST_JWT_SECONDS:
        raise Problem(401, "'Expiration time' claim ('exp') is too far in the future")


def mint(
    world: World, installation: Installation, *, repositories: set[int] | None, permissions: dict[str, str]
) -> Token:
    """A token in today's form, `ghs_APPID_JWT`, about 520 characters long."""
    head = f"ghs_{installation.app.id}_{_part({'typ': 'JWT', 'alg': 'RS256'})}."
    body = _part({"jti": secrets.token_hex(16), "ins": installation.id, "exp": int(world.now()) + TOKEN_SECONDS}) + "."
    value = head + body + secrets.token_urlsafe(TOKEN_LENGTH)[: TOKEN_LENGTH - len(head) - len(body)]
    token = Token(value, installation, repositories, permissions, world.now() + TOKEN_SECONDS)
    world.tokens[value] = token
    return token


def _part(claims: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")


def authorize(caller: Caller, repository: Repository, needs: Sequence[str], *, writes: bool) -> None:
    """One of `needs` is enough. The invisible is 404, the forbidden 403; a public repository may be read."""
    if isinstance(caller, AsInstallation) and caller.covers(repository):
        if any(caller.allows(need) for need in needs) or (not writes and not repository.private):
            return
        raise forbidden(accepted(needs))
    if repository.private:
        raise not_found()
    if not writes:
        return
    if isinstance(caller, Anonymous):
        raise Problem(401, "Requires authentication")
    raise forbidden(accepted(needs))


def accepted(needs: Sequence[str]) -> str:
    return "; ".join(need.replace(":", "=") for need in needs)
