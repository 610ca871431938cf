"""Asks the published file and nothing else: every question once, as SQL, and its answer in the form that is wanted.

Here belongs what reads the published file for people and programs. It writes nothing and opens no Delta table; what
is in the file is decided in store/. The command line, the HTTP API and Python ask the same questions.
"""
