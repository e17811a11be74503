"""Pictures of the household: one flat-coloured frame at a time, with Pillow, as a camera would see it.

What does not move is painted once for a room and copied for each of its frames. Every object is drawn inside
the box that `thing_box` gives for it. Nothing here decides where anything is.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from aotd.world.body import Frame, Thing, thing_box
from aotd.world.furniture import FURNITURE
from aotd.world.motion import Episode
from aotd.world.portrait import draw_arms, draw_body
from aotd.world.scene import (
    BACK_ROW,
    CARRIED,
    HEIGHT,
    TABLE_TOP,
    WALL_FOOT,
    WIDTH,
    Colour,
    Look,
    Room,
)
from aotd.world.shapes import INK, SHAPES, lighter

__all__ = ["draw", "paint"]

_PAINTERS: Final = {**SHAPES, **FURNITURE}
_GRAINS: Final = 8
"""Sheets of noise that are taken in turn."""


def draw(episode: Episode, index: int) -> Image.Image:
    """Draw frame `index` of an episode as an RGB picture of `WIDTH` x `HEIGHT` pixels, noise included."""
    room = episode.plan.room
    picture = paint(room, episode.frames[index])
    if room.look.grain:
        noise = _grain(room.look.grain, (7 * episode.plan.seed + 3 * index) % _GRAINS)
        picture = ImageChops.add(picture, noise, 1, -room.look.grain)
    return picture


def paint(room: Room, frame: Frame) -> Image.Image:
    """Draw one state of a room without noise: wall, furniture, the person, and what is held or in front."""
    image = _backdrop(room.look).copy()
    pen = ImageDraw.Draw(image)
    in_front = []
    on_table = []
    for thing in frame.things:
        if thing.name not in CARRIED:
            _thing(pen, room, thing)
        elif thing.base == TABLE_TOP and thing.name != frame.held:
            on_table.append(thing)
        else:
            # What is held, flies or lies on the floor is nearer than the person.
            in_front.append(thing)
    _table(pen, room)
    for thing in on_table:
        _thing(pen, room, thing)
    draw_body(pen, frame.figure, room.person)
    for thing in in_front:
        _thing(pen, room, thing)
    draw_arms(pen, frame.figure, room.person)
    _foam(pen, frame)
    picture = image.point(_exposure(room.look.light))
    return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if room.mirrored else picture


def _thing(pen: ImageDraw.ImageDraw, room: Room, thing: Thing) -> None:
    """Draw one object inside its box."""
    x1, y1, x2, y2 = thing_box(thing)
    shape, colour = room.finish[thing.name]
    _PAINTERS[thing.name](pen, (int(x1), int(y1), int(x2), int(y2)), colour, thing.open, shape)


def _table(pen: ImageDraw.ImageDraw, room: Room) -> None:
    """Draw the table: a top and two legs."""
    left, right = room.table
    tone = room.look.table
    for x in (left + 4, right - 9):
        pen.rectangle((x, TABLE_TOP, x + 5, BACK_ROW - 2), fill=tone, outline=INK)
    pen.rectangle((left, TABLE_TOP, right, TABLE_TOP + 7), fill=tone, outline=INK)


def _foam(pen: ImageDraw.ImageDraw, frame: Frame) -> None:
    """Draw a sponge and soap bubbles."""
    for number, (x, y) in enumerate(frame.foam):
        if number == 0:
            pen.rectangle((x - 6, y + 1, x + 4, y + 7), fill=(250, 225, 80), outline=INK)
        else:
            size = 2 + number % 3
            pen.ellipse(
                (x - size, y - size, x + size, y + size), fill=(240, 250, 255), outline=(95, 160, 215)
            )


@lru_cache(maxsize=8)
def _backdrop(look: Look) -> Image.Image:
    """Paint the empty room: wallpaper, flooring, ornaments."""
    image = Image.new("RGB", (WIDTH, HEIGHT), look.wall)
    pen = ImageDraw.Draw(image)
    dim, pale = lighter(look.wall, -0.08), lighter(look.wall, 0.35)
    if look.pattern == 1:
        for x in range(0, WIDTH, 16):
            pen.rectangle((x, 0, x + 7, WALL_FOOT), fill=dim)
    elif look.pattern == 2:
        for y in range(0, WALL_FOOT, 12):
            pen.line((0, y, WIDTH, y), fill=dim)
            for x in range((y // 12 % 2) * 10, WIDTH, 20):
                pen.line((x, y, x, y + 12), fill=dim)
    elif look.pattern == 3:
        pen.rectangle((0, 84, WIDTH, WALL_FOOT), fill=dim)
        pen.line((0, 84, WIDTH, 84), fill=pale, width=2)
    elif look.pattern == 4:
        for y in range(6, WALL_FOOT, 14):
            for x in range(6 + (y // 14 % 2) * 9, WIDTH, 18):
                pen.ellipse((x, y, x + 3, y + 3), fill=pale)
    _floor(pen, look)
    for kind, x, colour in look.clutter:
        _ornament(pen, kind, x, colour)
    return image


def _floor(pen: ImageDraw.ImageDraw, look: Look) -> None:
    """Paint the floor: plain, boards or tiles."""
    pen.rectangle((0, WALL_FOOT, WIDTH, HEIGHT), fill=look.floor)
    pen.rectangle((0, WALL_FOOT - 3, WIDTH, WALL_FOOT - 1), fill=(240, 238, 230))
    joint = lighter(look.floor, -0.12)
    if look.pattern in {0, 2}:
        for y in range(WALL_FOOT + 8, HEIGHT, 10):
            pen.line((0, y, WIDTH, y), fill=joint)
    if look.pattern in {2, 3}:
        for x in range(-40, WIDTH + 40, 24):
            pen.line((x + (WIDTH // 2 - x) // 8, WALL_FOOT, x, HEIGHT), fill=joint)


def _ornament(pen: ImageDraw.ImageDraw, kind: int, x: int, colour: Colour) -> None:
    """Draw something that no question is about: a clock, a garland, a rug, a poster or a ceiling lamp."""
    if kind == 0:
        pen.ellipse((x - 8, 10, x + 8, 26), fill=(250, 250, 245), outline=colour, width=2)
        pen.line((x, 12, x, 18, x + 4, 20), fill=INK)
    elif kind == 1:
        for number in range(5):
            left = x - 30 + 12 * number
            pen.polygon(((left, 4), (left + 10, 4), (left + 5, 14)), fill=lighter(colour, 0.15 * number))
    elif kind == 2:
        pen.ellipse((x - 50, 152, x + 50, 172), fill=lighter(colour, 0.45), outline=colour, width=2)
    elif kind == 3:
        pen.rectangle((x - 12, 6, x + 12, 28), fill=lighter(colour, 0.5))
        pen.polygon(((x - 10, 26), (x - 2, 12), (x + 10, 26)), fill=colour)
    else:
        pen.line((x, 0, x, 14), fill=INK)
        pen.pieslice((x - 12, 8, x + 12, 32), 180, 360, fill=colour)


@lru_cache(maxsize=8)
def _exposure(light: tuple[float, float, float]) -> list[int]:
    """Tabulate what the camera makes of each value of each channel."""
    return [min(255, round(value * gain)) for gain in light for value in range(256)]


@lru_cache(maxsize=64)
def _grain(amount: int, number: int) -> Image.Image:
    """Make a sheet of noise: values 0 to twice the amount, the same on every machine."""
    chance = np.random.Generator(np.random.PCG64(number))
    raw = chance.integers(0, 2 * amount + 1, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    return Image.fromarray(raw)
