"""The channels: how a message is given to one, and what is made of its answer.

Each channel is on its own: nobody waits for another, and what is said of one is never said of another. What is due for
whom is the business of notify.py.
"""

import logging
import os
import queue
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from pricetracker_dagster.alerts.fitting import Limit
from pricetracker_dagster.proxies import keep_loopback_off_proxies
from pricetracker_dagster.settings import channel_name, log_of_apprise

__all__ = ["ANSWER_WITHIN", "Message", "Outcome", "channel_name", "limit_of", "limit_or_most", "send"]

ANSWER_WITHIN = 20.0
"""Seconds after which an attempt counts as failed."""


class Outcome(NamedTuple):
    """How one channel took a message: delivered, or why not, without secrets."""

    channel: str
    delivered: bool
    error: str | None
    part: int = 0
    """Which of its messages, from 0 on; of one that was not taken no later one was sent."""
    retry_after: float | None = None
    """So many seconds it asked to be left alone; None: it did not say."""


@dataclass(frozen=True)
class Message:
    """What a channel is given."""

    title: str
    body: str
    good: bool


def send(messages: Mapping[str, Sequence[Message]]) -> Iterator[Outcome]:
    """Send each channel (an apprise URL) its messages in turn, all channels at the same time.

    Yield how each message went once it is known. After one that is not taken the channel is sent no more.
    """
    keep_loopback_off_proxies(os.environ)  # apprise asks a proxy that is named there for whatever it sends
    outcomes: queue.Queue[Outcome] = queue.Queue()
    deadline = time.monotonic() + ANSWER_WITHIN

    def each(url: str, parts: Sequence[Message]) -> None:
        for part, message in enumerate(parts):
            if time.monotonic() > deadline:
                return  # it is noted as not taken already
            try:
                outcome = _send(url, message)
            except Exception as error:  # a mistake of ours is one channel's too
                said = _without_secrets(f"a mistake of pricetracker: {type(error).__name__}: {error}", url)
                outcome = Outcome(channel_name(url), False, said)
            outcomes.put(outcome._replace(part=part))
            if not outcome.delivered:
                return

    waiting = {channel_name(url): (0, len(parts)) for url, parts in messages.items() if parts}
    for url, parts in messages.items():
        # daemon: one that hangs keeps nothing from ending
        threading.Thread(target=each, args=(url, parts), daemon=True).start()
    while waiting:
        try:
            outcome = outcomes.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            for name, (part, _) in sorted(waiting.items()):
                yield Outcome(name, False, f"no answer within {ANSWER_WITHIN:.0f} s", part)
            return
        _, count = waiting[outcome.channel]
        if outcome.delivered and outcome.part + 1 < count:
            waiting[outcome.channel] = outcome.part + 1, count
        else:
            del waiting[outcome.channel]
        yield outcome


def limit_or_most(url: str) -> Limit:
    """Return the same; where apprise cannot say it, what most channels take."""
    try:
        return limit_of(url)
    except Exception:  # 173 services, each with settings of its own
        return Limit()


def limit_of(url: str) -> Limit:
    """Return how much a channel takes, as apprise knows it."""
    import apprise
    from apprise.conversion import convert_between

    log_of_apprise()
    channel = apprise.Apprise.instantiate(url, suppress_exceptions=True)
    if not isinstance(channel, apprise.NotifyBase):
        return Limit()
    taken: Any = channel.notify_format  # one format, or several of which the first is preferred
    formats = [apprise.NotifyFormat(each) for each in (taken if isinstance(taken, tuple | list) else [taken])]

    def length(text: str) -> int:
        """Count characters as they are sent: where a channel takes no plain text, apprise writes HTML or the like."""
        return max(len(text), len(convert_between(apprise.NotifyFormat.TEXT, formats[0], text)))

    plain = not formats or apprise.NotifyFormat.TEXT in formats
    return Limit(
        title=max(0, channel.title_maxlen),
        body=channel.body_maxlen,
        lines=max(0, channel.body_max_line_count),
        length=len if plain else length,
    )


def _send(url: str, message: Message) -> Outcome:
    """Send one channel a message; whatever goes wrong is its outcome."""
    import apprise

    kind = apprise.NotifyType.SUCCESS if message.good else apprise.NotifyType.WARNING
    with _what_apprise_says() as said:
        try:
            sender = apprise.Apprise()
            sender.add(url)
            taken = bool(sender.notify(title=message.title, body=message.body, notify_type=kind, body_format="text"))
        except Exception as error:  # 173 services, each with errors of its own
            taken = False
            said.append(f"{type(error).__name__}: {error}")
    return Outcome(channel_name(url), taken, None if taken else _without_secrets(" ".join(said), url) or "not taken")


@contextmanager
def _what_apprise_says() -> Iterator[list[str]]:
    """Collect the warnings that apprise logs in this thread."""
    said: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == threading.get_ident() and record.levelno >= logging.WARNING:
                said.append(" ".join(record.getMessage().split()))

    log, collector = log_of_apprise(), Collector()
    log.addHandler(collector)
    try:
        yield said
    finally:
        log.removeHandler(collector)


def _without_secrets(text: str, url: str) -> str:
    """Return a text without any part of a URL but its kind."""
    parts = urlsplit(url)
    text = text.replace(url, "***").replace(unquote(url), "***")
    for part in sorted(set(re.split(r"[/?&=@:,]", unquote(url)) + re.split(r"[/?&=@:,]", url)), key=len, reverse=True):
        if part != parts.scheme and len(part) > 3:
            text = text.replace(part, "***")
    return text[:300]
