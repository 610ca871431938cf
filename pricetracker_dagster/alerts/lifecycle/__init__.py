"""The life of an alert: it is pending, fires, is resolved, and may fire again.

Pure: judged minutes come in, rows of the table alerts go out. Messages about it are in ``messages/``.
"""
