"""Kraken (docs.kraken.com/api): its REST interface, which the simulator speaks too, and its recorded files.

The quirks, each handled where it bites: errors come in an envelope with HTTP 200 (answers.py); assets have names of
their own (XBT, XDG) and pairs several (pairs.py); the last row of OHLC is still forming and ``since`` excludes its own
minute (client.py); OHLC reaches back 720 minutes, older ones are rebuilt from Trades, which come in pages that overlap
(trades.py). ohlcvt.py reads the downloadable files with years of minutes.
"""
