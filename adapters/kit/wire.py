"""The wire between controller and worker: JSON messages, each after its length in four bytes.

It runs over a pipe of its own, so that what a framework prints can never be taken for a message. This is the
one module of the kit that the controller uses too.
"""

from __future__ import annotations

import json
import struct
from typing import Any, BinaryIO, Dict, Optional

_LENGTH = struct.Struct("<I")

#: No message is longer: arrays travel as files, and a length beyond this is rubbish, not a message.
MAX_MESSAGE_BYTES = 64 * 1024 * 1024

#: The mode in which a network is not lowered from the Program, but written by hand: adapters/NAME/native/MODEL.py.
NATIVE_MODE = "native"


class WireError(Exception):
    """The other side broke the protocol: rubbish, or an end in the middle of a message."""


def send(stream: BinaryIO, message: Dict[str, Any]) -> None:
    """Write one message and flush it."""
    body = json.dumps(message).encode("utf-8")
    if len(body) > MAX_MESSAGE_BYTES:
        raise WireError(f"a message of {len(body)} bytes; at most {MAX_MESSAGE_BYTES} are allowed")
    stream.write(_LENGTH.pack(len(body)) + body)
    stream.flush()


def receive(stream: BinaryIO) -> Optional[Dict[str, Any]]:
    """The next message, or None where the stream ended between two messages."""
    header = _read(stream, _LENGTH.size, end_allowed=True)
    if header is None:
        return None
    (length,) = _LENGTH.unpack(header)
    if length > MAX_MESSAGE_BYTES:
        raise WireError(f"a message of {length} bytes is announced; at most {MAX_MESSAGE_BYTES} are allowed")
    body = _read(stream, length) or b""
    try:
        message = json.loads(body.decode("utf-8"))
    except ValueError as error:
        raise WireError(f"not a message: {error}") from None
    if not isinstance(message, dict):
        raise WireError(f"a message is an object, not {type(message).__name__}")
    return message


def _read(stream: BinaryIO, count: int, end_allowed: bool = False) -> Optional[bytes]:
    data = b""
    while len(data) < count:
        piece = stream.read(count - len(data))
        if not piece:
            if end_allowed and not data:
                return None
            raise WireError(f"the stream ended after {len(data)} of {count} bytes")
        data += piece
    return data
