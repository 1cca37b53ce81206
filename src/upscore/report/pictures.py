"""Pictures small enough to be carried inside a page."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

WIDTH = 640
"""Pixels; wider pictures are shrunk. A click opens this size, the page shows it smaller."""

QUALITY = 82
FLAT_COLORS = 256


@dataclass(frozen=True)
class Picture:
    """A data URI and its size in pixels."""

    uri: str
    width: int
    height: int


def embed(path: Path) -> Picture | None:
    """A picture file as a data URI at most 640 pixels wide; None when it cannot be read.

    Pictures of few colours (label maps, error maps) stay exact: palette PNG, no blending of
    classes when shrunk. All others become JPEG.
    """
    try:
        with Image.open(path) as opened:
            opened.load()
            return embed_image(opened)
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError):
        return None


def embed_image(picture: Image.Image) -> Picture:
    """As :func:`embed`, of a picture in memory."""
    if picture.mode != "P":
        picture = picture.convert("RGB")
    width, height = picture.size
    size = (WIDTH, max(1, round(height * WIDTH / width))) if width > WIDTH else None
    flat = picture.mode == "P" or picture.getcolors(FLAT_COLORS) is not None
    if size:
        way = Image.Resampling.NEAREST if flat else Image.Resampling.LANCZOS
        picture = picture.resize(size, way)
    stream = io.BytesIO()
    if flat:
        if picture.mode != "P":
            picture = picture.quantize(FLAT_COLORS, dither=Image.Dither.NONE)
        picture.save(stream, format="PNG", optimize=True)
    else:
        picture.save(stream, format="JPEG", quality=QUALITY, optimize=True)
    uri = _uri(stream.getvalue(), "png" if flat else "jpeg")
    return Picture(uri, picture.width, picture.height)


def embed_png(content: bytes) -> Picture:
    """PNG bytes as a data URI, as they are."""
    with Image.open(io.BytesIO(content)) as picture:
        width, height = picture.size
    return Picture(_uri(content, "png"), width, height)


def _uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
