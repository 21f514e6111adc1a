"""Bearer tokens of those who may send."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable

from tracecanary.schema import ConfigurationError

_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")  # RFC 6750, section 2.1
_SCHEME = "bearer "


class Tokens:
    """The tokens that are accepted; without any, everybody may send. Shows none of them in its `repr`.

    Raises:
        ConfigurationError: A token has characters that a header can't carry.
    """

    def __init__(self, tokens: Iterable[str] = ()) -> None:
        given = list(tokens)
        wrong = sum(_TOKEN.fullmatch(token) is None for token in given)
        if wrong:
            raise ConfigurationError(
                [f"{wrong} of {len(given)} tokens have other characters than letters, digits and -._~+/="]
            )
        # Of equal length, so that a comparison takes the same time for every token.
        self._digests = [_digest(token) for token in given]

    def __len__(self) -> int:
        return len(self._digests)

    def __repr__(self) -> str:
        return f"Tokens({len(self)} of them)"

    def allow(self, authorization: str | None) -> bool:
        """Tell whether the header `authorization` carries a token that is accepted."""
        if not self._digests:
            return True
        given = authorization or ""
        if given[: len(_SCHEME)].lower() != _SCHEME:
            return False
        digest = _digest(given[len(_SCHEME) :].strip())
        # All are compared, in constant time each: how long it takes tells nothing.
        return sum([hmac.compare_digest(digest, known) for known in self._digests]) > 0


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
