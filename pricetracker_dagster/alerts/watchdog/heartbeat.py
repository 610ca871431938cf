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
        with (
            open_session(url) as session,
            # what it says does not matter, and is not read
            session.get(url, timeout=BEAT_WITHIN, stream=True, allow_redirects=False) as answer,
        ):
            return answer.status_code

    try:
        status = within(BEAT_WITHIN, ask, "asks for the heartbeat")
    except TimeoutError:
        raise HeartbeatError(f"alerts.heartbeat_url: no answer within {BEAT_WITHIN:g} s") from None
    except Exception as error:
        raise HeartbeatError(f"alerts.heartbeat_url: no answer ({type(error).__name__})") from None
    if 300 <= status < 400:
        raise HeartbeatError(
            f"alerts.heartbeat_url: HTTP {status}: it redirects elsewhere, which is not followed; set the final address"
        )
    if not 200 <= status < 300:
        raise HeartbeatError(f"alerts.heartbeat_url: HTTP {status}")
    return True
