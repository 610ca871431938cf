"""What a channel would read as markup is escaped, by the format that the channel takes.

apprise knows which formats a channel takes, and writes text as HTML or Markdown where it takes no text. What it does
not know, and what is known here: some channels take text and read Markdown in it, and some read it in titles.
"""

import re
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import apprise

_BOTH = {"discord", "fluxer", "guilded", "humhub", "mattermost", "nextcloudtalk", "revolt", "ryver"}

_TEXT_IS_MARKDOWN = {*_BOTH, "home_assistant", "zulip"}
"""Modules of apprise whose channels read Markdown in what they are given as text (each one's own documentation)."""

_TITLE_IS_MARKDOWN = {*_BOTH, "workflows"}
"""Those that read it in the title; where a channel has no titles, it is part of the text."""

_SIGNS = re.compile(r"[\\`*_~|\[\]<>#]|:(?=[\w+\-]{1,64}:)|^[-+](?=\s)", re.MULTILINE)
"""What means something to one of them: emphasis, code, links, quotes, headings, lists, ``:smile:``. A backslash before
punctuation is shown by none. Dots and the like are left alone, since an address would no longer be one."""

_ADDRESS = re.compile(r"https?://[\w.:/\[\]\-]+")


def escaped(service: "apprise.NotifyBase", title: str, body: str) -> tuple[str, str]:
    """Return title and body as apprise is to be given them for this channel, as text."""
    module = _module_of(service)
    # a title that becomes part of the body is converted with it
    if module in _TITLE_IS_MARKDOWN and (_takes_text(service) or service.title_maxlen > 0):
        title = in_markdown(title)
    if module in _TEXT_IS_MARKDOWN and _takes_text(service):
        body = in_markdown(body)
    return title, body


def length_in(service: "apprise.NotifyBase") -> Callable[[str], int]:
    """Return how many characters a text becomes on its way to a channel."""
    from apprise import NotifyFormat, conversion

    convert: Callable[[object, object, str], str] = conversion.convert_between
    taken = service.resolve_format(NotifyFormat.TEXT)
    converts = not _takes_text(service) or "dialect_convert" in vars(type(service))
    if not converts and _module_of(service) not in _TEXT_IS_MARKDOWN:
        return len

    def length(raw: str) -> int:
        _, body = escaped(service, "", raw)
        body = convert(NotifyFormat.TEXT, taken, body)
        return max(len(raw), len(body), len(service.dialect_convert(body, taken)))

    return length


def mentions_nobody(service: "apprise.NotifyBase") -> None:
    """Tell a channel, where its interface allows it, that nothing in the text is markup or a mention.

    Whom the channel's own URL says to mention is mentioned.
    """
    change = _CHANGES.get(_module_of(service))
    send: Callable[..., Any] | None = getattr(service, "_send", None)
    if change is None or send is None:
        return
    sends = weakref.WeakMethod(send)  # what a channel holds must not hold the channel: it ends with its thread

    def sending(*args: Any, **kwargs: Any) -> Any:
        payload = next((each for each in (*args, kwargs.get("payload")) if isinstance(each, dict)), None)
        if payload is not None:
            change(payload)
        send = sends()
        return send is not None and send(*args, **kwargs)

    vars(service)["_send"] = sending


def in_markdown(text: str) -> str:
    """Return a text so that a channel which reads Markdown shows it as it is."""
    return "\n".join(line if _ADDRESS.fullmatch(line) else _SIGNS.sub(r"\\\g<0>", line) for line in text.split("\n"))


def _of_discord(payload: dict[str, Any]) -> None:
    # apprise writes whom its URL names under a name that Discord does not know
    payload.setdefault("allowed_mentions", payload.get("allow_mentions", {"parse": []}))


def _of_slack(payload: dict[str, Any]) -> None:
    for attachment in payload.get("attachments", ()):
        if "blocks" not in attachment:
            attachment.setdefault("mrkdwn_in", ["text"] if payload.get("mrkdwn") else [])


_CHANGES: dict[str, Callable[[dict[str, Any]], None]] = {"discord": _of_discord, "slack": _of_slack}


def _takes_text(service: "apprise.NotifyBase") -> bool:
    from apprise import NotifyFormat

    return bool(service.resolve_format(NotifyFormat.TEXT) == NotifyFormat.TEXT)


def _module_of(service: object) -> str:
    """Return in which of apprise's modules a channel is: its kind, whatever its URL began with."""
    return f"{type(service).__module__}...".split(".")[2]
