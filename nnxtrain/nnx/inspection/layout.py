"""From an outline to lines of styled text that fit a width."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from itertools import groupby

from nnxtrain.nnx.inspection.outline import Entry
from nnxtrain.nnx.inspection.sizes import format_sizes

Token = tuple[
    str, str
]  # text and the role that decides its colour: "type", "note", "static", "value" or ""
Word = list[Token]  # what no line break parts
Line = list[Token]

UNLIMITED = 1 << 30


def lay_out(entry: Entry, width: int = UNLIMITED, *, pack: bool = True) -> list[Line]:
    """Lines of at most ``width`` characters, nested like calls: ``Linear(kernel=Param(...), ...)``.

    Args:
      pack: put static values next to each other on one line, not each on its own.
    """
    return _Layout(max(width, 20), pack).entry(entry, 0, "")


def plain(lines: Iterable[Line]) -> str:
    return "\n".join("".join(text for text, _ in line) for line in lines)


class _Layout:
    def __init__(self, width: int, pack: bool):
        self.width = width
        self.pack = pack

    def entry(self, entry: Entry, depth: int, end: str) -> list[Line]:
        name = [(f"{entry.name}=", "")] if entry.name else []
        if entry.static:
            return self.wrapped([_static(entry, end)], depth)
        if not entry.children:
            words: list[Word] = [[(word, "value")] for word in entry.words]
            if not entry.kind:
                words[0][:0] = name
                words[-1].append((end, ""))
                return self.wrapped(words, depth)
            head: Word = [*name, (entry.kind, "type"), ("(", "")]
            words = words or [[]]
            words[0][:0] = head
            words[-1].append((f"){end}", ""))
            return self.wrapped(words, depth)
        lines = self.head([*name, (entry.kind, "type"), ("(", "")], entry, depth)
        children = [Entry("", "", [word], static=True) for word in entry.words] + entry.children
        for static, run in groupby(children, key=lambda child: child.static and self.pack):
            if static:
                lines += self.wrapped([_static(child, ",") for child in run], depth + 1, hang=0)
            else:
                for child in run:
                    lines += self.entry(child, depth + 1, ",")
        return [*lines, [(self.indent(depth), ""), (f"){end}", "")]]

    def head(self, head: Word, entry: Entry, depth: int) -> list[Line]:
        """``name=Type( # Param: 9 (36 B)``; where that is too long, the sizes follow on lines of their own."""
        line = [(self.indent(depth), ""), *head]
        parts = format_sizes(entry.sizes)
        if not parts:
            return [line]
        note = f" # {', '.join(parts)}"
        if _length(line) + len(note) <= self.width:
            return [[*line, (note, "note")]]
        words: list[Word] = [
            [(part, "note")] for part in [f"{p}," for p in parts[:-1]] + parts[-1:]
        ]
        notes = self.wrapped(words, depth + 1, hang=0, prefix="# ")
        return [*self.wrapped([head], depth), *notes]

    def indent(self, depth: int) -> str:
        return "  " * min(
            depth, self.width // 8
        )  # deep in a narrow window, room for text goes first

    def wrapped(
        self, words: list[Word], depth: int, *, hang: int = 4, prefix: str = ""
    ) -> list[Line]:
        """Fill lines with words; those after the first are indented by ``hang`` more."""
        first = self.indent(depth) + prefix
        later = self.indent(depth) + " " * hang + prefix
        role = "note" if prefix else ""
        lines: list[Line] = []
        line: Line = [(first, role)]
        empty = True
        for word in self.fitting(words, self.width - len(later)):
            if not empty and _length(line) + 1 + _length(word) > self.width:
                lines.append(line)
                line, empty = [(later, role)], True
            line += word if empty else [(" ", ""), *word]
            empty = False
        return [*lines, line]

    def fitting(self, words: list[Word], room: int) -> list[Word]:
        """Words that fit the room: longer ones are parted at spaces, then after brackets, then cut."""
        for places in (" ", r"(?<=\()"):
            words = [
                part
                for word in words
                for part in ([word] if _length(word) <= room else _parted(word, places))
            ]
        return [word if _length(word) <= room else _cut(word, room) for word in words]


def _static(entry: Entry, end: str) -> Word:
    name = [(f"{entry.name}=", "")] if entry.name else []
    return [*name, (" ".join(entry.words), "static"), (end, "")]


def _length(tokens: Iterable[Token]) -> int:
    return sum(len(text) for text, _ in tokens)


def _parted(word: Word, places: str) -> list[Word]:
    """A word parted where a regular expression matches."""
    parts: list[Word] = [[]]
    for text, role in word:
        first, *rest = re.split(places, text)
        parts[-1].append((first, role))
        parts += [[(piece, role)] for piece in rest]
    return [part for part in parts if _length(part)]


def _cut(word: Word, room: int) -> Word:
    """The start of a word, an ellipsis, and the brackets and commas at its end."""
    text = "".join(text for text, _ in word)
    tail = text[len(text.rstrip("),")) :]
    return [(text[: max(room - 1 - len(tail), 1)] + "…" + tail, word[0][1])]


def collapsed(entry: Entry) -> Entry:
    """Neighbours in a list that are alike become one entry: ``0..11=Block(``."""
    children = [collapsed(child) for child in entry.children]
    merged: list[Entry] = []
    for _, run in groupby(enumerate(children), key=lambda pair: _Alike(pair[1])):
        first, *more = [child for _, child in run]
        if more and first.children and first.name.isdecimal():
            count = len(more) + 1
            kind = f"{count} x {first.kind}"
            first = dataclasses.replace(first, name=f"{first.name}..{more[-1].name}", kind=kind)
            merged.append(first)
        else:
            merged += [first, *more]
    return dataclasses.replace(entry, children=merged)


class _Alike:
    """Compares entries without their names."""

    def __init__(self, entry: Entry):
        self.entry = dataclasses.replace(entry, name="")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Alike) and self.entry == other.entry

    __hash__ = None  # type: ignore[assignment]
