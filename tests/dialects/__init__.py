"""Dialects that only the tests need: of exchanges that ccxt knows and the product's own simulator does not speak."""

from collections.abc import Sequence

from pricetracker_dagster.simulator import DIALECTS, Dialect
from tests.dialects.bitfinex import Bitfinex
from tests.dialects.bitstamp import Bitstamp
from tests.dialects.gemini import Gemini
from tests.dialects.okx import Okx

ALL_DIALECTS: Sequence[type[Dialect]] = (*DIALECTS, Bitstamp, Bitfinex, Gemini, Okx)
"""Every dialect, for ``Simulator(dialects=ALL_DIALECTS)``: they share one address."""
