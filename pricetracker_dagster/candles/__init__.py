"""The candle, one metric's minute: what is true of it wherever it comes from and wherever it is kept.

No files, no network, no clock: time is an argument.
"""
