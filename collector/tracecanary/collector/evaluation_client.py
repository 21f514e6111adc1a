"""Sending evaluations to a tracecanary service, with nothing but the standard library."""

from __future__ import annotations

import json
import logging
import random
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from itertools import islice
from typing import Any

from tracecanary.schema import SendError

_logger = logging.getLogger(__name__)
# The most that the service takes in a request.
MAX_BATCH = 10_000
_DEFAULT_BATCH = 1_000
_DEFAULT_TIMEOUT_S = 10.0
_DEFAULT_MAX_TRIES = 6
_MAX_BACKOFF_S = 30.0
_RETRYABLE = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SentEvaluations:
    """What became of evaluations: how many are stored, and why others are not, by their place in what was given."""

    accepted: int
    rejected: Mapping[int, str] = field(default_factory=dict)


class EvaluationClient:
    """Sends evaluations to `POST /v1/evaluations`, in batches, and again while the service asks for it.

    Sending twice is safe: the newest of the same trace, span, name, version and source wins. One thread at a time may
    use a client.

    Args:
        url: Where the service answers, such as http://127.0.0.1:8080.
        token: One of the service's bearer tokens, if it wants any.
        timeout_s: How long one try may take.
        max_tries: How often a batch is sent at most.
        batch_size: Evaluations in a request, up to 10,000.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        timeout_s: float = _DEFAULT_TIMEOUT_S,
        max_tries: int = _DEFAULT_MAX_TRIES,
        batch_size: int = _DEFAULT_BATCH,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"url is {url!r}, but must start with http:// or https://")
        if not 1 <= batch_size <= MAX_BATCH:
            raise ValueError(f"batch_size is {batch_size}, but must be from 1 to {MAX_BATCH}")
        self._url = url.rstrip("/") + "/v1/evaluations"
        self._headers = {"Content-Type": "application/json"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._timeout_s, self._max_tries, self._batch_size = timeout_s, max(max_tries, 1), batch_size

    def __repr__(self) -> str:
        return f"EvaluationClient({self._url!r})"

    def send(self, evaluations: Iterable[Mapping[str, Any]]) -> SentEvaluations:
        """Send `evaluations`, dictionaries with the fields of `POST /v1/evaluations`, and return what became of them.

        Raises:
            SendError: A batch could not be delivered. Those before it are stored.
            ValueError: An evaluation is no JSON, for instance with a score that is NaN.
        """
        accepted = 0
        rejected: dict[int, str] = {}
        for start, batch in self._batches(evaluations):
            receipt = self._send(json.dumps(batch, allow_nan=False).encode())
            accepted += int(receipt["accepted"])
            rejected.update((start + int(item["index"]), str(item["reason"])) for item in receipt["rejected"])
        return SentEvaluations(accepted=accepted, rejected=rejected)

    def _batches(self, evaluations: Iterable[Mapping[str, Any]]) -> Iterator[tuple[int, list[Mapping[str, Any]]]]:
        waiting, start = iter(evaluations), 0
        while batch := list(islice(waiting, self._batch_size)):
            yield start, batch
            start += len(batch)

    def _send(self, body: bytes) -> dict[str, Any]:
        reason = ""
        for number in range(1, self._max_tries + 1):
            try:
                return self._try(body)
            except urllib.error.HTTPError as error:
                with error:
                    reason = f"{error.code} {error.read(2_000).decode(errors='replace')}"
                    retry_after_s = _retry_after_s(error.headers.get("Retry-After"))
                if error.code not in _RETRYABLE:
                    raise SendError(self._url, reason) from error
            except (OSError, TimeoutError) as error:
                reason, retry_after_s = str(error), None
            if number < self._max_tries:
                wait_s = min(2.0 ** (number - 1), _MAX_BACKOFF_S) if retry_after_s is None else retry_after_s
                _logger.warning("%s does not take evaluations now; trying again in %.1f s", self._url, wait_s)
                # Spread, so that many clients don't come back at once.
                time.sleep(wait_s * random.uniform(1.0, 1.2))  # noqa: S311
        raise SendError(self._url, f"{reason}; given up after {self._max_tries} tries")

    def _try(self, body: bytes) -> dict[str, Any]:
        request = urllib.request.Request(self._url, data=body, headers=self._headers)  # noqa: S310  checked above
        with urllib.request.urlopen(request, timeout=self._timeout_s) as response:  # noqa: S310
            receipt: dict[str, Any] = json.load(response)
        return receipt


def _retry_after_s(value: str | None) -> float | None:
    """Return what a `Retry-After` header asks for, seconds or a date; None when it does not say."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return min(float(value), _MAX_BACKOFF_S)
    try:
        return min(max(parsedate_to_datetime(value).timestamp() - time.time(), 0.0), _MAX_BACKOFF_S)
    except ValueError:
        return None
