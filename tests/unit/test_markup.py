"""What a channel is given, as it leaves: text is shown as text, whatever the channel reads as markup."""

import json
import smtplib
from collections.abc import Iterator, Mapping
from email import message_from_string
from types import MappingProxyType
from typing import Any

import pytest
import requests

from pricetracker_dagster.alerts.delivery import channels
from pricetracker_dagster.alerts.delivery.channels import Message, limit_of

FOREIGN = (
    "<script>alert(1)</script> *b* _i_ ~s~ `c` [x](http://evil) a|b ||c|| & more :smile: # h > q "
    "<!channel> <@U123> @here"
)
"""What an exchange might say."""

PLAIN = FOREIGN.replace("<!channel> <@U123> @here", "channel U123 here")
BODY = f"▲ KRAKEN:BTCUSD 4.10× at 12:00 {FOREIGN}\n- second line\nhttp://127.0.0.1:3000/assets/alerts"
TITLE = "✗ a_b *title* <!here> @everyone\nand more"
PLAIN_TITLE = "✗ a_b *title* here everyone and more"

SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#chan"
DISCORD = "discord://123456789012345678/abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl"
TELEGRAM = "tgram://123456789:abcdefg_hijklmnop/12315544/"
TEAMS = "workflows://host.example/a1b2/c3d4"


class Answer:
    """A good answer to anything."""

    status_code, ok, reason = 200, True, "OK"
    headers: Mapping[str, str] = MappingProxyType({})
    content, text = b'{"ok": true, "event_id": "x", "access_token": "t", "user_id": "@u:h", "home_server": "h"}', "ok"

    def json(self) -> object:
        return json.loads(self.content)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What leaves: bodies of requests, and mails."""
    seen: list[Any] = []

    def asked(url: str, **options: Any) -> Answer:
        data = options.get("data") or options.get("json")
        seen.append(json.loads(data) if isinstance(data, str | bytes) else data)
        return Answer()

    class Mail:
        def __init__(self, *_: object, **__: object) -> None: ...

        def sendmail(self, _from: str, _to: object, text: str) -> dict[str, object]:
            seen.append(message_from_string(text))
            return {}

        def __getattr__(self, _: str) -> Any:
            return lambda *_, **__: None

    for name in ("post", "put", "get"):
        monkeypatch.setattr(requests, name, asked)
    monkeypatch.setattr(requests, "request", lambda _, url, **options: asked(url, **options))
    monkeypatch.setattr(smtplib, "SMTP", Mail)
    monkeypatch.setattr(smtplib, "SMTP_SSL", Mail)
    return seen


def give(url: str, seen: list[Any], title: str = TITLE, body: str = BODY) -> Any:
    """Send one message and return what left last."""
    list(channels.send({url: [Message(title, body, good=False)]}))
    return seen[-1]


def shown_by_markdown(text: str) -> str:
    """Return what a reader of Markdown shows of a text in which every sign that means something is escaped."""
    out, i = [], 0
    while i < len(text):
        if text[i] == "\\" and not text[i + 1].isalnum():
            out.append(text[i + 1])
            i += 2
            continue
        assert text[i] not in "*_~`|[]<>#", f"{text[i]!r} is read as markup in {text[i - 10 : i + 10]!r}"
        out.append(text[i])
        i += 1
    return "".join(out)


EXPECTED = BODY.replace(FOREIGN, PLAIN)


def test_slack_reads_no_markup_no_link_and_no_mention(given: list[Any]) -> None:
    payload = give(SLACK, given)
    [attachment] = payload["attachments"]
    assert payload["mrkdwn"] is False
    assert attachment["mrkdwn_in"] == []
    assert "<" not in attachment["text"] + attachment["title"]
    unescaped = attachment["text"].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert unescaped == EXPECTED
    assert attachment["title"] == PLAIN_TITLE


def test_slack_in_blocks_is_given_plain_text(given: list[Any]) -> None:
    payload = give(f"{SLACK}?blocks=yes", given)
    blocks = payload["attachments"][0]["blocks"]
    assert {block["text"]["type"] for block in blocks if "text" in block} == {"plain_text"}


def test_discord_shows_what_was_meant_and_mentions_nobody(given: list[Any]) -> None:
    payload = give(DISCORD, given)
    assert payload["allowed_mentions"] == {"parse": []}
    assert payload["content"].splitlines()[-1] == "http://127.0.0.1:3000/assets/alerts"
    assert shown_by_markdown(payload["content"].replace("\r\n", "\n")) == f"{PLAIN_TITLE}\n{EXPECTED}"
    assert "\n\\- second line" in payload["content"]
    assert "\\:smile:" in payload["content"]


def test_discord_mentions_whom_its_own_url_names_and_nobody_else(given: list[Any]) -> None:
    payload = give(f"{DISCORD}?ping=@everyone", given)
    assert payload["allowed_mentions"]["parse"] == ["everyone"]
    assert payload["content"].count("@everyone") == 1


def test_discord_in_embeds_shows_the_same(given: list[Any]) -> None:
    [embed] = give(f"{DISCORD}?format=markdown&fields=no", given)["embeds"]
    assert shown_by_markdown(embed["title"]) == PLAIN_TITLE
    assert "[x]" not in embed["description"]
    assert "<script>" not in embed["description"].replace("\\<", "").replace("\\>", "")


def test_telegram_is_given_escaped_html(given: list[Any]) -> None:
    payload = give(TELEGRAM, given)
    assert payload["parse_mode"] == "HTML"
    text = payload["text"].removeprefix("<b>").replace("</b>", "", 1)
    assert "<" not in text
    text = text.replace("\u00a0", " ").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert text.replace("\r\n", "\n") == f"{PLAIN_TITLE}\n{EXPECTED}"


def test_telegram_in_markdown_is_given_it_escaped(given: list[Any]) -> None:
    text = give(f"{TELEGRAM}?format=markdown&mdv=v2", given)["text"]
    for markup in ("[x](", " *b*", " _i_", " ~s~", "||c||", " `c`"):
        assert markup not in text


def test_a_mail_is_plain_text_and_its_subject_one_line(given: list[Any]) -> None:
    mail = give("mailto://user:pass@example.org", given)
    assert mail.get_content_type() == "text/plain"
    assert mail.get_payload(decode=True).decode().rstrip("\n") == EXPECTED
    assert "\n" not in mail["Subject"]


def test_a_mail_in_html_is_escaped(given: list[Any]) -> None:
    mail = give("mailto://user:pass@example.org?format=html", given)
    html = (
        next(part for part in mail.walk() if part.get_content_type() == "text/html").get_payload(decode=True).decode()
    )
    assert "&lt;script&gt;" in html
    assert "<script" not in html


@pytest.mark.parametrize(
    "url", ["json://host.example/x", "ntfy://host.example/topic", "gotify://host.example/Aabcdefghijklmn"]
)
def test_a_channel_that_shows_text_as_text_is_given_it_as_it_is(url: str, given: list[Any]) -> None:
    payload = give(url, given)
    assert payload["message"] == EXPECTED
    assert payload["title"] == PLAIN_TITLE


def test_teams_is_given_markdown_escaped_in_title_and_text_and_mentions_nobody(given: list[Any]) -> None:
    payload = give(TEAMS, given, body=f"{BODY} <at>Bob</at>")
    [attachment] = payload["attachments"]
    assert "entities" not in attachment["content"]["msteams"]
    blocks = {block["id"]: block["text"] for block in attachment["content"]["body"] if "id" in block}
    assert shown_by_markdown(blocks["title"]) == PLAIN_TITLE
    assert "\\[x\\]" in blocks["body"]
    assert "\\*b\\*" in blocks["body"]
    assert "<at>" not in blocks["body"]


def test_matrix_is_given_text_without_html(given: list[Any]) -> None:
    give("matrix://user:token@host.example/!room:host.example", given)
    [message] = [each for each in given if isinstance(each, dict) and "msgtype" in each]
    assert "formatted_body" not in message
    assert message["body"].replace("\r\n", "\n") == f"# {PLAIN_TITLE}\n{EXPECTED}"


@pytest.mark.parametrize(
    "url",
    ["mmost://host.example/3ccdd113474722377935511fc85d3dd4", "zulip://bot@org/a1b2c3d4e5f6a1b2c3d4e5f6a1b2c3d4/chan"],
)
def test_others_that_read_markdown_in_text_are_given_it_escaped(url: str, given: list[Any]) -> None:
    payload = give(url, given)
    text = payload.get("text") or payload["content"]
    assert shown_by_markdown(text.removeprefix("# ").replace("\r\n", "\n")).endswith(EXPECTED)


@pytest.mark.parametrize(
    "url", [SLACK, DISCORD, TELEGRAM, f"{TELEGRAM}?format=markdown", TEAMS, "mailto://u:p@example.org?format=html"]
)
def test_the_length_counts_what_is_sent(url: str, given: list[Any]) -> None:
    text = "1 < 2 & *b* _i_ [x] |c|\n" * 20
    payload = give(url, given, title="t", body=text)
    sent = [payload] if "mail" not in url else [str(part.get_payload(decode=True)) for part in payload.walk()]
    longest = max(len(each) for each in strings_in(sent))
    assert len(text) * 1.1 < longest <= limit_of(url).length(f"t{text}") + 20  # with the title and its <b>


def strings_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from strings_in(each)


@pytest.mark.parametrize("url", ["json://host.example/x", "ntfy://host.example/topic"])
def test_where_nothing_is_escaped_characters_count_as_they_are(url: str) -> None:
    assert limit_of(url).length is len
