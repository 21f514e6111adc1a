"""What a comparison keeps to once it has begun: files of the lake that are made once and never changed.

Theory of operation. The rules behind an answer have a hash; `comparisons/<hash>.<kind>.json` holds what was fixed under
them. Who is first creates it, complete; all others, in this process or another, read it.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tracecanary.schema import LakeError, LakeStorage

_logger = logging.getLogger(__name__)

Kind = Literal["plan", "caps", "look"]
COMPARISONS_FOLDER = "comparisons"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What a comparison keeps to; `problem` says why it could not be fixed for others, None if it was."""

    content: Mapping[str, Any]
    problem: str | None = None


def hash_of(rules: Mapping[str, Any]) -> str:
    """Name rules: the same hash means the same rules. 16 hex digits."""
    return hashlib.blake2b(json.dumps(rules, sort_keys=True).encode(), digest_size=8).hexdigest()


def kept(storage: LakeStorage, spec_hash: str, kind: Kind) -> Mapping[str, Any] | None:
    """Return what was fixed; None if nothing was, or its file is damaged.

    Raises:
        LakeError: The lake can't be read.
    """
    name = _name(spec_hash, kind)
    if all(file.name != name for file in storage.files(COMPARISONS_FOLDER)):
        return None
    try:
        content = json.loads(storage.read(name))
    except ValueError as error:
        _logger.warning("%s of the lake is damaged: %s. Remove it to fix it anew.", name, error)
        return None
    return content if isinstance(content, Mapping) else None


def keep(storage: LakeStorage, spec_hash: str, kind: Kind, content: Mapping[str, Any]) -> Kept:
    """Fix `content`, unless something is fixed already; return what holds from now on.

    Raises:
        LakeError: The lake can't be read.
    """
    found = kept(storage, spec_hash, kind)
    if found is not None:
        return Kept(content=found)
    name = _name(spec_hash, kind)
    try:
        is_first = storage.create(name, json.dumps(content, indent=1).encode())
    except LakeError as error:
        return Kept(content=content, problem=f"the {kind} is not fixed for later looks: {error}")
    found = content if is_first else kept(storage, spec_hash, kind)
    if found is None:
        return Kept(
            content=content, problem=f"{name} of the lake is damaged, so that the {kind} is not fixed: remove it"
        )
    return Kept(content=found)


def _name(spec_hash: str, kind: Kind) -> str:
    return f"{COMPARISONS_FOLDER}/{spec_hash}.{kind}.json"
