"""The table ``[http]``: where the HTTP API and the page listen, who gets in, and how much anybody gets."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, field_validator

from pricetracker_dagster.settings.section import Section
from pricetracker_dagster.settings.urls import host_name, http_url, link, public_url

_SHORTEST_TOKEN, _LONGEST_TOKEN = 16, 1000


def _origin(text: str) -> str:
    """Return an origin as browsers send it, without a path; raise ValueError where it is none."""
    example = '"https://charts.example.org"'
    if text in ("*", "null"):
        raise ValueError(f"no origin: list each site by itself, e.g. {example}")
    url = http_url(text, example)
    parts = urlsplit(url)
    if not re.fullmatch(r"https?://[^/?#@]+", url, re.IGNORECASE):
        hint = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        raise ValueError(f'no origin, which has scheme, host and port alone: write "{hint}"')
    return url.lower()


class HttpSettings(Section):
    """Where the HTTP API and the page listen. Beyond this machine they want a token, or `public = true`."""

    host: Annotated[str, AfterValidator(host_name)] = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    token: SecretStr = SecretStr("")
    """Whoever reads must know it, at least 16 characters; empty: nobody is asked."""
    public: bool = False
    """Let everybody read who reaches an address beyond this machine."""
    cors: tuple[Annotated[str, AfterValidator(_origin)], ...] = ()
    """Origins of other sites whose pages may read, e.g. "https://charts.example.org"."""
    workers: int = Field(default=1, ge=1, le=64)
    """How many processes answer."""
    requests_per_second: float = Field(default=100.0, ge=0, le=1_000_000)
    """How many requests a client, by its address, may send to each process; 0: as many as it likes. Behind a reverse
    proxy all clients have the proxy's address: let that one limit them."""
    cache_mb: int = Field(default=64, ge=1, le=100_000)
    """Memory for answers that are kept until the next publication, in each process."""
    largest_answer: int = Field(default=1_000_000, ge=1000, le=1_000_000_000)
    """Rows that one answer has at most."""
    timeout_seconds: float = Field(default=10.0, ge=0.1, le=3600)
    """How long the question behind an answer may take."""
    url: Annotated[str, AfterValidator(public_url)] = ""
    """How people reach it, for links, e.g. behind a reverse proxy; empty: host and port. A login is left out."""

    @field_validator("token")
    @classmethod
    def _long_and_sent_as_it_is(cls, token: SecretStr) -> SecretStr:
        text = token.get_secret_value()
        remedy = "take a random one, e.g. of: python -c 'import secrets; print(secrets.token_urlsafe(24))'"
        if text and not _SHORTEST_TOKEN <= len(text) <= _LONGEST_TOKEN:
            raise ValueError(f"has {len(text)} characters, not {_SHORTEST_TOKEN} to {_LONGEST_TOKEN}: {remedy}")
        if not re.fullmatch("[!-~]*", text):
            raise ValueError(f"only letters of ASCII, digits and signs, no spaces, can be sent in a header: {remedy}")
        return token

    @property
    def link(self) -> str:
        """The page's address as links name it, without a trailing slash."""
        return link(self.url, self.host, self.port)
