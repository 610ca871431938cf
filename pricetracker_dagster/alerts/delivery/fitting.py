"""Messages that fit their channel: split between lines, a long line between its words; nothing is left out. Pure."""

from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

_LEAST = 20
"""Characters of text a part holds at least: a channel that takes less is given what it will not take."""

_NUMBERED = len(" (999/999)")

_TITLE_SHARE = 4
"""Of what a channel takes, the title may take one part in so many."""


class Limit(NamedTuple):
    """How much a channel takes."""

    title: int = 250
    """Characters of a title; 0: it has none, and a title is put before the body."""
    body: int = 32768
    """Characters of a message. Some channels count the title too, so it is counted here for all."""
    lines: int = 0
    """Lines of a message; 0: any number."""
    length: Callable[[str], int] = len
    """How many characters a text becomes for this channel, which may write it as HTML."""


class Part(NamedTuple, Generic[T]):
    """One message of several; ``completes`` is what is complete once this part and those before it are taken."""

    title: str
    body: str
    completes: tuple[T, ...]


def parted(title: str, lines: Sequence[tuple[str, Sequence[T]]], limit: Limit) -> list[Part[T]]:
    """Make as few messages as fit a channel, in the order of the lines. Of several each has the title, with a number.

    With each line comes what is complete with it.
    """
    most = min(limit.title or limit.body, limit.body // _TITLE_SHARE)
    short = shortened(title, most - _NUMBERED, limit.length)
    alone = title if limit.length(title) <= most else short
    room = max(_LEAST, limit.body - limit.length(alone) - _NUMBERED - 2)
    parts: list[tuple[list[str], list[T]]] = [([], [])]
    for line, completes in lines:
        for piece in _pieces(line, room, limit.length):
            held = parts[-1][0]
            too_many = limit.lines and len(held) >= limit.lines
            if held and (too_many or limit.length("\n".join([*held, piece])) > room):
                parts.append(([], []))
            parts[-1][0].append(piece)
        parts[-1][1].extend(completes)
    if len(parts) == 1:
        return [Part(alone, "\n".join(parts[0][0]), tuple(parts[0][1]))]
    return [
        Part(f"{short} ({number}/{len(parts)})".lstrip(), "\n".join(held), tuple(completes))
        for number, (held, completes) in enumerate(parts, 1)
    ]


def shortened(text: str, most: int, length: Callable[[str], int] = len) -> str:
    """Return a text of at most so many characters: cut at a word, and marked as cut; empty where no word fits."""
    if length(text) <= most:
        return text
    words = text.split(" ")
    while words and length(f"{' '.join(words).rstrip(',')} …") > most:
        words.pop()
    return f"{' '.join(words).rstrip(',')} …" if words else ""


def _pieces(line: str, room: int, length: Callable[[str], int]) -> Iterator[str]:
    """Part one line between words; a word that is too long alone, within."""
    words = line.split(" ")
    at = 0
    while at < len(words):
        # to write a text as a channel takes it takes time: it is tried a few times a piece, not for each word
        longest, end = 0, at
        while end < len(words) and longest <= room:  # no text gets shorter
            longest += len(words[end]) + 1
            end += 1
        count = _that_fit(words[at:end], " ", room, length)
        if count:
            yield " ".join(words[at : at + count])
            at += count
        else:
            word = words[at]
            cut = max(1, _that_fit(word[:room], "", room, length))
            yield word[:cut]
            words[at] = word[cut:]


def _that_fit(parts: Sequence[str], between: str, room: int, length: Callable[[str], int]) -> int:
    """Return how many of the first of some parts fit together: words, or the letters of one."""

    def length_of(count: int) -> int:
        return length(between.join(parts[:count]))

    return bisect(range(1, len(parts) + 1), room, key=length_of)
