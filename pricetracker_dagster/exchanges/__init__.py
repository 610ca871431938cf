"""Where prices come from: one module or folder per exchange, behind one small Protocol (base.Exchange).

registry.py opens an exchange by its name, asking.py and http.py ask it within rate_limit.py.
"""
