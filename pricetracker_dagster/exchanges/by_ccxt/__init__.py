"""What exchanges/ccxt.py is made of: ccxt's dialects, its errors, the list of markets, and what ccxt does not know."""
