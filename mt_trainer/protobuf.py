"""Encoded protocol buffers, as far as a model file has to be looked into (protobuf.dev, "Encoding")."""

from collections.abc import Iterator

MOST_FIELDS = 2_000_000
"""Twice as many as the largest vocabulary has pieces."""


def fields_of_message(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field of an encoded protocol buffer (protobuf.dev, "Encoding").

    Raises:
        ValueError, IndexError: it is not one, or it has more than `MOST_FIELDS`.
    """
    position = num_fields = 0

    def varint() -> int:
        nonlocal position
        value, shift = 0, 0
        while True:
            byte = message[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("a number of more than 64 bits")

    while position < len(message):
        num_fields += 1
        if num_fields > MOST_FIELDS:
            raise ValueError("too many fields")
        tag = varint()
        match tag & 7:
            case 0:
                yield tag >> 3, varint()
                continue
            case 1:
                size = 8
            case 2:
                size = varint()
            case 5:
                size = 4
            case wire_type:
                raise ValueError(f"wire type {wire_type}")
        if position + size > len(message):
            raise ValueError("the last field is cut")
        yield tag >> 3, message[position : position + size]
        position += size
