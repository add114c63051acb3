"""Protobuf messages declared in a few lines, with only the fields that are read.

On the wire they are the originals: same numbers, same bytes. A field may be declared with another
type of the same encoding, for example a nested message as ``bytes`` that is parsed only when it is
not known yet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_KIND = descriptor_pb2.FieldDescriptorProto
_SCALARS: Final = {
    "double": _KIND.TYPE_DOUBLE,
    "int64": _KIND.TYPE_INT64,
    "uint64": _KIND.TYPE_UINT64,
    "uint32": _KIND.TYPE_UINT32,
    "fixed64": _KIND.TYPE_FIXED64,
    "sfixed64": _KIND.TYPE_SFIXED64,
    "string": _KIND.TYPE_STRING,
    "bytes": _KIND.TYPE_BYTES,
}


def messages(package: str, declared: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Message classes by name. A field is ``type name number``; ``*`` before it makes it repeated,
    ``?`` one of the alternatives of a one-of called ``value``.
    """
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package}.proto", package=package, syntax="proto3"
    )
    for name, fields in declared.items():
        message = file.message_type.add(name=name)
        for line in fields:
            kind, field, number = line.lstrip("*?").split()
            added = message.field.add(name=field, number=int(number))
            added.label = _KIND.LABEL_REPEATED if line[0] == "*" else _KIND.LABEL_OPTIONAL
            if kind in _SCALARS:
                added.type = _SCALARS[kind]
            else:
                added.type = _KIND.TYPE_MESSAGE
                added.type_name = f".{package}.{kind}"
            if line[0] == "?":
                if not message.oneof_decl:
                    message.oneof_decl.add(name="value")
                added.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))
        for name in declared
    }
