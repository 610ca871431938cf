"""The heartbeat: a URL that is requested after each good tick. Silence there is how a dead daemon is noticed."""

from pricetracker_dagster.errors import PricetrackerError
from pricetracker_dagster.process.bounded_call import within
from pricetracker_dagster.process.proxies import open_session
from pricetracker_dagster.settings import Settings

BEAT_WITHIN = 10.0


class HeartbeatError(PricetrackerError):
    """The heartbeat was not taken. The message does not name the URL, which may hold secrets."""


def beat(settings: Settings) -> bool:
    """Request ``alerts.heartbeat_url``; False where none is set.

    Raises:
        HeartbeatError: no good answer within ten seconds. A redirect is none.
    """
    url = settings.alerts.heartbeat_url.get_secret_value()
    if not url:
        return False

    def ask() -> int:
        # what it says does not matter, and is not read
        with (
            open_session(url) as session,
            session.get(url, timeout=BEAT_WITHIN, stream=True, allow_redirects=False) as answer,
        ):
            return answer.status_code

    try:
        status = within(BEAT_WITHIN, ask, "asks for the heartbeat")
    except Exception as error:
        late = isinstance(error, TimeoutError)
        said = f"within {BEAT_WITHIN:g} s" if late else f"({type(error).__name__})"
        raise HeartbeatError(f"alerts.heartbeat_url: no answer {said}") from None
    if not 200 <= status < 300:
        why = ": it redirects elsewhere, which is not followed; set the final address" if 300 <= status < 400 else ""
        raise HeartbeatError(f"alerts.heartbeat_url: HTTP {status}{why}")
    return True
