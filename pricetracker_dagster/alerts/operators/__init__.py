"""Silences and acknowledgements of people: how they are written down, and what they cover."""
