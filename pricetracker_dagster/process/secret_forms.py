"""The forms in which a secret may stand in a text, and which parts of a URL are secret.

A URL of a channel is a secret as a whole, but not each part of it: ``json://127.0.0.1/alerts`` must not make ``***`` of
each "alerts" that we write. A part is masked wherever it stands when it cannot be anything else:

- a password, a token: from ``_SHORTEST_PASSWORD`` characters on, since shorter ones stand in words by chance;
- any other part (a step of a path, a value of a query, a user, a host that is a token): from ``_SHORTEST`` characters
  on, and if it is more than one plain word in lower case, unless that is longer than words are;
- digits alone only from ``_SHORTEST`` on, and as a whole number: else the digits of prices and times would be;
- never a word that stands in our own code, since our messages are made of these, and no part of a tracked metric.

What is spared by this is masked in its place all the same: ``user:password@``, ``host/path``, ``url: /path``, ``GET
/path HTTP/1.1``, and as HTTP's basic authentication has it.
"""

import base64
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, quote_plus, unquote, unquote_plus, urlsplit

MASK = "***"

_SHORTEST_PASSWORD, _SHORTEST, _LONGEST_WORD = 4, 6, 12

_EMBEDDED_FROM = 8
"""Characters from which a secret is found within a longer word, too: two that are strung together."""

_TOKEN_IN_AN_ADDRESS = 16
"""Characters from which a step with digits in the path of an exchange's URL is taken for a key of a gateway."""

_AS_REQUESTS_QUOTES = "!#$%&'()*+,/:;=?@[]~"


class Form(NamedTuple):
    """One way in which a secret may stand in a text, and what is shown ``instead``; ``whole``: only as a whole word."""

    text: str
    instead: str = MASK
    whole: bool = False

    def mask(self, text: str) -> str:
        """Return a text without the secret in this form."""
        if self.text not in text:
            return text
        return _whole(self.text).sub(self.instead, text) if self.whole else text.replace(self.text, self.instead)


@dataclass(frozen=True)
class Words:
    """What is no secret: the words of our own messages, and the names in ``spared`` with their parts."""

    spared: Sequence[str]

    def __contains__(self, part: str) -> bool:
        """Say whether a part of a URL is such a word."""
        word = part.lower()
        if any(word in name.lower() for name in self.spared):
            return True
        return word in _our_code() and bool(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", _our_code()))


@cache
def _our_code() -> str:
    """Return our own code in lower case: the words of all that we say are in it."""
    package = Path(__file__).parents[1]
    files = (file for kind in ("*.py", "*.sql") for file in package.rglob(kind))
    return "\n".join(file.read_text("utf-8").lower() for file in files)


def without_login(url: str) -> tuple[str, str]:
    """Return a URL without user and password, and ``user:password`` as it stood there; empty where none did."""
    scheme, mark, rest = url.partition("://")
    netloc = re.split(r"[/?#]", rest, maxsplit=1)[0]
    login, at, _ = netloc.rpartition("@")
    return (f"{scheme}{mark}{rest[len(login) + 1 :]}", login) if mark and at else (url, "")


def forms_of_channel(url: str, words: Words) -> Iterator[Form]:
    """Yield the forms of the URL of a channel, and of each part of it that is secret."""
    rest = url.partition("://")[2]
    yield from _written(url)
    if len(rest) > _SHORTEST and ("/" in rest.rstrip("/") or "@" in rest):
        yield from _written(rest)
    netloc, path, query = _taken_apart(rest)
    login, _, place = netloc.rpartition("@")
    if login:
        yield from forms_of_login(login, words)
    name, colon, more = place.partition(":")
    if re.search("[A-Z0-9_]", name):
        yield from _of_part(name, words)
    if colon and not more.isdigit():  # no port: Telegram's token stands there
        yield from _of_part(more, words)
        yield from _of_part(place, words)
    for part in (*path.split("/"), *_values(query)):
        yield from _of_part(part, words)
    asked = f"{path}?{query}" if query else path
    for each in dict.fromkeys((asked, path)):
        if len(each) > 1:
            for text in dict.fromkeys((each, unquote(each), quote(unquote(each), safe=_AS_REQUESTS_QUOTES))):
                yield Form(f"{place}{text}")
                yield Form(f"url: {text}", f"url: {MASK}", whole=True)
                yield Form(f" {text} HTTP/", f" {MASK} HTTP/")


def forms_of_address(url: str, words: Words) -> Iterator[Form]:
    """Yield the forms of a login, of keys in the path and of values in the query of an address."""
    address, login = without_login(url)
    if login:
        yield from forms_of_login(login, words)
    _, path, query = _taken_apart(address.partition("://")[2])
    keys = [part for part in path.split("/") if len(part) >= _TOKEN_IN_AN_ADDRESS and re.search(r"\d", part)]
    for part in (*keys, *_values(query)):
        yield from _of_part(part, words)


def forms_of_login(login: str, words: Words) -> Iterator[Form]:
    """Yield the forms of ``user:password``, or of a token alone."""
    user, colon, password = login.partition(":")
    for part in dict.fromkeys((login, unquote(login))):
        yield Form(f"{part}@", f"{MASK}@", whole=True)
    if not colon:
        yield from _of_part(user, words)
        return
    if len(login) >= _SHORTEST:
        yield from _written(login)
    for text in _spellings(password):
        yield Form(f":{text}@", f":{MASK}@")
    yield from _of_part(user, words)
    plain = unquote(password)
    if len(plain) >= (_SHORTEST if plain.isdigit() else _SHORTEST_PASSWORD) and plain not in words:
        yield from _written(password)
    for encoding in ("utf-8", "latin-1"):
        pair = f"{unquote(user)}:{plain}".encode(encoding, "replace")
        yield Form(base64.b64encode(pair).decode().rstrip("="))


def _of_part(part: str, words: Words) -> Iterator[Form]:
    plain = unquote(part)
    is_word = re.fullmatch(r"[A-Z]?[a-z]+", plain) and len(plain) < _LONGEST_WORD
    if len(plain) >= _SHORTEST and not is_word and plain not in words and not _is_host(plain):
        yield from _written(part)


def _written(secret: str) -> Iterator[Form]:
    """Yield a secret in each form in which a program writes it."""
    for text in _spellings(secret):
        yield Form(text, whole=text.isdigit() or len(text) < _EMBEDDED_FROM)


def _spellings(text: str) -> list[str]:
    """Return the ways in which a text is written, each once; none of one that is empty."""
    found = [text]
    for plain in (unquote(text), unquote_plus(text)):
        encoded = [quote(plain, safe=""), quote(plain, safe=_AS_REQUESTS_QUOTES), quote_plus(plain)]
        lower = [re.sub("%..", lambda code: code[0].lower(), each) for each in encoded]
        found += [plain, *encoded, *lower, json.dumps(plain)[1:-1], repr(plain)[1:-1]]
    return [each for each in dict.fromkeys(found) if each]


def _taken_apart(rest: str) -> tuple[str, str, str]:
    """Return netloc, path and query of what comes after ``://``; a password may hold what ends a netloc."""
    before, at, after = rest.rpartition("@")
    if at and re.search(r"[?]", before):  # an address of mail in the query
        before, at, after = "", "", rest
    netloc, slash, path = after.partition("/")
    if "?" in netloc:
        netloc, slash, path = netloc.partition("?")[0], "", f"?{netloc.partition('?')[2]}{slash}{path}"
    path, _, query = f"{slash}{path}".partition("?")
    return f"{before}{at}{netloc}", path, query


def _values(query: str) -> list[str]:
    return [pair.partition("=")[2] for pair in query.split("&")]


def _is_host(text: str) -> bool:
    """Say whether it names a machine: no token has dots between words in lower case."""
    host = text.lower() if text.lower().startswith(("[", "localhost")) else text
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return host.startswith("[") or name == "localhost" or bool(re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+(:\d+)?", host))


@cache
def _whole(text: str) -> re.Pattern[str]:
    """Return what finds a text as a word, or a number, of its own."""
    escaped = r"(?<=%[0-9A-Fa-f]{2})|(?<=\\[nrt])"  # whose letters are none of the word's
    if text.isdigit():
        return re.compile(rf"((?<![\w.,])|{escaped}){re.escape(text)}(?!\w|[.,:]\d)")
    before = rf"((?<![^\W_])|{escaped})" if text[0].isalnum() else ""
    after = r"(?![^\W_])" if text[-1].isalnum() else ""
    return re.compile(f"{before}{re.escape(text)}{after}")
