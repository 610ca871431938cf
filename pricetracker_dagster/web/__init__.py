"""The HTTP API and the page: what is published, for whoever is let in.

Here belongs what speaks HTTP. What is asked of the published file is in reading/; nothing is written, and no Delta
table is opened, but for the judgement of /health.
"""
