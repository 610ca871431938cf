"""What a client takes, by the headers of its request: in which form an answer is, and whether it is compressed."""

from collections.abc import Mapping
from functools import lru_cache

JSON, CSV, ARROW = "application/json", "text/csv", "application/vnd.apache.arrow.stream"


@lru_cache(maxsize=256)
def kind_of(accept: bytes) -> str:
    """Return in which form somebody wants an answer: that of ours with the most weight in the header Accept, else JSON.

    Of several with the same weight it is the first.
    """
    weights = _weights(accept)
    named = {name: weight for name, weight in weights.items() if name in (JSON, CSV, ARROW) and weight > 0}
    if JSON not in weights and (wild := weights.get("application/*", weights.get("*/*", 0.0))) > 0:
        named[JSON] = wild
    return max(named, key=lambda name: named[name], default=JSON)


@lru_cache(maxsize=256)
def takes_gzip(accept_encoding: bytes) -> bool:
    """Say whether a client takes gzip: it is named, or everything is, and not with a weight of 0."""
    weights = _weights(accept_encoding)
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0))) > 0


def _weights(header: bytes) -> Mapping[str, float]:
    """Return what a header lists, with the weights; one that is no number from 0 to 1 counts as 0."""
    weights: dict[str, float] = {}
    for each in header.decode("latin-1").lower().split(","):
        name, *parameters = (part.strip() for part in each.split(";"))
        weight = next((part[2:].strip() for part in parameters if part.startswith("q=")), "1")
        try:
            weights[name] = float(weight) if 0 <= float(weight) <= 1 else 0.0
        except ValueError:
            weights[name] = 0.0
    return weights
