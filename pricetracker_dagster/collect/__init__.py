"""Minutes from the exchanges into the store, without Dagster: a tick, a backfill, and what is missing after it.

Here belongs the order in which things are asked and stored. How an exchange is asked is in exchanges/, what a
valid candle is in candles/, how rows are kept in store/.
"""
