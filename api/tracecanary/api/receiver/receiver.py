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
_REFRESH_PATIENCE_S = 5.0
# Readers may ask for this many small segments at once, and for one more each second.
_REFRESH_BURST = 20.0


class Receiver:
    """The intake, who may send to it, and how often readers may hurry it."""

    def __init__(self, intake: Intake, tokens: Tokens) -> None:
        self.intake = intake
        self.tokens = tokens
        # Guards the two fields below.
        self._lock = threading.Lock()
        self._refreshes = _REFRESH_BURST
        self._counted_s = time.monotonic()

    def log_request(self, body: OtlpBody) -> LogRequest:
        """Return the logs in `body`, which arrive now."""
        return LogRequest(body, self.intake.pass_rules, time.time_ns())

    def refresh(self) -> None:
        """Make what was acknowledged visible, so that an answer shows what its asker has just sent.

        Under a stream of requests most readers see what is sealed: at most an interval old.
        """
        if not self.intake.has_unpublished_rows or not self._may_refresh():
            return
        try:
            self.intake.publish(_REFRESH_PATIENCE_S)
        except (LakeError, FutureTimeoutError) as error:
            _logger.debug("answering without what is in the journal: %s", error)

    def _may_refresh(self) -> bool:
        with self._lock:
            now_s = time.monotonic()
            self._refreshes = min(self._refreshes + now_s - self._counted_s, _REFRESH_BURST)
            self._counted_s = now_s
            if self._refreshes < 1:
                return False
            self._refreshes -= 1
            return True
