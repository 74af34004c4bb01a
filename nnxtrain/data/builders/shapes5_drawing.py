"""Draw the pictures of shapes5: one shape on a busy background, 32x32 pixels, RGB.

Each picture is a function of its seed alone. All randomness comes from :class:`random.Random`:
NumPy may change the streams of its generators from one version to the next.
"""

from __future__ import annotations

import math
from random import Random

import numpy as np
from PIL import Image, ImageDraw

CLASS_NAMES = ("circle", "square", "triangle", "star", "cross")
SIZE = 32
_SCALE = 3  # drawn three times as large, then averaged down: smooth edges
_CANVAS = SIZE * _SCALE
_RAMP = np.linspace(-0.5, 0.5, SIZE, dtype=np.float32)

Colour = tuple[int, int, int]
Point = tuple[float, float]


def draw(class_name: str, seed: int) -> Image.Image:
    """Return the picture (RGB, 32x32) of the class ``class_name`` that belongs to ``seed``.

    >>> draw("star", 1).size, draw("star", 1) == draw("star", 1), draw("star", 1) == draw("star", 2)
    ((32, 32), True, False)
    """
    random = Random(seed)
    background, foreground = _contrasting_colours(random)
    image = Image.new("RGB", (_CANVAS, _CANVAS), background)
    canvas = ImageDraw.Draw(image)
    for _ in range(random.randint(1, 4)):
        _clutter(random, canvas, avoid=foreground)
    _shape(random, canvas, class_name, foreground)
    if random.random() < 0.4:
        _occlude(random, canvas, background)
    return _lit_and_noisy(random, image.reduce(_SCALE))


def _contrasting_colours(random: Random) -> tuple[Colour, Colour]:
    """A darker colour for the background and a lighter one for the shape, of any two hues."""
    while True:
        background, foreground = _colour(random), _colour(random)
        if _brightness(foreground) - _brightness(background) > 65:
            return background, foreground


def _colour(random: Random) -> Colour:
    return random.randint(10, 245), random.randint(10, 245), random.randint(10, 245)


def _brightness(colour: Colour) -> float:
    """Luma of ITU-R BT.601, 0 to 255."""
    red, green, blue = colour
    return 0.299 * red + 0.587 * green + 0.114 * blue


def _near(random: Random, colour: Colour, spread: int) -> Colour:
    red, green, blue = (min(255, max(0, c + random.randint(-spread, spread))) for c in colour)
    return red, green, blue


def _clutter(random: Random, canvas: ImageDraw.ImageDraw, avoid: Colour) -> None:
    """A thin line, a small dot or a small rectangle, in a colour unlike the shape's."""
    colour = _colour(random)
    while math.dist(colour, avoid) < 70:
        colour = _colour(random)
    x, y = random.uniform(0, _CANVAS), random.uniform(0, _CANVAS)
    kind = random.randrange(3)
    if kind == 0:
        end = random.uniform(0, _CANVAS), random.uniform(0, _CANVAS)
        canvas.line([(x, y), end], fill=colour, width=random.randint(2, 5))
    else:
        width, height = random.uniform(6, 18), random.uniform(6, 18)
        box = (x, y, x + width, y + height)
        (canvas.ellipse if kind == 1 else canvas.rectangle)(box, fill=colour)


def _shape(random: Random, canvas: ImageDraw.ImageDraw, class_name: str, colour: Colour) -> None:
    radius = random.uniform(7.5, 13.0) * _SCALE
    centre = (
        _CANVAS * random.uniform(0.35, 0.65),
        _CANVAS * random.uniform(0.35, 0.65),
    )
    turn = math.radians(random.uniform(-28, 28))
    stretch = random.uniform(0.8, 1.0)
    outline = [_placed(point, centre, radius, turn, stretch) for point in _unit_outline(class_name)]
    canvas.polygon(outline, fill=colour)


def _unit_outline(class_name: str) -> list[Point]:
    """The outline of a shape of radius 1 around the origin."""
    match class_name:
        case "circle":
            return _ring(36, [1.0])
        case "square":
            return [(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)]
        case "triangle":
            return _ring(3, [1.0])
        case "star":
            return _ring(10, [1.0, 0.42])
        case "cross":
            a = 0.3  # half the width of an arm
            quarter = [(a, a), (a, 1.0), (-a, 1.0)]
            return [
                (x * c - y * s, x * s + y * c)
                for c, s in ((1, 0), (0, 1), (-1, 0), (0, -1))
                for x, y in quarter
            ]
    raise ValueError(f"no shape is called {class_name!r}; shapes: {', '.join(CLASS_NAMES)}")


def _ring(corners: int, radii: list[float]) -> list[Point]:
    angles = [2 * math.pi * i / corners for i in range(corners)]
    return [
        (radii[i % len(radii)] * math.sin(a), -radii[i % len(radii)] * math.cos(a))
        for i, a in enumerate(angles)
    ]


def _placed(point: Point, centre: Point, radius: float, turn: float, stretch: float) -> Point:
    x, y = point[0] * radius, point[1] * radius * stretch
    c, s = math.cos(turn), math.sin(turn)
    return centre[0] + c * x - s * y, centre[1] + s * x + c * y


def _occlude(random: Random, canvas: ImageDraw.ImageDraw, background: Colour) -> None:
    """A bar across the picture, or a patch somewhere in it, that may hide part of the shape."""
    colour = _near(random, background, 60)
    x, y = random.uniform(0.2, 0.8) * _CANVAS, random.uniform(0.2, 0.8) * _CANVAS
    if random.random() < 0.5:
        angle = random.uniform(0, math.pi)
        dx, dy = _CANVAS * math.cos(angle), _CANVAS * math.sin(angle)
        canvas.line([(x - dx, y - dy), (x + dx, y + dy)], fill=colour, width=random.randint(5, 11))
    else:
        half = random.uniform(5, 11)
        canvas.rectangle((x - half, y - half, x + half, y + half), fill=colour)


def _lit_and_noisy(random: Random, image: Image.Image) -> Image.Image:
    """Let coloured light fall in from one side, and add noise of a strength of its own."""
    angle = random.uniform(0, 2 * math.pi)
    tint = np.array([random.uniform(-45, 45) for _ in range(3)], np.float32)
    slope = _RAMP * math.cos(angle) + _RAMP[:, None] * math.sin(angle)
    noise = np.frombuffer(random.randbytes(3 * SIZE * SIZE), np.uint8).reshape(SIZE, SIZE, 3)
    pixels = np.asarray(image, np.float32) + slope[..., None] * tint
    pixels += random.uniform(4, 26) * (noise / np.float32(127.5) - 1)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
