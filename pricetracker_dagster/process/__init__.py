"""This process as a whole: the secrets it knows, the ways out for text, its proxies, calls that must not block it."""
