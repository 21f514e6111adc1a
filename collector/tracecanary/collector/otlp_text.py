"""Protobuf messages with text that is no UTF-8. Pure.

Some senders write such text unchecked: the Collector passes on what it gets, and Go's older encoder does not look. The
decoder then refuses the whole message, thousands of good spans with it, though every field can be told apart: text has
the same form on the wire as bytes.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.protobuf.descriptor_pb2 import DescriptorProto
    from google.protobuf.descriptor_pool import DescriptorPool


def with_readable_text(body: bytes, kind: Any) -> bytes | None:
    """Return `body`, a message of the class `kind`, with U+FFFD for what is no UTF-8; None if it is damaged."""
    from google.protobuf.message import DecodeError

    message = _with_bytes_for_text(kind)()
    try:
        message.ParseFromString(body)
    except DecodeError:
        return None
    return message.SerializeToString() if _mend(message, kind.DESCRIPTOR) else None


def _mend(message: Any, descriptor: Any) -> bool:
    """Replace what is no UTF-8 in fields that are text in `descriptor`; return whether there was any."""
    has_mended = False
    for field, content in message.ListFields():
        is_many = field.is_repeated
        if field.message_type is not None:
            inner = descriptor.fields_by_name[field.name].message_type
            for item in content if is_many else (content,):
                has_mended = _mend(item, inner) or has_mended
        elif descriptor.fields_by_name[field.name].type == field.TYPE_STRING:
            texts = [text.decode("utf-8", "replace").encode() for text in (content if is_many else (content,))]
            if texts != list(content if is_many else (content,)):
                has_mended = True
                if is_many:
                    content[:] = texts
                else:
                    setattr(message, field.name, texts[0])
    return has_mended


@functools.cache
def _with_bytes_for_text(kind: Any) -> Any:
    """Return a message class like `kind` whose text is bytes."""
    from google.protobuf.descriptor_pool import DescriptorPool
    from google.protobuf.message_factory import GetMessageClass

    pool = DescriptorPool()
    _add_file(pool, kind.DESCRIPTOR.file, set())
    return GetMessageClass(pool.FindMessageTypeByName(kind.DESCRIPTOR.full_name))


def _add_file(pool: DescriptorPool, file: Any, added: set[str]) -> None:
    from google.protobuf.descriptor_pb2 import FileDescriptorProto

    if file.name in added:
        return
    added.add(file.name)
    for dependency in file.dependencies:
        _add_file(pool, dependency, added)
    described = FileDescriptorProto()
    file.CopyToProto(described)
    for message in described.message_type:
        _make_text_bytes(message)
    pool.Add(described)


def _make_text_bytes(message: DescriptorProto) -> None:
    for field in message.field:
        if field.type == field.TYPE_STRING:
            field.type = field.TYPE_BYTES
    for nested in message.nested_type:
        _make_text_bytes(nested)
