"""Protobuf's wire format, as far as ONNX files need it: the inference environment has no onnx package."""

from __future__ import annotations

from typing import Any, Iterable, List, NamedTuple, Tuple

_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5


class Field(NamedTuple):
    """One field of a message. value: an int where kind is 0 (a varint), else the field's bytes."""

    number: int
    kind: int
    value: Any

    def text(self) -> str:
        return self.value.decode()


def read(message: bytes) -> List[Field]:
    """The fields of a message, in order. Raises ValueError where the bytes are none."""
    fields, at = [], 0
    while at < len(message):
        key, at = _read_varint(message, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _read_varint(message, at)
            fields.append(Field(number, kind, value))
            continue
        if kind == _DELIMITED:
            length, at = _read_varint(message, at)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"protobuf has no field of kind {kind}: the file is damaged")
        fields.append(Field(number, kind, bytes(message[at : at + length])))
        at += length
    return fields


def write(fields: Iterable[Field]) -> bytes:
    """The inverse of `read`."""
    parts = []
    for number, kind, value in fields:
        parts.append(_varint(number << 3 | kind))
        if kind == _VARINT:
            parts.append(_varint(value))
        else:
            parts += [_varint(len(value)), value] if kind == _DELIMITED else [value]
    return b"".join(parts)


def number(field: int, value: int) -> Field:
    """An integer, of which a negative one is written in two's complement of 64 bits."""
    return Field(field, _VARINT, value & 0xFFFFFFFFFFFFFFFF)


def data(field: int, value: bytes) -> Field:
    return Field(field, _DELIMITED, value)


def text(field: int, value: str) -> Field:
    return Field(field, _DELIMITED, value.encode())


def fixed32(field: int, value: bytes) -> Field:
    return Field(field, _FIXED32, value)


def _read_varint(message: bytes, at: int) -> Tuple[int, int]:
    result, shift = 0, 0
    while True:
        if at >= len(message):
            raise ValueError("a protobuf message ends within a number: the file is damaged")
        byte = message[at]
        at += 1
        result |= (byte & 127) << shift
        if byte < 128:
            return result, at
        shift += 7


def _varint(value: int) -> bytes:
    result = b""
    while value > 127:
        result += bytes([value & 127 | 128])
        value >>= 7
    return result + bytes([value])
