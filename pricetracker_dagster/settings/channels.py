"""Channels as settings name them: by an apprise URL, or by a name that gives no secret away."""

import hashlib
import re
from functools import lru_cache
from urllib.parse import urlsplit

from pricetracker_dagster.process.guard import apprise_log

_NAME = re.compile(r"[a-z0-9+.-]+-[0-9a-f]{8}")
"""What a channel is called."""


def channel_name(url: str) -> str:
    """Return what a channel is called: its kind, and a digest that tells it from others but gives no secret away."""
    return f"{urlsplit(url).scheme or 'channel'}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"


def is_channel_name(text: str) -> bool:
    """Say whether a text can be the name of a channel; it is no URL and no secret then."""
    return _NAME.fullmatch(text) is not None


@lru_cache(maxsize=256)  # settings are read for each look, and apprise takes 20 ms of CPU to say it
def is_channel(url: str) -> bool:
    """Say whether apprise can send to a URL."""
    import apprise  # 0.2 s, for those who have channels

    apprise_log()
    return apprise.Apprise.instantiate(url, suppress_exceptions=True) is not None
