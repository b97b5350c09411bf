"""CEA-608 and CEA-708 captions inside H.264 and H.265: put back into the packets that an encoder made.

Captions lie in messages beside the picture (SEI, user data registered by ITU-T T.35): ATSC A/53, part 4, 6.2.3.
"""

from __future__ import annotations

from typing import Any

from av.packet import Packet

CODECS = frozenset(("h264", "hevc"))
"""Video codecs whose packets take captions."""
_BEGINNINGS = (b"GA94", b"CC\x01\xf8")  # of ATSC A/53, and of DVDs
_START = b"\0\0\0\1"
_MOST = 31  # triplets in a message: their number has five bits


class CaptionWatch:
    """Notices whether a stream holds captions at all, so that pictures of others need not be searched."""

    def __init__(self) -> None:
        self.seen = False

    def look_at(self, packet: Packet[Any]) -> None:
        """Look for what captions begin with in a packet that goes to the decoder."""
        if not self.seen and packet.size:
            data = bytes(packet)
            self.seen = any(beginning in data for beginning in _BEGINNINGS)


def add_captions(packet: Packet[Any], captions: bytes, codec: str) -> Packet[Any]:
    """Make the packet anew with captions in front of its picture.

    Args:
        packet: An encoder's packet, its parts divided by start codes.
        captions: Triplets of bytes, as a decoder gives them.
        codec: `h264` or `hevc`.
    """
    data = bytes(packet)
    place = _first_slice(data, codec)
    result: Packet[Any] = Packet(data[:place] + make_message(captions, codec) + data[place:])
    result.pts, result.dts, result.time_base = packet.pts, packet.dts, packet.time_base
    result.duration, result.is_keyframe = packet.duration, packet.is_keyframe
    result.stream = packet.stream
    return result


def make_message(captions: bytes, codec: str) -> bytes:
    """A whole SEI unit, with its start code."""
    count = min(len(captions) // 3, _MOST)
    payload = b"\xb5\x00\x31GA94\x03" + bytes([0x40 | count, 0xFF]) + captions[: 3 * count] + b"\xff"
    header = b"\x06" if codec == "h264" else b"\x4e\x01"
    message = b"\x04" + bytes([len(payload)]) + payload + b"\x80"
    return _START + header + _escape(message)


def _escape(data: bytes) -> bytes:
    """Keep zeros in the data from looking like a start code."""
    escaped, zeros = bytearray(), 0
    for byte in data:
        if zeros >= 2 and byte <= 3:
            escaped.append(3)
            zeros = 0
        escaped.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(escaped)


def _first_slice(data: bytes, codec: str) -> int:
    """Where the start code of the first unit of a picture lies; the end where there is none."""
    place = data.find(b"\0\0\1")
    while 0 <= place < len(data) - 3:
        first = data[place + 3]
        kind = first & 31 if codec == "h264" else first >> 1 & 63
        if 1 <= kind <= 5 if codec == "h264" else kind < 32:
            return place - 1 if place and data[place - 1] == 0 else place
        place = data.find(b"\0\0\1", place + 3)
    return len(data)
