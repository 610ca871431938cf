"""The channels: how a message is given to one, and what is made of its answer.

Each channel is on its own: nobody waits for another, and an error names one channel alone.
"""

import os
import queue
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

from pricetracker_dagster.alerts.delivery import markup
from pricetracker_dagster.alerts.delivery.fitting import Limit
from pricetracker_dagster.alerts.messages.quoting import without_mentions
from pricetracker_dagster.process.guard import apprise_log
from pricetracker_dagster.process.proxies import keep_loopback_off_proxies
from pricetracker_dagster.process.secrets import masked
from pricetracker_dagster.settings import channel_name

if TYPE_CHECKING:
    from pricetracker_dagster.alerts.delivery.attempt import Attempt

ANSWER_WITHIN = 20.0
"""Seconds after which an attempt counts as failed and is ended, however many messages it has."""

_PARTS = re.compile(r"[/?&=@:,;#\s]")

_END_WITHIN = 0.5
"""Seconds that a thread is given to end after its connections were."""

_hung: dict[str, threading.Thread] = {}
"""By channel, the thread of an attempt that did not end with its connections."""


class Outcome(NamedTuple):
    """How one channel took a message: delivered, or why not, without secrets."""

    channel: str
    delivered: bool
    error: str | None
    part: int = 0
    """Which of its messages, from 0 on; of one that was not taken no later one was sent."""
    retry_after: float | None = None
    """Seconds after which the channel wants to be asked again, where it asked for that; an hour at most."""


class Message(NamedTuple):
    """What a channel is given; ``good``: that something is over."""

    title: str
    body: str
    good: bool


def send(messages: Mapping[str, Sequence[Message]]) -> Iterator[Outcome]:
    """Send each channel (an apprise URL) its messages in turn, all channels at the same time.

    Yield how each message went once it is known. After one that is not taken the channel is sent no more. All of it
    ends within ``ANSWER_WITHIN``: where several messages to a slow channel do not fit, those that were not begun have
    no outcome.
    """
    from pricetracker_dagster.alerts.delivery.attempt import Attempt

    keep_loopback_off_proxies(os.environ)  # apprise asks a proxy that is named there for whatever it sends
    results: queue.Queue[Outcome | str] = queue.Queue()
    attempts: dict[str, Attempt] = {}
    threads: dict[str, threading.Thread] = {}
    for url, parts in messages.items():
        name = channel_name(url)
        if name in _hung and _hung[name].is_alive():
            yield Outcome(name, False, "an earlier attempt has not ended yet")
            continue
        attempts[name] = Attempt(ANSWER_WITHIN)
        # daemon: one that hangs keeps nothing from ending
        threads[name] = threading.Thread(target=_send_each, args=(url, parts, attempts[name], results), daemon=True)
    if not threads:
        return

    def end() -> None:
        for attempt in attempts.values():
            attempt.end()

    # by a clock of its own: who asks for the outcomes may be slow, or ask for no more of them
    clock = threading.Timer(ANSWER_WITHIN, end)
    clock.daemon = True
    for thread in (clock, *threads.values()):
        thread.start()
    next_part = dict.fromkeys(threads, 0)
    while next_part:
        try:
            each = results.get(timeout=max(attempts[name].remaining for name in next_part) + _END_WITHIN)
        except queue.Empty:
            for name, part in sorted(next_part.items()):
                _hung[name] = threads[name]
                yield Outcome(name, False, attempts[name].late, part)
            return
        if isinstance(each, Outcome):
            next_part[each.channel] = each.part + 1
            yield each
        else:
            threads[each].join(_END_WITHIN)  # it has nothing more to do
            del next_part[each]
    clock.cancel()
    clock.join()


def _send_each(url: str, parts: Sequence[Message], attempt: "Attempt", results: "queue.Queue[Outcome | str]") -> None:
    """Send one channel its messages in turn; say how each went, and in the end the channel's name."""
    from pricetracker_dagster.alerts.delivery.apprise_hooks import sending

    name = channel_name(url)
    slowest = 0.0
    try:
        with sending(attempt):
            for part, message in enumerate(parts):
                began = attempt.remaining
                if part and began <= slowest:  # it would be cut off, and sent again although it was taken
                    return
                attempt.begin()
                try:
                    outcome = send_one(url, message)
                except Exception as error:  # a mistake of ours is one channel's too
                    trouble = without_secrets(f"a mistake of pricetracker: {type(error).__name__}: {error}", url)
                    outcome = Outcome(name, False, trouble)
                results.put(outcome._replace(part=part))
                if not outcome.delivered:
                    return
                slowest = max(slowest, began - attempt.remaining)
    finally:
        results.put(name)


def limit_of(url: str) -> Limit:
    """Return how much a channel takes; where apprise cannot say it, what most take.

    Characters count as they are sent, escapes and all.
    """
    import apprise

    apprise_log()
    with suppress(Exception):  # 173 services, each with settings of its own
        channel = apprise.Apprise.instantiate(url, suppress_exceptions=True)
        if isinstance(channel, apprise.NotifyBase):
            title, lines = max(0, channel.title_maxlen), max(0, channel.body_max_line_count)
            return Limit(title, channel.body_maxlen, lines, markup.length_in(channel))
    return Limit()


def send_one(url: str, message: Message) -> Outcome:
    """Send one channel a message; whatever goes wrong is its outcome."""
    import apprise

    from pricetracker_dagster.alerts.delivery.apprise_hooks import attempt_of_this_thread, take_over_pauses

    attempt, name = attempt_of_this_thread(), channel_name(url)
    if attempt is None:
        raise RuntimeError("no thread that sends")
    kind = apprise.NotifyType.SUCCESS if message.good else apprise.NotifyType.WARNING
    try:
        # no limit of apprise's own: then it sends in this thread, which has ours
        asset = apprise.AppriseAsset(async_mode=False, service_timeout=0)
        service = apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=False)
        if not isinstance(service, apprise.NotifyBase):
            return Outcome(name, False, "no URL that apprise can use")
        # a URL may say that a failure does not matter, or that it is tried again at once: that is for us to decide
        service.optional, service.retry = False, 0
        take_over_pauses(service, attempt)
        markup.mentions_nobody(service)
        title, body = without_mentions(" ".join(message.title.split())), without_mentions(message.body)
        title, body = markup.escaped(service, title, body or title or "…")  # what is empty is not sent
        sender = apprise.Apprise()
        sender.add(service)
        taken = bool(sender.notify(title=title, body=body, notify_type=kind, body_format=apprise.NotifyFormat.TEXT))
    except Exception as error:  # 173 services, each with errors of its own
        taken = False
        attempt.log.append(f"{type(error).__name__}: {error}")
    if taken and not attempt.refused:
        return Outcome(name, True, None)
    if attempt.ended:
        return Outcome(name, False, attempt.late)
    trouble = attempt.trouble or without_secrets(" ".join(attempt.log), url) or "not taken"
    code = attempt.code
    if code and code not in unquote(url) and without_secrets(code, url) == code:
        trouble = f"{trouble} ({code})"
    return Outcome(name, False, trouble, retry_after=attempt.retry_after)


def without_secrets(text: str, url: str) -> str:
    """Return a text without any part of a URL but its kind."""
    parts = urlsplit(url)
    text = text.replace(url, "***").replace(unquote(url), "***")
    for part in sorted({*_PARTS.split(unquote(url)), *_PARTS.split(url)}, key=len, reverse=True):
        if part != parts.scheme and len(part) > 3:
            text = text.replace(part, "***")
    return masked(text)[:300]  # what else is secret, of whatever other channel
