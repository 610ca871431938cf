"""Text from elsewhere becomes part of a message as text: one line, not long, nothing unseen, nobody mentioned."""

import re
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricetracker_dagster.alerts.messages.quoting import quoted, without_mentions


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("EService:Busy", "EService:Busy"),
        ("one\ntwo\r\n\tthree\x0b\u2028four\x85five", "one two three four five"),
        ("red \x1b[31mtext\x1b[0m \x00end", "red [31mtext[0m end"),
        ("\u202eevil\u202c \u2066x\u2069", "evil x"),  # right to left
        ("a\u200bb\u200d\ufeffc\u00ad\u2060d", "abcd"),  # zero width
        ("half \ud800 of a pair \U000e0041", "half of a pair"),
        ("\u3164\u2800 blank", "blank"),
        ("é 日本 ▲ 1.5×", "é 日本 ▲ 1.5×"),
        ("", ""),
    ],
)
def test_one_line_of_what_can_be_seen(text: str, expected: str) -> None:
    assert quoted(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("@everyone", "everyone"),
        ("look, @here and @channel!", "look, here and channel!"),
        ("<!channel> <!here|here> <@U123> <@&99> <#C123> <!subteam^S1|ops>", "channel here U123 99 C123 ops"),
        ("x@everyone", "xeveryone"),
        ("@\u200beveryone", "everyone"),
        ("@@everyone \uff20here", "everyone here"),
        ("<<!channel>> <!<!here>>", "<channel> here>"),
        ("@<!>everyone", "everyone"),
        ("<at>Bob</at> <at user_id='all'>", "Bob"),
        ("(@bob) @**all** @[1]", "(bob) **all** [1]"),
        ("mail to user@example.org, 5 @ 7", "mail to user@example.org, 5 @ 7"),
        ("1 < 2 & <b>x</b> <!-- -->", "1 < 2 & <b>x</b> -- --"),
    ],
)
def test_nobody_is_mentioned(text: str, expected: str) -> None:
    assert quoted(text) == expected
    assert quoted(quoted(text)) == expected


@pytest.mark.parametrize("most", [500, 20, 2, 1, 0])
def test_it_is_shortened_and_says_so(most: int) -> None:
    assert quoted("x" * most, most) == "x" * most
    short = quoted("word " * 1000, most)
    assert len(short) <= most
    assert most < 2 or short.endswith("…")


@pytest.mark.parametrize("sign", ["@", "<", "<!", "<at", "@<", "<!>@", "\u200b", "<@a>"])
def test_megabytes_of_it_take_no_time(sign: str) -> None:
    began = time.monotonic()
    quoted(sign * 1_000_000)
    without_mentions(sign * 3_000)
    assert time.monotonic() - began < 2


@given(st.text(st.one_of(st.characters(), st.sampled_from("@<>!#&|\uff20\u200b \nhereatll")), max_size=80))
def test_whatever_comes_nothing_is_left_that_a_channel_would_act_on(text: str) -> None:
    said = quoted(text, 40)
    assert len(said) <= 40
    assert not re.search(r"<[!@#]|(?<!\w)@\w|@(here|all)\b", said)
    assert all(sign == " " or unicodedata.category(sign)[0] not in "CZ" for sign in said)
    assert said == said.strip()
