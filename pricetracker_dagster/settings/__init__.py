"""Settings: ``pricetracker.toml`` and ``PRICETRACKER_*`` environment variables, checked at load.

Each tick loads the settings afresh, so a changed file takes effect at the next minute. ``model`` says what a user may
set, ``source`` where it comes from, ``load`` puts it together and says what is wrong with it.
"""

from pricetracker_dagster.settings.alerts import DIVERGENCE, SPIKE, AlertRule, AlertSettings, RuleKind
from pricetracker_dagster.settings.channels import channel_name, is_channel, is_channel_name
from pricetracker_dagster.settings.command_line import backfill_command, command
from pricetracker_dagster.settings.exchanges import Exchanges
from pricetracker_dagster.settings.load import changed_rules, load_settings, rules_of_kind
from pricetracker_dagster.settings.model import Settings, WatchSettings
from pricetracker_dagster.settings.routes import AlertRoute, QuietHours, RouteMatch
from pricetracker_dagster.settings.section import metric_pattern
from pricetracker_dagster.settings.source import CONFIG_VARIABLE, PREFIX, PROJECT, SettingsError, config_file
from pricetracker_dagster.settings.urls import host_name, http_address

__all__ = [
    "CONFIG_VARIABLE",
    "DIVERGENCE",
    "PREFIX",
    "PROJECT",
    "SPIKE",
    "AlertRoute",
    "AlertRule",
    "AlertSettings",
    "Exchanges",
    "QuietHours",
    "RouteMatch",
    "RuleKind",
    "Settings",
    "SettingsError",
    "WatchSettings",
    "backfill_command",
    "changed_rules",
    "channel_name",
    "command",
    "config_file",
    "host_name",
    "http_address",
    "is_channel",
    "is_channel_name",
    "load_settings",
    "metric_pattern",
    "rules_of_kind",
]
