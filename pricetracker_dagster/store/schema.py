"""Every table of ours and every published table and view, once: its columns with type, unit and comment.

From here come the Delta tables, the tables and comments of the published file, the columns that Dagster shows and the
README's list of tables (readme.py). What a measure is stands in candles/measures.sql, how rows are written in
records.py, and how a view is computed in publishing/sql/NAME_view.sql.
"""

from typing import NamedTuple

import pyarrow as pa

from pricetracker_dagster.candles.metric import MEASURES
from pricetracker_dagster.candles.schema import SCHEMA, TIMESTAMP, column

SQL_TYPES = {
    pa.string(): "VARCHAR",
    pa.float64(): "DOUBLE",
    pa.int64(): "BIGINT",
    pa.int32(): "INTEGER",
    pa.bool_(): "BOOLEAN",
    pa.date32(): "DATE",
    TIMESTAMP: "TIMESTAMPTZ",
    pa.list_(pa.string()): "VARCHAR[]",
    pa.list_(pa.int64()): "BIGINT[]",
}

_TEXT, _NUMBER, _COUNT, _TEXTS = pa.string(), pa.float64(), pa.int64(), pa.list_(pa.string())


class Table(NamedTuple):
    """A table or view: what one row of it is, and its columns."""

    name: str
    comment: str
    columns: pa.Schema

    @property
    def names(self) -> list[str]:
        """The columns' names, in their order."""
        return list(self.columns.names)


def _table(name: str, comment: str, *columns: pa.Field) -> Table:
    return Table(name, comment, pa.schema(columns))


_METRIC = column("metric", _TEXT, "EXCHANGE:BASEQUOTE")
_MEASURE = column("measure", _TEXT, f"{', '.join(MEASURES[:-1])} or {MEASURES[-1]}")
_HELD_BY = "what holds its messages back: a silence, an outage of its exchange; NULL: nothing"
_TRANSITIONS = column("transitions", _COUNT, "how many of them are recorded in messages; NULL: of an earlier version")

ALERTS = _table(
    "alerts",
    "Values that exceeded a rule: one row a fact, whose state changes",
    column("id", _TEXT, "rule, metric, measure and first minute as first recorded: the same fact keeps its id"),
    column("rule", _TEXT, "name of the rule that was broken"),
    _METRIC,
    _MEASURE,
    column("minute", TIMESTAMP, "first minute above", "UTC"),
    column("state", _TEXT, "pending (above, not yet for long enough), firing or resolved"),
    column("value", _NUMBER, "the measure in that first minute"),
    column("average", _NUMBER, "average before that minute, of changes by size; of a divergence the others' median"),
    column("ratio", _NUMBER, "|value| / average; of a divergence how far the price was from it, in basis points"),
    column("factor", _NUMBER, "the factor that was exceeded; of a divergence the basis points"),
    column("last_minute", TIMESTAMP, "newest minute above", "UTC"),
    column("minutes", _COUNT, "how many minutes were above"),
    column("peak", _NUMBER, "the value of the minute with the largest ratio"),
    column("peak_ratio", _NUMBER, "that ratio"),
    column("peak_minute", TIMESTAMP, "that minute", "UTC"),
    column("fired_at", TIMESTAMP, "when it was recorded as firing (NULL: it never was)", "UTC"),
    column("resolved_at", TIMESTAMP, "when it was recorded as resolved", "UTC"),
    column("ended_because", _TEXT, "how it was resolved: below again, no data since …, no longer judged, corrected"),
    column("sent", pa.bool_(), "whether messages are sent: not for a minute that was already old when it was judged"),
    column("held_by", _TEXT, _HELD_BY),
    _TRANSITIONS,
    column("rule_kind", _TEXT, "kind of that rule: spike or divergence; NULL: a spike of an earlier version"),
    column("others", _COUNT, "of a divergence: how many others the median was of in that first minute; else NULL"),
)

MESSAGES = _table(
    "messages",
    "What was sent: one row a transition of an alert or an incident",
    column("id", _TEXT, "of the transition: id of the alert or the incident, and the transition's number"),
    column("fact", _TEXT, "id of the alert or the incident"),
    column("subject", _TEXT, "alert, incident or summary"),
    column("event", _TEXT, "what happened, as in deliveries, e.g. firing; a second time firing 2"),
    column("number", _COUNT, "1 for the first transition of the fact"),
    column("recorded_at", TIMESTAMP, "when it was recorded", "UTC"),
    column("channels", _TEXTS, "the channels that are to deliver it, as in deliveries"),
    column("headline", _TEXT, "what happened in a few words"),
    column("text", _TEXT, "the line that a person reads"),
    column("held_by", _TEXT, "what held it back from every channel: a silence, an outage; NULL: nothing"),
)

DELIVERIES = _table(
    "deliveries",
    "Attempts to send a message about an alert or an incident",
    column("id", _TEXT, "of the alert or the incident"),
    column("subject", _TEXT, "alert or incident"),
    column("event", _TEXT, "firing, opened, reminder N or resolved; resolved 2 where it reopened and ended again"),
    column("channel", _TEXT, "kind of the channel and a digest of its URL, which holds secrets"),
    column("attempt", _COUNT, "1 for the first attempt"),
    column("attempted_at", TIMESTAMP, "when the attempt ended", "UTC"),
    column("delivered", pa.bool_(), "whether the channel accepted it"),
    column("error", _TEXT, "why it did not"),
    column("retry_at", TIMESTAMP, "the channel is not tried again before this time", "UTC"),
)

INCIDENTS = _table(
    "incidents",
    "Outages: minutes missed near each other in time, whatever the causes; also what stands still",
    column("id", _TEXT, "cause and first minute as first recorded: the same outage keeps its id"),
    column("state", _TEXT, "open or resolved"),
    column(
        "cause",
        _TEXT,
        "as in causes; where no minute is missed: standstill, clock, not published, settings or sensor failure",
    ),
    column("reason", _TEXT, "the reason in plain words"),
    column("first", TIMESTAMP, "oldest missed minute", "UTC"),
    column("last", TIMESTAMP, "newest missed minute", "UTC"),
    column("count", _COUNT, "how many minutes are or were missed, of any metric"),
    column("metrics", _TEXTS, "whose minutes"),
    column("missing", _COUNT, "how many minutes, summed over the metrics, are still missing"),
    column("opened_at", TIMESTAMP, "when it was recorded", "UTC"),
    column("resolved_at", TIMESTAMP, "when it was recorded as over", "UTC"),
    column("causes", _TEXT, "its causes with the number of minutes noted for each, as JSON"),
    column("out", _TEXTS, "whose minutes are missed now"),
    column("told_out", _TEXTS, "the metrics reported as out and not yet as back"),
    column("grown_at", TIMESTAMP, "newest minute in which a metric joined", "UTC"),
    column("flaps", pa.bool_(), "whether its minutes are missed, come and are missed again"),
    column("exchange", _TEXT, "the exchange that is out as a whole; NULL: none is"),
    column("held_by", _TEXT, "what holds its messages back: a silence; NULL: nothing"),
    _TRANSITIONS,
)

CAUSES = _table(
    "causes",
    "Why minutes are missing: one row a metric and missed minute, as noted by the tick that failed to store it",
    _METRIC,
    column("minute", TIMESTAMP, "the missed minute", "UTC"),
    column(
        "cause",
        _TEXT,
        "not run, run failed, exchange error, exchange maintenance, banned by the exchange, refused by the exchange, "
        "pair unknown, refused rows, not stored or own mistake",
    ),
    column("reason", _TEXT, "the reason in plain words"),
    column("noted_at", TIMESTAMP, "when it was noted", "UTC"),
)

SILENCES = _table(
    "silences",
    "Whose messages are or were held back for a while: one row a silence",
    column("id", _TEXT, "s1 for the first silence of this folder"),
    column("metrics", _TEXT, "whose messages are held back: a metric, or a pattern of metrics"),
    column("rule", _TEXT, "of which rule's alerts; NULL: of every alert and of incidents"),
    column("reason", _TEXT, "why, as it was given"),
    column("who", _TEXT, "the name that was given, else the user of the machine"),
    column("made_at", TIMESTAMP, "since when", "UTC"),
    column("until", TIMESTAMP, "until when unless it is ended before", "UTC"),
    column("ended_at", TIMESTAMP, "when somebody ended it (NULL: nobody did)", "UTC"),
    column("ended_by", _TEXT, "the name of who ended it"),
)

ACKNOWLEDGEMENTS = _table(
    "acknowledgements",
    "Who looks after an alert or an incident, which sends no more reminders then",
    column("fact", _TEXT, "id of the alert or the incident"),
    column("subject", _TEXT, "alert or incident"),
    column("who", _TEXT, "the name that was given, else the user of the machine"),
    column("made_at", TIMESTAMP, "when", "UTC"),
    column("note", _TEXT, "the note that was given with it"),
)

MINUTE_PRICES = Table("minute_prices", "Every stored minute. Times are UTC; a minute is named by its open time", SCHEMA)

HISTORY_24H = _table(
    "history_24h",
    "The 1,440 closed minutes up to as_of, four measures a metric",
    _METRIC,
    _MEASURE,
    column("minute", TIMESTAMP, "open time of the minute", "UTC"),
    column("value", _NUMBER, "price, change_absolute: quote currency; volume: base units; change_percentage: per cent"),
)

_IN_UNIT_OF_MEASURE = "in the measure's unit"
_OBSERVATIONS = column("observations", _COUNT, "minutes that have a value")

METRIC_RANK = _table(
    "metric_rank",
    "Metrics by sample standard deviation over the last 24 hours, a ranking a measure",
    _MEASURE,
    column("rank", _COUNT, "1 = largest stddev; ties by metric name; metrics without a stddev last"),
    column("of", _COUNT, "how many metrics the measure has"),
    _METRIC,
    column("stddev", _NUMBER, "sample standard deviation (NULL for fewer than two values)", _IN_UNIT_OF_MEASURE),
    column("mean", _NUMBER, "arithmetic mean", _IN_UNIT_OF_MEASURE),
    column("relative_stddev", _NUMBER, "stddev / |mean|; NULL where the mean is 0"),
    _OBSERVATIONS,
    column("as_of", TIMESTAMP, "newest closed minute of the 24 hours", "UTC"),
)

AVAILABLE_METRICS = _table(
    "available_metrics",
    "What has values in the last 24 hours",
    _METRIC,
    _MEASURE,
    _OBSERVATIONS,
    column("first_minute", TIMESTAMP, "oldest minute with a value", "UTC"),
    column("last_minute", TIMESTAMP, "newest minute with a value", "UTC"),
    column("last_value", _NUMBER, "its value", _IN_UNIT_OF_MEASURE),
)

MARKETS = _table(
    "markets",
    "What is traded for what, on each exchange: newest price, volume, how far from the others. One row a metric",
    column("market", _TEXT, "BASE/QUOTE, a grouped quote by the group's name; the pair where its quote is not known"),
    column("exchange", _TEXT, "who quotes it"),
    _METRIC,
    column("base", _TEXT, "what is traded"),
    column("quote", _TEXT, "what it is priced in, not grouped; NULL: not known"),
    column("last_price", _NUMBER, "close of its newest minute in the last 24 hours", "quote currency"),
    column("last_minute", TIMESTAMP, "that minute", "UTC"),
    column("volume_24h", _NUMBER, "traded in the last 24 hours", "base units"),
    column("volume_share", _NUMBER, "its part of the market's volume_24h, 0 to 1; NULL: nothing was traded"),
    column("weighted_price", _NUMBER, "mean of the market's closes in deviation_minute, by volume_24h; NULL: alone"),
    column("deviation_bps", _NUMBER, "how far its close is from weighted_price", "basis points"),
    column("deviation_minute", TIMESTAMP, "newest minute that it and another one of the market have", "UTC"),
    column("largest_deviation_bps", _NUMBER, "the largest of the last 24 hours, up or down", "basis points"),
    column("largest_deviation_minute", TIMESTAMP, "the first minute of it", "UTC"),
)

MISSED_MINUTES = _table(
    "missed_minutes",
    "Closed minutes of the last 24 hours without a row, since a metric is tracked or has its first row",
    _METRIC,
    column("minute", TIMESTAMP, "open time", "UTC"),
    column("cause", _TEXT, CAUSES.columns.field("cause").metadata[b"comment"].decode()),
)

SNAPSHOT = _table(
    "snapshot",
    "What this file is: as_of is the newest closed minute it covers",
    column("as_of", TIMESTAMP, "newest closed minute it covers", "UTC"),
    column("published_at", TIMESTAMP, "when it was built", "UTC"),
    column("metrics", _COUNT, "metrics with a value in the last 24 hours"),
    column("rows", _COUNT, "rows of minute_prices in all"),
    column("schema_version", pa.int32(), "raised by a change that could break a query"),
)

SOURCES = _table(
    "sources",
    "For the publisher: from which state of the store this file was built",
    column("versions", pa.list_(pa.int64()), "versions of the Delta tables, minute_prices first"),
    column("tracked", _TEXTS, "the tracked metrics"),
    column("folder", _TEXT, "the data folder"),
    column("markets", _TEXT, "digest of how markets are told apart"),
)


def _with_acknowledgement(table: Table) -> Table:
    by = column("acknowledged_by", _TEXT, "who looks after it: the newest row in acknowledgements since it began")
    at = column("acknowledged_at", TIMESTAMP, "when that was said", "UTC")
    return _table(table.name, table.comment, *table.columns, by, at)


STORED = (ALERTS, MESSAGES, DELIVERIES, INCIDENTS, CAUSES, SILENCES, ACKNOWLEDGEMENTS)
"""The small Delta tables."""

_TOLD = (MESSAGES, DELIVERIES, SILENCES, ACKNOWLEDGEMENTS)
VIEWS = (MINUTE_PRICES, HISTORY_24H, *map(_with_acknowledgement, (ALERTS, INCIDENTS)), *_TOLD)
"""Views of the published file."""

TABLES = (METRIC_RANK, AVAILABLE_METRICS, MARKETS, MISSED_MINUTES, SNAPSHOT, SOURCES)
"""Tables of the published file."""


def sql_types(columns: pa.Schema) -> dict[str, str]:
    """Return each column's type in SQL."""
    return {name: SQL_TYPES[kind] for name, kind in zip(columns.names, columns.types, strict=True)}


def comments(columns: pa.Schema) -> dict[str, str]:
    """Return each column's comment."""
    return {field.name: field.metadata[b"comment"].decode() for field in columns}


def columns_of(columns: pa.Schema) -> str:
    """Return columns as a table or struct declares them: names, quoted, and types."""
    return ", ".join(f'"{name}" {kind}' for name, kind in sql_types(columns).items())
