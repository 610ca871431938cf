"""The token that opens the gate, and the cookie that stands for it: compared in constant time, never shown."""

import hashlib
import hmac

CHALLENGE = {"WWW-Authenticate": 'Bearer realm="pricetracker"'}
"""What an answer bears that wants a token."""

COOKIE = "pricetracker"
"""The cookie of a browser that has signed in."""


class Token:
    """What whoever reads must know.

    The cookie's value is derived from the token: who finds the cookie does not have the token, and another token makes
    every cookie void.
    """

    def __init__(self, secret: str) -> None:
        """Keep the token and derive the cookie."""
        self._token = secret.encode()
        self.cookie = hmac.new(self._token, b"pricetracker: signed in", hashlib.sha256).hexdigest()
        self._cookie = self.cookie.encode()

    def is_right(self, given: bytes) -> bool:
        """Say whether this is the token."""
        return hmac.compare_digest(given, self._token)

    def is_borne(self, authorization: bytes) -> bool:
        """Say whether a header ``Authorization`` bears the token."""
        scheme, _, given = authorization.partition(b" ")
        return scheme.lower() == b"bearer" and self.is_right(given.strip())

    def is_in(self, cookies: bytes) -> bool:
        """Say whether a header ``Cookie`` holds the cookie of who has signed in."""
        for each in cookies.split(b";"):
            name, _, value = each.strip().partition(b"=")
            if name == COOKIE.encode() and hmac.compare_digest(value, self._cookie):
                return True
        return False
