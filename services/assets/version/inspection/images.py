"""Decides how large an image is and where it ends, from its headers alone: nothing is unpacked."""

import struct
from collections.abc import Callable, Iterator

from services.assets.version.inspection.danger import refuse
from services.assets.version.inspection.source import Source

# 250 megapixels are a gigabyte when unpacked; posters and panoramas have fewer.
MOST_PIXELS = 250_000_000
# Pieces looked at before a file counts as one whose end isn't known.
MOST_PIECES = 500_000
_PADDING = b"\0\r\n \x1a"
LONGEST_PADDING = 64 * 1024

Size = tuple[int, int]


def size_of(source: Source, media_type: str) -> Size | None:
    """Width and height in pixels, where the format is known and the file isn't broken. Refuses more pixels than
    whoever unpacks them could hold."""
    read = _SIZES.get(media_type)
    try:
        found = read(source) if read else None
    except (struct.error, IndexError):
        found = None
    if found is None or min(found) <= 0:
        return None
    if found[0] * found[1] > MOST_PIXELS:
        refuse("bomb", f"the image has {found[0]} x {found[1]} pixels; {MOST_PIXELS} altogether are the most")
    return found


def refuse_trailing(source: Source, media_type: str) -> None:
    """Refuses what hides behind the end of an image. JPEGs are let be: cameras keep things of their own there."""
    end = _ENDS.get(media_type)
    if end is None:
        return
    try:
        last = end(source)
    except (struct.error, IndexError):
        return
    if last is None or last >= source.size:
        return
    if source.size - last > LONGEST_PADDING or source.at(last, LONGEST_PADDING).strip(_PADDING):
        refuse("hidden_data", f"{source.size - last} bytes follow the end of the image")


def _png(source: Source) -> Size:
    if source.head[12:16] != b"IHDR":
        raise IndexError
    width, height = struct.unpack_from(">II", source.head, 16)
    return width, height


def _gif(source: Source) -> Size:
    width, height = struct.unpack_from("<HH", source.head, 6)
    return width, height


def _bmp(source: Source) -> Size:
    if source.head[14] == 12:
        width, height = struct.unpack_from("<HH", source.head, 18)
    else:
        width, height = struct.unpack_from("<ii", source.head, 18)
    return abs(width), abs(height)


def _psd(source: Source) -> Size:
    height, width = struct.unpack_from(">II", source.head, 14)
    return width, height


def _jpeg(source: Source) -> Size | None:
    position = 2
    for _ in range(10_000):
        marker, kind, length = struct.unpack(">BBH", source.at(position, 4))
        if marker != 0xFF:
            return None
        if kind in range(0xC0, 0xD0) and kind not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", source.at(position + 5, 4))
            return width, height
        if kind == 0xFF:
            position += 1
        else:
            position += 2 + length
    return None


def _webp(source: Source) -> Size | None:
    head = source.head
    kind = head[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if kind == b"VP8 " and head[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", head, 26)
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L" and head[20] == 0x2F:
        (bits,) = struct.unpack_from("<I", head, 21)
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return None


def _heif(source: Source) -> Size | None:
    """The largest picture of several: tiles and thumbnails have sizes of their own."""
    found: list[Size] = []
    position = source.head.find(b"ispe")
    while position >= 0:
        width, height = struct.unpack_from(">II", source.head, position + 8)
        found.append((width, height))
        position = source.head.find(b"ispe", position + 4)
    return max(found, key=lambda each: each[0] * each[1], default=None)


def _tiff(source: Source) -> Size | None:
    order = "<" if source.head.startswith(b"II") else ">"
    (directory,) = struct.unpack_from(order + "I", source.head, 4)
    (entries,) = struct.unpack(order + "H", source.at(directory, 2))
    table = source.at(directory + 2, entries * 12)
    sizes: dict[int, int] = {}
    for offset in range(0, len(table) - 11, 12):
        tag, kind = struct.unpack_from(order + "HH", table, offset)
        if tag in (256, 257):
            sizes[tag] = struct.unpack_from(order + ("H" if kind == 3 else "I"), table, offset + 8)[0]
    return (sizes[256], sizes[257]) if len(sizes) == 2 else None


def _png_end(source: Source) -> int | None:
    position = 8
    for _ in range(MOST_PIECES):
        head = source.at(position, 8)
        if len(head) < 8:
            return None
        position += 12 + int.from_bytes(head[:4], "big")
        if head[4:] == b"IEND":
            return position
    return None


def _riff_end(source: Source) -> int:
    length = int.from_bytes(source.head[4:8], "little")
    return 8 + length + length % 2


def _gif_end(source: Source) -> int | None:
    pieces = _gif_pieces(source)
    for _ in range(MOST_PIECES):
        end = next(pieces)
        if end is not None:
            return end
    return None


def _gif_pieces(source: Source) -> Iterator[int | None]:
    """One step a block: None until the trailer, then where it ends."""

    def colours(flags: int) -> int:
        return 3 << ((flags & 7) + 1) if flags & 0x80 else 0

    position = 13 + colours(source.head[10])
    while True:
        kind = source.at(position, 1)[0]
        if kind == 0x3B:
            yield position + 1
        elif kind == 0x21:
            position += 2
        elif kind == 0x2C:
            position += 11 + colours(source.at(position + 9, 1)[0])
        else:
            raise IndexError
        while length := source.at(position, 1)[0]:
            position += 1 + length
            yield None
        position += 1
        yield None


_SIZES: dict[str, Callable[[Source], Size | None]] = {
    "image/png": _png, "image/gif": _gif, "image/bmp": _bmp, "image/jpeg": _jpeg, "image/webp": _webp,
    "image/avif": _heif, "image/heic": _heif, "image/heif": _heif, "image/tiff": _tiff,
    "image/vnd.adobe.photoshop": _psd,
}  # fmt: skip
_ENDS: dict[str, Callable[[Source], int | None]] = {
    "image/png": _png_end, "image/gif": _gif_end, "image/webp": _riff_end,
}  # fmt: skip
