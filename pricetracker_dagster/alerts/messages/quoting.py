"""Text from elsewhere, quoted as text: one line, not long, without invisible characters and without mentions.

Pure. What an exchange, a library or the operating system says goes through here before it becomes part of a message.
Markup depends on the channel and is escaped on the way out, in ``delivery/markup.py``.
"""

import re
import unicodedata

_NOT_SEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Categories of Unicode: control, format (bidi, zero width), half of a pair, private, not assigned, separators."""

_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters and marks by category that show as nothing."""

_AT = "@\uff20\ufe6b"

_TAGGED = re.compile(rf"<[!#{_AT}][!#&^{_AT}]*+([^<>]{{0,100}})>")
"""``<!channel>``, ``<@U123>``, ``<@&role>``, ``<#C123>``; with a name as ``<!subteam^S123|name>``."""

_TAG_BEGINS = re.compile(rf"(?<!<)<++[!#{_AT}][!#&^{_AT}]*+")
_TEAMS = re.compile(r"</?\s*at\b[^<>]{0,100}>", re.IGNORECASE)
"""``<at>name</at>``, ``<at user_id="all">``."""

_MENTION = re.compile(
    rf"(?<![\w{_AT}])[{_AT}]++(?=[\w*\"'&!#(\[{{<])"
    rf"|(?<![{_AT}])[{_AT}]++(?=(?:everyone|here|channel|all|room|team|online)\b)",
    re.IGNORECASE,
)
"""``@everyone`` and ``@name``; not the one in the middle of an address, unless it reads as a mention of everybody."""


def quoted(text: str, most: int = 500) -> str:
    """Return text from elsewhere as part of a message: one line, of so many characters at most, nobody mentioned."""
    # what is far beyond the end is not looked at: a text may have megabytes
    seen = "".join(" " if sign.isspace() else sign for sign in str(text)[: 8 * most + 1000] if _is_seen(sign))
    line = " ".join(without_mentions(seen).split())
    return line if len(line) <= most else f"{line[: max(0, most - 2)].rstrip()} …"[:most]


def without_mentions(text: str) -> str:
    """Return a text in which nobody is mentioned: the names stay, what makes mentions of them does not."""
    while True:  # what is left over may read as another mention; each round is shorter, so it ends
        shorter = _TAGGED.sub(lambda tag: tag[1].rpartition("|")[2], text)
        shorter = _TEAMS.sub("", shorter)
        shorter = _TAG_BEGINS.sub("", shorter)
        shorter = _MENTION.sub("", shorter)
        if shorter == text:
            return text
        text = shorter


def _is_seen(sign: str) -> bool:
    """Say whether a sign shows as something, or parts words."""
    return sign.isspace() or not (sign in _BLANK or unicodedata.category(sign) in _NOT_SEEN)
