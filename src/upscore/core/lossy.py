"""Which image files change the values of their pixels when they are written."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

NAMES = {"JPEG": "JPEG", "MPO": "JPEG", "AVIF": "AVIF", "HEIF": "HEIF"}
"""What people call the formats that do so always, or nearly so, by Pillow's names."""
HEAD = 1 << 16
"""Bytes that name the compression."""


def lossy_format(picture: Image.Image, path: Path) -> str:
    """The name of the format of a picture that was compressed with losses; else nothing.

    Raises:
        OSError: the file cannot be read.
    """
    kind = picture.format or ""
    if kind == "TIFF":
        return "JPEG" if "jpeg" in str(picture.info.get("compression")) else ""
    if kind not in ("WEBP", "JPEG2000"):
        return NAMES.get(kind, "")
    with path.open("rb") as file:
        head = file.read(HEAD)
    if kind == "WEBP":
        return "" if _is_lossless_webp(head) else "lossy WebP"
    style = head.find(b"\xff\x52")  # 13 bytes on: 0 for the transform of fractions, which are lost
    return "lossy JPEG 2000" if head[style + 13 : style + 14] == b"\x00" else ""


def _is_lossless_webp(head: bytes) -> bool:
    """Whether the first picture of a WebP file is lossless, by the names of its parts."""
    place = 12
    while place + 8 <= len(head):
        name, size = head[place : place + 4], int.from_bytes(head[place + 4 : place + 8], "little")
        if name in (b"VP8 ", b"VP8L"):
            return name == b"VP8L"
        # a frame of an animation begins with 16 bytes of its own, then come its parts
        place += 24 if name == b"ANMF" else 8 + size + size % 2
    return False
