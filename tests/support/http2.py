"""HTTP/2 frames by hand, for requests that no gRPC client would send."""

import struct
from collections.abc import Mapping

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING = 0, 1, 4, 6
END_STREAM, END_HEADERS, ACK = 1, 4, 1


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


BEGINNING = PREFACE + frame(SETTINGS, 0, 0)
SETTINGS_ACK = frame(SETTINGS, ACK, 0)


def call_headers(stream: int, path: str, more: Mapping[bytes, bytes] | None = None) -> bytes:
    headers = {
        b":method": b"POST",
        b":scheme": b"http",
        b":path": path.encode(),
        b":authority": b"api",
        b"te": b"trailers",
        b"content-type": b"application/grpc",
        **(more or {}),
    }
    # Literal, and never indexed (RFC 7541, 6.2.3).
    block = b"".join(b"\x10" + _string(name) + _string(value) for name, value in headers.items())
    return frame(HEADERS, END_HEADERS, stream, block)


def message_prefix(length: int) -> bytes:
    """The prefix of an uncompressed gRPC message of this length."""
    return struct.pack(">BI", 0, length)


def _string(text: bytes) -> bytes:
    assert len(text) < 127
    return bytes([len(text)]) + text
