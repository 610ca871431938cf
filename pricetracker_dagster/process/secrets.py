"""What is secret in this process, and how a text is shown without it: in none of the forms of secret_forms.py."""

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping

from pricetracker_dagster.process import secret_forms
from pricetracker_dagster.process.secret_forms import MASK, Form, Words

_MOST = 2000
"""Most forms that are kept, the newest: only a process that lives through many settings has more."""

_lock = threading.Lock()
_kept: dict[Form, None] = {}
_forms: tuple[Form, ...] = ()
_seen: set[tuple[str, str]] = set()


def masked(text: str) -> str:
    """Return a text without the secrets that are known to this process."""
    for form in _forms:
        text = form.mask(text)
    return text


def keep_channel(url: str, spared: Iterable[str] = ()) -> None:
    """Keep the URL of a channel or the heartbeat from being shown, but for names that are no secret (``spared``)."""
    _keep("channel", url, spared, secret_forms.forms_of_channel)


def keep_address(url: str, spared: Iterable[str] = ()) -> None:
    """Keep the secrets in the URL of an exchange, the UI or a proxy: user and password, and keys in its path."""
    _keep("address", url, spared, secret_forms.forms_of_address)


def keep_login(login: str, spared: Iterable[str] = ()) -> None:
    """Keep ``user:password``, or a token alone, from being shown."""
    _keep("login", login, spared, secret_forms.forms_of_login)


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


def shown_url(text: str) -> str:
    """Return a text that was given in place of a URL, without what may be secret in it.

    User and password, also one with slashes in it, and the query are masked; of a URL of another scheme than http, all.
    """

    def shown(found: re.Match[str]) -> str:
        scheme, rest = found["scheme"], found["rest"]
        if scheme.lower() not in ("http", "https"):
            return f"{scheme}://{MASK}"
        at, place = rest.rpartition("@")[1:]
        address, mark, _ = re.split(r"([?#])", f"{place}?", maxsplit=1)
        return f"{scheme}://{MASK if at else ''}{at}{address}" + (f"{mark}{MASK}" if place != address else "")

    def without_scheme(word: re.Match[str]) -> str:
        return re.sub(r"(?<![^/@]):*[^/@:]*:[^@]*@", f"{MASK}@", word[0])

    # each word is tried once, from its beginning: to try at each letter takes a minute for 100,000 of them
    text = re.sub(r"(?<![A-Za-z])(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>[^\s\"']*)", shown, text)
    return masked(re.sub(r"(?<![^\s\"'])[^\s\"']*@", without_scheme, text))


def _keep(kind: str, secret: str, spared: Iterable[str], forms: Callable[[str, Words], Iterator[Form]]) -> None:
    global _forms  # noqa: PLW0603
    if not secret or (kind, secret) in _seen:
        return
    with _lock:
        _seen.add((kind, secret))
        found = forms(secret, Words([*spared]))
        _kept.update(dict.fromkeys(form for form in found if form.text != form.instead))
        for form in list(_kept)[:-_MOST]:
            del _kept[form]
        # the longest first: a part of it would leave the rest
        _forms = tuple(sorted(_kept, key=lambda form: (-len(form.text), form.whole)))
