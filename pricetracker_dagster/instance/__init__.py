"""Dagster's own keeping: its home and its settings, how long its runs stay, its signs of life, a tick by hand.

Here belongs what is about Dagster itself and not about prices.
"""
