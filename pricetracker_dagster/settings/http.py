"""The table ``[http]``: where the HTTP API and the page listen, who gets in, and how much anybody gets."""

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from pricetracker_dagster.settings.section import Section
from pricetracker_dagster.settings.urls import host_name, http_address


class HttpSettings(Section):
    """Where the HTTP API and the page listen. Beyond this machine they want a token, or `public = true`."""

    host: Annotated[str, AfterValidator(host_name)] = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    token: SecretStr = SecretStr("")
    """Whoever reads must know it, at least 16 characters; empty: nobody is asked."""
    public: bool = False
    """Let everybody read who reaches an address beyond this machine."""
    cors: tuple[str, ...] = ()
    """Origins of other sites whose pages may read, e.g. "https://charts.example.org"."""
    workers: int = Field(default=1, ge=1, le=64)
    """How many processes answer."""
    requests_per_second: float = Field(default=100.0, ge=0, le=1_000_000)
    """How many requests a client may send; 0: as many as it likes."""
    cache_mb: int = Field(default=64, ge=1, le=100_000)
    """Memory for answers that are kept until the next publication, in each process."""
    largest_answer: int = Field(default=1_000_000, ge=1000, le=1_000_000_000)
    """Rows that one answer has at most."""
    timeout_seconds: float = Field(default=10.0, ge=0.1, le=3600)
    """How long the question behind an answer may take."""
    url: str = ""
    """How people reach it, for links, e.g. behind a reverse proxy; empty: host and port."""

    @property
    def link(self) -> str:
        """The page's address as links name it, without a trailing slash."""
        return self.url.rstrip("/") or http_address(self.host, self.port)
