"""The frames between us and our children: a length, then msgpack."""

import struct
from typing import Any

import msgpack

LENGTH = struct.Struct("<I")


def pack(frame: Any) -> bytes:
    body: bytes = msgpack.packb(frame)
    return LENGTH.pack(len(body)) + body
