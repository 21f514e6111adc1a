"""Which model a call belongs to.

Calls are grouped by the model that was *asked for*: a failed call names no other, and grouping by the answer's model
would move every failure out of the release it belongs to.
"""

from __future__ import annotations

import re

# "gpt-x-2026-11-01", "gpt-x-20261101", "model@version": the dated name a provider answers with.
_VERSION_SUFFIX = re.compile(r"(-\d{4}-\d{2}-\d{2}|-\d{8}|@[\w.-]+)$")


def canonical_model(request_model: str | None, response_model: str | None) -> str | None:
    """Return the model as asked for, else the answer's model without its version suffix."""
    if request_model is not None:
        return request_model
    if response_model is not None:
        return _VERSION_SUFFIX.sub("", response_model) or response_model
    return None
