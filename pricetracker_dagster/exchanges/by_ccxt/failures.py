"""What goes wrong with ccxt, as one of our kinds of error: one exchange, one pair, for now or for good."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pricetracker_dagster.errors import PricetrackerError, plain
from pricetracker_dagster.exchanges import base
from pricetracker_dagster.files.locks import DeadlineExceeded

_MOST_SHOWN = 160

_KINDS: tuple[tuple[tuple[str, ...], type[base.ExchangeError]], ...] = (
    (("BadSymbol", "OrderNotFound"), base.PairUnknown),  # the latter is what an unknown product is to some
    (("RestrictedLocation",), base.RefusedHere),
    (("OnMaintenance", "MarketClosed"), base.Maintenance),
    (("RateLimitExceeded", "DDoSProtection"), base.RateLimited),
    (("NetworkError", "OperationFailed", "BadResponse"), base.ExchangeUnreachable),
    (("AuthenticationError", "BadRequest", "ArgumentsRequired", "NotSupported"), base.ExchangeError),
)
"""By the names of ccxt's classes of errors, also of those that they are derived from. The first that fits decides."""


_NO_SUCH_PAIR = re.compile(
    r"(invalid|unknown|not a valid|unsupported|no such)\W.{0,40}?(symbol|pair|market|product|instrument)", re.IGNORECASE
)
"""How exchanges say that a pair is none of theirs, of which ccxt makes its most general error."""


@contextmanager
def in_our_words(what: str, speaker: Any) -> Iterator[None]:
    """Raise what ccxt raises in the block as an ExchangeError.

    It meets odd answers with errors of any class: then the answer is of no use, as one that is cut short.
    """
    try:
        yield
    except (PricetrackerError, DeadlineExceeded, MemoryError):
        raise
    except Exception as error:
        names = {kind.__name__ for kind in type(error).__mro__}
        if "BaseError" not in names:
            said = f"the answer cannot be read ({plain(f'{type(error).__name__}: {error}', _MOST_SHOWN)})"
            raise base.ExchangeUnreachable(f"{what}: {said}") from error
        kind = next((ours for theirs, ours in _KINDS if names & set(theirs)), base.ExchangeUnreachable)
        if type(error).__name__ == "ExchangeError" and _NO_SUCH_PAIR.search(str(error)):
            kind = base.PairUnknown
        said = plain(str(error).removeprefix(f"{speaker.id} "), _MOST_SHOWN)
        if "AuthenticationError" in names:
            said += " (it asks for an API key for this, which is not supported)"
        raise kind(f"{what}: {said or type(error).__name__}") from error
