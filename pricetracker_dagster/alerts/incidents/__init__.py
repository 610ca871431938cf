"""Incidents: minutes that are missed, grouped into outages as a person sees them.

Which minutes are missing is decided in ``store/``; messages about an incident are in ``messages/``.
"""
