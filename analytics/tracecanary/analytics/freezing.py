"""What a comparison keeps to once it has begun: files of the lake that are made once and never changed.

Theory of operation. The rules behind an answer have a hash; `comparisons/<hash>.<kind>.json` holds what was fixed under
them. Who is first publishes a complete file under its final name; all others, in this process or another, read it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

_logger = logging.getLogger(__name__)

Kind = Literal["plan", "caps", "look"]
_FOLDER = "comparisons"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What a comparison keeps to; `problem` says why it could not be fixed for others, None if it was."""

    content: Mapping[str, Any]
    problem: str | None = None


def hash_of(rules: Mapping[str, Any]) -> str:
    """Name rules: the same hash means the same rules. 16 hex digits."""
    return hashlib.blake2b(json.dumps(rules, sort_keys=True).encode(), digest_size=8).hexdigest()


def kept(lake: Path, spec_hash: str, kind: Kind) -> Mapping[str, Any] | None:
    """Return what was fixed; None if nothing was, or its file can't be read."""
    try:
        content = json.loads(_path(lake, spec_hash, kind).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        _logger.warning("can't read %s: %s. Remove it to fix it anew.", _path(lake, spec_hash, kind), error)
        return None
    return content if isinstance(content, Mapping) else None


def keep(lake: Path, spec_hash: str, kind: Kind, content: Mapping[str, Any]) -> Kept:
    """Fix `content`, unless something is fixed already; return what holds from now on."""
    found = kept(lake, spec_hash, kind)
    if found is not None:
        return Kept(content=found)
    path = _path(lake, spec_hash, kind)
    try:
        path.parent.mkdir(exist_ok=True)
        is_first = _publish(path, json.dumps(content, indent=1))
    except OSError as error:
        problem = f"the lake can't be written ({error.strerror}), so that the {kind} is not fixed for later looks"
        return Kept(content=content, problem=problem)
    found = content if is_first else kept(lake, spec_hash, kind)
    if found is None:
        return Kept(content=content, problem=f"{path} is damaged, so that the {kind} is not fixed: remove it")
    return Kept(content=found)


def _path(lake: Path, spec_hash: str, kind: Kind) -> Path:
    return lake / _FOLDER / f"{spec_hash}.{kind}.json"


def _publish(path: Path, text: str) -> bool:
    """Write a file whole, unless its name is taken; tell whether it was free."""
    draft = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}")
    try:
        with draft.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        # A link fails if the name is taken; a rename would replace what others already read.
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink(missing_ok=True)
    return True
