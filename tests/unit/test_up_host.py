"""Where the UI of `up` listens: on loopback, unless somebody names another address, and then it is said."""

import socket

import pytest

from pricetracker_dagster.local.addresses import CannotStart, free_or_asked, is_free, listens, ui_host


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.53"])
def test_loopback_is_taken_without_a_word(host: str) -> None:
    assert ui_host(host) == (host, "")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7"])  # noqa: S104
def test_an_address_beyond_loopback_is_allowed_and_warned_of(host: str) -> None:
    taken, warning = ui_host(host)
    assert taken == host
    assert warning.startswith(f"Warning: the UI listens on {host}: whoever reaches that address")


@pytest.mark.parametrize("host", ["http://127.0.0.1:3000", " ", "0"])
def test_what_is_no_host_is_refused(host: str) -> None:
    with pytest.raises(CannotStart, match=f'^--host "{host}": '):
        ui_host(host)


def test_a_name_that_nobody_knows_is_refused() -> None:
    with pytest.raises(CannotStart, match="is not known here"):
        ui_host("nowhere.invalid")


def test_an_address_of_another_machine_is_told_as_such_and_not_as_a_taken_port() -> None:
    with pytest.raises(CannotStart, match=r"nothing can listen on 192\.0\.2\.7, port 3000: "):
        free_or_asked("192.0.2.7", None, 3000, "the UI")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_taken_port_is_passed_over_on_ipv4_and_ipv6(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as holder:
        try:
            holder.bind((host, 0))
        except OSError:
            pytest.skip(f"this machine has no {host}")
        holder.listen()
        port = holder.getsockname()[1]
        assert not is_free(host, port)
        assert listens(host, port)
        assert free_or_asked(host, None, port, "the UI")[0] > port
        with pytest.raises(CannotStart, match="is taken: choose another with --port"):
            free_or_asked(host, port, 3000, "the UI")
