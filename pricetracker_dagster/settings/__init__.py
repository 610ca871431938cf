"""Settings: ``pricetracker.toml`` and ``PRICETRACKER_*`` environment variables, checked at load.

Each tick loads the settings afresh, so a changed file takes effect at the next minute. ``model`` says what a user may
set, ``source`` where it comes from, ``messages`` how a mistake is told, ``load`` puts them together.
"""

from pricetracker_dagster.errors import did_you_mean
from pricetracker_dagster.settings.load import changed_rules, load_settings
from pricetracker_dagster.settings.model import (
    SIMULATED,
    AlertRule,
    AlertSettings,
    CollectSettings,
    Exchanges,
    ExchangeSettings,
    Settings,
    UiSettings,
    WatchSettings,
    host_name,
    http_address,
    is_channel,
    log_of_apprise,
)
from pricetracker_dagster.settings.routes import AlertRoute, QuietHours, RouteMatch, channel_name, is_channel_name
from pricetracker_dagster.settings.section import Measure, metric_pattern
from pricetracker_dagster.settings.source import (
    CONFIG_VARIABLE,
    PREFIX,
    PROJECT,
    SettingsError,
    command,
    config_file,
)

__all__ = [
    "CONFIG_VARIABLE",
    "PREFIX",
    "PROJECT",
    "SIMULATED",
    "AlertRoute",
    "AlertRule",
    "AlertSettings",
    "CollectSettings",
    "ExchangeSettings",
    "Exchanges",
    "Measure",
    "QuietHours",
    "RouteMatch",
    "Settings",
    "SettingsError",
    "UiSettings",
    "WatchSettings",
    "changed_rules",
    "channel_name",
    "command",
    "config_file",
    "did_you_mean",
    "host_name",
    "http_address",
    "is_channel",
    "is_channel_name",
    "load_settings",
    "log_of_apprise",
    "metric_pattern",
]
