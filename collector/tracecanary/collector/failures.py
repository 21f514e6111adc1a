"""What kind of failure a span ended in: the same classes whatever a library calls its exceptions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tracecanary.collector import attributes as names
from tracecanary.collector.coercion import to_int, to_name

_STATUS_ATTRIBUTES = ("http.response.status_code", "http.status_code", "error.code")
_MESSAGE_ATTRIBUTES = ("error.message", "exception.message", "langfuse.observation.status_message")
# What some libraries write instead of a type: the message has the real one.
_USELESS_TYPES = frozenset({"Exception", "Error", "BaseException", "_OTHER"})
_TYPE_IN_MESSAGE = re.compile(r"\s*([A-Za-z_][\w.]{0,200}(?:Error|Exception|Timeout|Exceeded))\b")
_STATUS_IN_MESSAGE = re.compile(r"\b(?:error code|status[_ ]?code|http(?: status)?)\W{0,3}([45]\d\d)\b", re.IGNORECASE)
_MESSAGE_LENGTH = 2_000
_FIRST_ERROR_STATUS = 400

# In this order: a context that is too long is a bad request, too. Looked for in type and message, without separators.
_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("context_length", re.compile(r"contextlength|contextwindow|maximumcontext|promptistoolong|inputistoolong")),
    ("content_filter", re.compile(r"contentfilter|contentpolicy|contentmanagementpolicy|responsibleai|safetysettings")),
    ("rate_limit", re.compile(r"ratelimit|toomanyrequests|resourceexhausted|throttl|quotaexceeded|insufficientquota")),
    ("timeout", re.compile(r"timeout|timedout|deadlineexceeded")),
    ("server", re.compile(r"internalserver|servererror|serviceunavailable|overloaded|badgateway|apiconnection")),
    (
        "client",
        re.compile(r"badrequest|authentication|permissiondenied|notfound|unprocessable|invalidrequest|unauthorized"),
    ),
)
_TOLD_BY_MESSAGE = 3
_SERVER_MESSAGE = re.compile(r"the server had an error|internal server error", re.IGNORECASE)
_SEPARATORS = re.compile(r"[^a-z0-9]")
_STATUS_CLASSES: Mapping[int, str] = {408: "timeout", 504: "timeout", 429: "rate_limit"}
_SERVER_STATUS = 500
_STATUS_END = 600


def failure_type(attributes: Mapping[str, Any], exception: Mapping[str, Any] | None) -> str | None:
    """Return the type of a failure without `error.type`: of its exception, else its HTTP status."""
    if exception is not None:
        name = to_name(exception.get(names.EXCEPTION_TYPE))
        if name in _USELESS_TYPES:
            found = _TYPE_IN_MESSAGE.match(_text(exception.get("exception.message")))
            return found.group(1) if found else name
        if name is not None:
            return name
    status = _status_in(attributes)
    return None if status is None else str(status)


def error_class(
    error_type: str | None,
    attributes: Mapping[str, Any],
    exception: Mapping[str, Any] | None,
    status_message: str = "",
) -> str:
    """Return rate_limit, timeout, server, client, context_length, content_filter or other.

    Without another message, `status_message` is the one, and without a type it may begin with it. Messages are looked
    at here, in the process that made them, and not stored.
    """
    message = next((_text(attributes[name]) for name in _MESSAGE_ATTRIBUTES if name in attributes), "")
    if not message and exception is not None:
        message = _text(exception.get("exception.message"))
    message = message or _text(status_message)
    if error_type is None:
        # As the SDK writes it of an exception: its type, then its message.
        said_type = _TYPE_IN_MESSAGE.match(_text(status_message))
        error_type = said_type.group(1) if said_type else None
    status = _status_in(attributes)
    if status is None:
        in_message = _STATUS_IN_MESSAGE.search(message)
        status = int(in_message.group(1)) if in_message else to_int(error_type)
    by_words = _class_by_words(error_type or "", message)
    if by_words in ("context_length", "content_filter"):
        return by_words
    return _class_by_status(status) or by_words or "other"


def _class_by_status(status: int | None) -> str | None:
    if status is None or not _FIRST_ERROR_STATUS <= status < _STATUS_END:
        return None
    return _STATUS_CLASSES.get(status) or ("server" if status >= _SERVER_STATUS else "client")


def _class_by_words(error_type: str, message: str) -> str | None:
    kind = _SEPARATORS.sub("", error_type.rsplit(".", 1)[-1].lower())
    said = _SEPARATORS.sub("", message.lower())
    # What the context or a filter did is told by the message of a plain bad request, quotas often, too.
    for name, pattern in _PATTERNS[:_TOLD_BY_MESSAGE]:
        if pattern.search(kind) or pattern.search(said):
            return name
    for name, pattern in _PATTERNS[_TOLD_BY_MESSAGE:]:
        if pattern.search(kind):
            return name
    return "server" if _SERVER_MESSAGE.search(message) else None


def _status_in(attributes: Mapping[str, Any]) -> int | None:
    for name in _STATUS_ATTRIBUTES:
        if name in attributes:
            status = to_int(attributes[name])
            if status is not None and status >= _FIRST_ERROR_STATUS:
                return status
    return None


def _text(value: object) -> str:
    return value[:_MESSAGE_LENGTH] if isinstance(value, str) else ""
