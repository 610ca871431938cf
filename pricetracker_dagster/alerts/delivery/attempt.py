"""One attempt to give a channel its messages: one deadline, and what is known of the answers within it.

apprise has time-outs of its own and follows where it is pointed to. In an attempt its requests end together at the
deadline, and a message is not made into something else on the way. apprise_hooks.py brings its requests here.
"""

import threading
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import urljoin

import requests
import urllib3

from pricetracker_dagster.alerts.delivery import answers
from pricetracker_dagster.files.locks import Deadline
from pricetracker_dagster.process.bounded_call import Connections

_REDIRECTS = 5


class Attempt:
    """What is known of one channel's answers within one deadline.

    Attributes:
        late: the error of a channel that did not answer in time.
        trouble: the last thing that went wrong, in our words.
        code: what the channel itself calls that, where it has a name for it, such as ``invalid_auth``.
        refused: whether an answer said ``"ok": false``, whatever its status: apprise looks at that of some services.
        retry_after: seconds that the channel asked for.
        log: what apprise logged meanwhile, which may hold parts of the channel's URL.
    """

    def __init__(self, seconds: float) -> None:
        """Begin now."""
        self.late = f"no answer within {seconds:g} s"
        self._ends = Deadline.after(seconds)
        self._over = threading.Event()
        self.connections = Connections()
        self._asks_to_wait = False
        self.begin()

    @property
    def remaining(self) -> float:
        """Seconds that are left."""
        return self._ends.remaining

    @property
    def ended(self) -> bool:
        """Whether end() was called."""
        return self._over.is_set()

    def end(self) -> None:
        """End whatever the attempt waits for, from another thread. It sends nothing any more."""
        self._over.set()
        self.connections.end()

    def begin(self) -> None:
        """Begin with a message: what was known of the one before is forgotten."""
        self.trouble: str | None = None
        self.code: str | None = None
        self.refused = False
        self.retry_after: float | None = None
        self.log: list[str] = []

    def pause(self, wait: float) -> None:
        """Wait between two requests, where apprise would sleep.

        Raises:
            requests.ConnectionError: so long a pause does not fit.
        """
        if self._asks_to_wait or wait >= self.remaining or self._over.wait(wait):
            self.trouble = self.trouble or self.late
            raise requests.ConnectionError("there is no time left for a further request")

    def ask(self, send: Callable[..., requests.Response], request: requests.PreparedRequest) -> requests.Response:
        """Send a request, and again where the same host points to, and return the whole answer.

        Raises:
            requests.RequestException: there is none, or it points where no message goes.
        """
        for _ in range(_REDIRECTS + 1):
            if self.ended or self._asks_to_wait:
                raise requests.ConnectionError("no further request is made")
            request.headers["Accept-Encoding"] = "identity"  # so few bytes need no packing, and unpack to no more
            try:
                response = send(request, timeout=max(0.001, self.remaining), stream=True, allow_redirects=False)
                answers.read_body(response)
                if self.ended:  # what looks like the end of the answer may be our own
                    raise requests.ReadTimeout
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
                self.trouble = self.why(error)
                raise
            self._note(response)
            if not 300 <= response.status_code < 400:
                return response
            request = self._followed(request, response)
        self.trouble = f"{self.trouble}: too many redirects"
        raise requests.TooManyRedirects

    def why(self, error: BaseException) -> str:
        """Return what went wrong in our words."""
        return answers.error_reason(error, self.late)

    def _note(self, response: requests.Response) -> None:
        status, self.code = response.status_code, answers.code_in(response)
        answer = answers.json_of(response)
        self.refused = self.refused or (isinstance(answer, dict) and answer.get("ok") is False)
        if 200 <= status < 300:
            self.trouble = f"HTTP {status}, but it says that it did not take the message"
            return
        phrase = next((f" {known.phrase}" for known in HTTPStatus if known == status), "")
        self.trouble = f"HTTP {status}{phrase}"
        asked = answers.retry_after_of(response)
        if asked is not None:
            self.retry_after = min(max(0.0, asked), answers.RETRY_AFTER_MOST)
            self.trouble += f", asks to wait {self.retry_after:.0f} s"
        if status == HTTPStatus.TOO_MANY_REQUESTS or asked is not None:
            self._asks_to_wait = True

    def _followed(self, request: requests.PreparedRequest, response: requests.Response) -> requests.PreparedRequest:
        """Return the same request to where an answer points; an error where it is another one, or to somebody else."""
        status, location = response.status_code, response.headers.get("Location")
        if not location:
            raise requests.TooManyRedirects
        following = request.copy()
        try:
            there = location.encode("latin1").decode("utf-8", "replace")
            following.prepare_url(urljoin(str(request.url), there), None)
            same_host = answers.host_of(following) == answers.host_of(request)
        except (ValueError, requests.RequestException, urllib3.exceptions.HTTPError):
            same_host = False
        if not same_host:
            self.trouble = f"{self.trouble}: it redirects elsewhere, which is not followed; set the final address"
        elif request.method != "GET" and status not in (307, 308):
            self.trouble = f"{self.trouble}: it redirects, and a message that followed would become a GET"
        elif isinstance(request.body, str | bytes | None):
            return following
        raise requests.TooManyRedirects
