"""Whether a request carries the operator's token."""

import hmac

from starlette.requests import Request


def bears(request: Request, token: str) -> bool:
    """As `Authorization: Bearer TOKEN`, given once; compared in constant time."""
    given = request.headers.getlist("authorization")
    scheme, _, shown = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    same = hmac.compare_digest(shown.strip().encode("utf-8", "surrogatepass"), token.encode())
    return same and scheme.lower() == "bearer"
