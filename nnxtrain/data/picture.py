"""A sheet of images with captions, to look at what a model is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont
    from PIL.ImageFont import ImageFont as BitmapFont

WIDTH = 1200  # of a sheet, in pixels, about
SIDE = 112  # small images are enlarged to at least this
LARGEST = 320  # and large ones brought below this
GAP, MARGIN, LINE = 6, 18, 16
PAPER, INK, FAINT = (255, 255, 255), (30, 30, 30), (110, 110, 110)


@dataclass(frozen=True)
class Tile:
    """One image, uint8 or float (0..1) [H, W, C], and what stands under it; lines are broken at ``" / "``."""

    image: np.ndarray
    caption: str


def sheet(groups: Sequence[Sequence[Tile]], title: str) -> Image:
    """Return a picture of groups of tiles, the tiles of a group side by side, under a title.

    Small images are enlarged by whole numbers without smoothing, so that each pixel can be seen.

    >>> tile = Tile(np.zeros((28, 28, 1), np.uint8), "zero")
    >>> sheet([[tile, tile]], "digits").mode
    'RGB'
    """
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(13)
    drawn = [[_enlarged(tile.image) for tile in group] for group in groups]
    width = max(image.width for group in drawn for image in group)
    height = max(image.height for group in drawn for image in group)
    captions = [[_lines(tile.caption, width, font) for tile in group] for group in groups]
    below = 4 + LINE * max(len(lines) for group in captions for lines in group)

    pair = max(map(len, drawn)) * (width + GAP) - GAP
    rows = -(-len(groups) // max(1, (WIDTH - MARGIN) // (pair + MARGIN)))
    columns = -(-len(groups) // rows)  # as many in each row
    titles = _lines(title, max(columns * (pair + MARGIN) - MARGIN, 240), font)
    top = MARGIN + LINE * len(titles) + GAP
    size = (
        max(columns * (pair + MARGIN), 240 + MARGIN) + MARGIN,
        top + rows * (height + below + GAP) + MARGIN - GAP,
    )
    paper = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(paper)
    for number, line in enumerate(titles):
        draw.text((MARGIN, MARGIN - 6 + number * LINE), line, FAINT, font)
    for place, (images, texts) in enumerate(zip(drawn, captions)):
        row, column = divmod(place, columns)
        x, y = MARGIN + column * (pair + MARGIN), top + row * (height + below + GAP)
        for image, lines in zip(images, texts):
            paper.paste(image, (x + (width - image.width) // 2, y + (height - image.height) // 2))
            for number, line in enumerate(lines):
                draw.text((x + width // 2, y + height + 3 + number * LINE), line, INK, font, "ma")
            x += width + GAP
    return paper


def _enlarged(pixels: np.ndarray) -> Image:
    from PIL import Image

    if pixels.dtype != np.uint8:
        pixels = np.round(np.clip(pixels, 0.0, 1.0) * 255).astype(np.uint8)
    pixels = pixels[..., :3] if pixels.shape[-1] >= 3 else pixels[..., 0]
    image = Image.fromarray(pixels).convert("RGB")
    longest = max(image.size)
    if longest > LARGEST:
        return image.reduce(-(-longest // LARGEST))
    times = -(-SIDE // longest)
    size = (image.width * times, image.height * times)
    return image.resize(size, Image.Resampling.NEAREST)


def _lines(text: str, width: int, font: FreeTypeFont | BitmapFont) -> list[str]:
    """Break a text at ``" / "`` where it is too wide, and cut parts that are too wide by themselves."""
    lines: list[str] = []
    for part in text.split(" / "):
        joined = f"{lines[-1]} / {part}" if lines else part
        if lines and font.getlength(joined) <= width:
            lines[-1] = joined
            continue
        cut = part
        while font.getlength(cut) > width and len(cut) > 1:
            cut = cut.removesuffix("…")[:-1] + "…"
        lines.append(cut)
    return lines
