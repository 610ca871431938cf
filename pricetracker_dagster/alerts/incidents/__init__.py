"""Incidents: minutes that are missed, grouped into outages as a person sees them.

Which minutes are missing is the business of the store; what people are told of an incident is in ``messages/``.
"""
