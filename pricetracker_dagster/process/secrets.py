"""What is secret, and how a text is shown without it.

Here belongs what counts as a secret and in which forms it may stand in a text. Where texts leave the process is the
business of guard.py and of whoever writes them; what may be set, of settings/.

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
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, quote_plus, unquote, unquote_plus, urlsplit

MASK = "***"

_SHORTEST_PASSWORD = 4
_SHORTEST = 6
_EMBEDDED_FROM = 8
"""Characters from which a secret is found within a longer word, too: two that are strung together."""

_LONGEST_WORD = 12
_TOKEN_IN_AN_ADDRESS = 16
"""Characters from which a step with digits in the path of an exchange's URL is taken for a key of a gateway."""

_AS_REQUESTS_QUOTES = "!#$%&'()*+,/:;=?@[]~"

_MOST = 2000
"""Forms that are kept; of more, which only a process that lives through many settings has, the newest."""


class _Form(NamedTuple):
    """One way in which a secret may stand in a text.

    Attributes:
        text: as it stands there.
        instead: what is shown instead.
        whole: whether it counts only as a whole word.
    """

    text: str
    instead: str = MASK
    whole: bool = False


_lock = threading.Lock()
_kept: dict[_Form, None] = {}
_forms: tuple[_Form, ...] = ()
_seen: set[tuple[str, str]] = set()


def masked(text: str) -> str:
    """Return a text without the secrets that are known to this process."""
    for form in _forms:
        if form.text in text:
            text = _whole(form.text).sub(form.instead, text) if form.whole else text.replace(form.text, form.instead)
    return text


def keep_channel(url: str, spared: Iterable[str] = ()) -> None:
    """Keep the URL of a channel or the heartbeat from being shown: it may be a secret in any part of it.

    Args:
        url: as it was set.
        spared: names that are none, whatever the URL holds: the tracked metrics.
    """
    _keep("channel", url, spared, _of_channel)


def keep_address(url: str, spared: Iterable[str] = ()) -> None:
    """Keep the secrets in the URL of an exchange, the UI or a proxy: user and password, and keys in its path."""
    _keep("address", url, spared, _of_address)


def keep_login(login: str, spared: Iterable[str] = ()) -> None:
    """Keep ``user:password``, or a token alone, from being shown."""
    _keep("login", login, spared, _of_login)


def keep_proxies(environment: Mapping[str, str]) -> None:
    """Keep user and password of the proxies that an environment names."""
    for name, value in environment.items():
        if name.lower().endswith("_proxy") and "@" in value:
            keep_address(value if "://" in value else f"http://{value}")


def forget() -> None:
    """Forget every secret: for tests, which have many settings in one process."""
    global _forms  # noqa: PLW0603 - a process has one set of secrets
    with _lock:
        _kept.clear()
        _seen.clear()
        _forms = ()


def without_login(url: str) -> tuple[str, str]:
    """Return a URL without user and password, and ``user:password`` as it stood there; empty where none did."""
    scheme, mark, rest = url.partition("://")
    netloc = re.split(r"[/?#]", rest, maxsplit=1)[0]
    login, at, _ = netloc.rpartition("@")
    return (f"{scheme}{mark}{rest[len(login) + 1 :]}", login) if mark and at else (url, "")


def shown_url(text: str) -> str:
    """Return a text that somebody has written where a URL may belong without what may be secret in it.

    User and password, also one with slashes in it, and the query go; of a URL of another kind than http, all.
    """

    def shown(found: re.Match[str]) -> str:
        scheme, rest = found["scheme"], found["rest"]
        if scheme.lower() not in ("http", "https"):
            return f"{scheme}://{MASK}"
        at, place = rest.rpartition("@")[1:]
        address, mark, _ = re.split(r"([?#])", f"{place}?", maxsplit=1)
        return f"{scheme}://{MASK if at else ''}{at}{address}" + (f"{mark}{MASK}" if place != address else "")

    text = re.sub(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>[^\s\"']*)", shown, text)
    return masked(re.sub(r"[^\s\"'/@]+:[^\s\"'@]*@", f"{MASK}@", text))  # without a scheme


def _keep(kind: str, secret: str, spared: Iterable[str], forms: Callable[[str, "_Words"], Iterator[_Form]]) -> None:
    global _forms  # noqa: PLW0603
    if not secret or (kind, secret) in _seen:
        return
    with _lock:
        _seen.add((kind, secret))
        for form in forms(secret, _Words(spared)):
            if form.text != form.instead:
                _kept[form] = None
        for form in list(_kept)[: max(0, len(_kept) - _MOST)]:
            del _kept[form]
        # the longest first: a part of it would leave the rest
        _forms = tuple(sorted(_kept, key=lambda form: (-len(form.text), form.whole)))


class _Words:
    """What stands in messages and is no secret."""

    def __init__(self, spared: Iterable[str]) -> None:
        self._spared = [name.lower() for name in spared]

    def __contains__(self, part: str) -> bool:
        word = part.lower()
        if any(word in name for name in self._spared):
            return True
        return word in _our_code() and bool(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", _our_code()))


@cache
def _our_code() -> str:
    """Return our own code in lower case: the words of all that we say are in it."""
    package = Path(__file__).parent
    files = (file for kind in ("*.py", "*.sql") for file in package.rglob(kind))
    return "\n".join(file.read_text("utf-8").lower() for file in files)


def _of_channel(url: str, words: _Words) -> Iterator[_Form]:
    rest = url.partition("://")[2]
    yield from _written(url)
    if len(rest) > _SHORTEST and ("/" in rest.rstrip("/") or "@" in rest):
        yield from _written(rest)
    netloc, path, query = _taken_apart(rest)
    login, _, place = netloc.rpartition("@")
    if login:
        yield from _of_login(login, words)
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
                yield _Form(f"{place}{text}")
                yield _Form(f"url: {text}", f"url: {MASK}", whole=True)
                yield _Form(f" {text} HTTP/", f" {MASK} HTTP/")


def _of_address(url: str, words: _Words) -> Iterator[_Form]:
    address, login = without_login(url)
    if login:
        yield from _of_login(login, words)
    _, path, query = _taken_apart(address.partition("://")[2])
    for part in path.split("/"):
        if len(part) >= _TOKEN_IN_AN_ADDRESS and re.search(r"\d", part):
            yield from _of_part(part, words)
    for part in _values(query):
        yield from _of_part(part, words)


def _of_login(login: str, words: _Words) -> Iterator[_Form]:
    user, colon, password = login.partition(":")
    for part in dict.fromkeys((login, unquote(login))):
        yield _Form(f"{part}@", f"{MASK}@", whole=True)
    if not colon:
        yield from _of_part(user, words)
        return
    if len(login) >= _SHORTEST:
        yield from _written(login)
    for text in dict.fromkeys(_spellings(password)):
        if text:
            yield _Form(f":{text}@", f":{MASK}@")
    yield from _of_part(user, words)
    yield from _of_password(password, words)
    for encoding in ("utf-8", "latin-1"):
        pair = f"{unquote(user)}:{unquote(password)}".encode(encoding, "replace")
        yield _Form(base64.b64encode(pair).decode().rstrip("="))


def _of_password(password: str, words: _Words) -> Iterator[_Form]:
    plain = unquote(password)
    if len(plain) < (_SHORTEST if plain.isdigit() else _SHORTEST_PASSWORD) or plain in words:
        return
    yield from _written(password)


def _of_part(part: str, words: _Words) -> Iterator[_Form]:
    plain = unquote(part)
    if len(plain) < _SHORTEST or plain in words or _is_host(plain):
        return
    if re.fullmatch(r"[A-Z]?[a-z]+", plain) and len(plain) < _LONGEST_WORD:
        return
    yield from _written(part)


def _written(secret: str) -> Iterator[_Form]:
    """Yield a secret in each form in which a program writes it."""
    for text in dict.fromkeys(_spellings(secret)):
        if text:
            yield _Form(text, whole=text.isdigit() or len(text) < _EMBEDDED_FROM)


def _spellings(text: str) -> Iterator[str]:
    yield text
    for plain in (unquote(text), unquote_plus(text)):
        yield plain
        for encoded in (quote(plain, safe=""), quote(plain, safe=_AS_REQUESTS_QUOTES), quote_plus(plain)):
            yield encoded
            yield re.sub("%..", lambda found: found[0].lower(), encoded)
        yield json.dumps(plain)[1:-1]
        yield repr(plain)[1:-1]


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
    """Say whether it names a machine: nobody's token has dots between words in lower case."""
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
