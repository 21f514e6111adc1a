"""What the endpoints that store share, and how readers see what was just stored."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import TimeoutError as FutureTimeoutError

from tracecanary.api.receiver.tokens import Tokens
from tracecanary.collector.intake import Intake
from tracecanary.collector.intake_requests import LogRequest, OtlpBody
from tracecanary.schema import LakeError

_logger = logging.getLogger(__name__)
_PUBLISH_PATIENCE_S = 5.0
# Readers may ask for this many small segments at once, and that these be derived, and for one more each second.
_HURRY_BURST = 20.0


class Receiver:
    """The intake, who may send to it, and how often readers may hurry it."""

    def __init__(self, intake: Intake, tokens: Tokens) -> None:
        self.intake = intake
        self.tokens = tokens
        # Guards the two fields below.
        self._lock = threading.Lock()
        self._turns = _HURRY_BURST
        self._counted_s = time.monotonic()

    def log_request(self, body: OtlpBody) -> LogRequest:
        """Return the logs in `body`, which arrive now."""
        return LogRequest(body, self.intake.pass_rules, time.time_ns())

    def publish(self) -> None:
        """Put what was acknowledged into the lake, as far as that can be written."""
        if not self.intake.has_unpublished_rows:
            return
        try:
            self.intake.publish(_PUBLISH_PATIENCE_S)
        except (LakeError, FutureTimeoutError) as error:
            _logger.debug("answering without what is in the journal: %s", error)

    def may_hurry(self) -> bool:
        """Whether it is a reader's turn to have everything brought up to date; the others see what is known."""
        with self._lock:
            now_s = time.monotonic()
            self._turns = min(self._turns + now_s - self._counted_s, _HURRY_BURST)
            self._counted_s = now_s
            if self._turns < 1:
                return False
            self._turns -= 1
            return True
