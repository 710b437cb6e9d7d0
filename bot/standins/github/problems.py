"""GitHub's error answers."""

from collections.abc import Mapping, Sequence
from typing import Any

DOCS = "https://docs.github.com/rest"


class Problem(Exception):
    """An answer that ends the request: status, message, and GitHub's list of `errors` where it gives one."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        errors: Sequence[Any] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = tuple(errors)
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        said: dict[str, Any] = {"message": self.message}
        if self.errors:
            said["errors"] = list(self.errors)
        return said | {"documentation_url": DOCS, "status": str(self.status)}


def not_found() -> Problem:
    return Problem(404, "Not Found")


def bad_credentials() -> Problem:
    return Problem(401, "Bad credentials")


def forbidden(accepted: str = "") -> Problem:
    """`accepted` names the permissions that would do, for the header GitHub sends."""
    headers = {"X-Accepted-GitHub-Permissions": accepted} if accepted else {}
    return Problem(403, "Resource not accessible by integration", headers=headers)


def invalid(resource: str, field: str, code: str, message: str | None = None) -> Problem:
    """422 with one error of GitHub's usual form; `code`: missing, missing_field, invalid, already_exists, custom."""
    error = {"resource": resource, "field": field, "code": code}
    return Problem(422, "Validation Failed", errors=[error if message is None else error | {"message": message}])


def refused(resource: str, message: str) -> Problem:
    """422 whose reason is a sentence and no field."""
    return Problem(422, "Validation Failed", errors=[{"resource": resource, "code": "custom", "message": message}])


def invalid_request(detail: str) -> Problem:
    """422 of the newer endpoints, whose reason is in the message itself."""
    return Problem(422, f"Invalid request.\n\n{detail}")
