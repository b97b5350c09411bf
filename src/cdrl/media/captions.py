"""CEA-608 and CEA-708 captions inside H.264, H.265 and AV1: put back into the packets that an encoder made.

Captions lie in messages beside the picture, as user data registered by ITU-T T.35 (ATSC A/53, part 4, 6.2.3): SEI of
H.264 and H.265, metadata units (OBU) of AV1.
"""

from __future__ import annotations

from typing import Any

from av.packet import Packet

CODECS = frozenset(("h264", "hevc", "av1"))
"""Video codecs whose packets take captions."""
_BEGINNINGS = (b"GA94", b"CC\x01\xf8")  # of ATSC A/53, and of DVDs
_START = b"\0\0\0\1"
_MOST = 31  # triplets in a message: their number has five bits
_AV1_METADATA, _AV1_PICTURES = 5, (3, 6)  # kinds of units of AV1: metadata; a picture, also one that is shown again
_AV1_T35 = b"\x04"  # kind of metadata
_AV1_HAS_SIZE, _AV1_HAS_EXTENSION = 2, 4  # bits of a unit's header


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
        packet: An encoder's packet, its parts divided by start codes, or of AV1 each with its size.
        captions: Triplets of bytes, as a decoder gives them.
        codec: One of `CODECS`.
    """
    data = bytes(packet)
    place = _last_picture(data) if codec == "av1" else _first_slice(data, codec)
    result: Packet[Any] = Packet(data[:place] + make_message(captions, codec) + data[place:])
    result.pts, result.dts, result.time_base = packet.pts, packet.dts, packet.time_base
    result.duration, result.is_keyframe = packet.duration, packet.is_keyframe
    result.stream = packet.stream
    return result


def make_message(captions: bytes, codec: str) -> bytes:
    """A whole SEI unit, with its start code; of AV1 a metadata unit, with its size."""
    count = min(len(captions) // 3, _MOST)
    payload = b"\xb5\x00\x31GA94\x03" + bytes([0x40 | count, 0xFF]) + captions[: 3 * count] + b"\xff"
    if codec == "av1":
        content = _AV1_T35 + payload + b"\x80"  # fewer than 128 bytes, so that the size has one
        return bytes([_AV1_METADATA << 3 | _AV1_HAS_SIZE, len(content)]) + content
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


def _last_picture(data: bytes) -> int:
    """Where the unit of the picture that a packet of AV1 shows lies; the end where there is none.

    Those before it are decoded and not shown: captions in front of them would be lost.
    """
    place, found = 0, len(data)
    while place < len(data) and data[place] & _AV1_HAS_SIZE:
        begin, shift, size, more = place, 0, 0, True
        place += 2 if data[place] & _AV1_HAS_EXTENSION else 1
        while more and place < len(data):  # LEB128
            size |= (data[place] & 127) << shift
            more, shift, place = data[place] > 127, shift + 7, place + 1
        if data[begin] >> 3 & 15 in _AV1_PICTURES:
            found = begin
        place += size
    return found
