"""The folder of Dagster's instance is made ready, whatever lies in it."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from pricetracker_dagster.cli import main
from pricetracker_dagster.files.data_folder import StateFile
from pricetracker_dagster.instance import dagster_yaml
from pricetracker_dagster.instance.dagster_yaml import project_file
from pricetracker_dagster.instance.home import InstanceError, check_dagster_yaml, dagster_home, is_kept, open_instance
from pricetracker_dagster.settings import PROJECT, Settings, load_settings

OURS = (PROJECT / "dagster.yaml").read_bytes()
FIRST = (Path(__file__).parents[1] / "data" / "dagster_first.yaml").read_bytes()
"""The project's dagster.yaml as its first version wrote it, without a note of that."""

OWN = OURS.replace(b"max_concurrent_runs: 6", b"max_concurrent_runs: 9")

TICK_LIMIT = "concurrency.runs.tag_concurrency_limits of pricetracker/tick, limit 1"


@pytest.fixture
def settings(write_settings: Callable[[str], Path]) -> Settings:
    write_settings('metrics = ["KRAKEN:BTCUSD"]')
    return load_settings()


@pytest.fixture
def file(settings: Settings) -> Path:
    """Where the instance's dagster.yaml lies; its folder is there."""
    (settings.folder / "dagster").mkdir(parents=True)
    return settings.folder / "dagster" / "dagster.yaml"


@pytest.mark.parametrize("content", [b"", b"\n", b"\0" * 512])
def test_a_file_that_holds_nothing_is_replaced_by_the_projects_own(
    settings: Settings, file: Path, content: bytes
) -> None:
    file.write_bytes(content)
    assert dagster_home(settings) == file.parent
    assert file.read_bytes() == OURS


@pytest.mark.parametrize("note", ["", "no json", "{}", '{"written": 5}', '{"written": [5, null]}'])
def test_a_file_that_an_earlier_version_wrote_is_renewed_whatever_is_noted(
    settings: Settings, file: Path, note: str
) -> None:
    file.write_bytes(FIRST)
    settings.state.mkdir()
    (settings.state / StateFile.DAGSTER_YAML).write_text(note)
    dagster_home(settings)
    assert file.read_bytes() == OURS


def test_a_file_that_we_wrote_is_renewed_when_ours_changes(
    settings: Settings, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dagster_home(settings)
    for change in (b"# newer\n", b"# newer still\n"):
        newer = tmp_path / "newer.yaml"
        newer.write_bytes(OURS + change)
        monkeypatch.setattr(dagster_yaml, "project_file", lambda newer=newer: newer)
        dagster_home(settings)
        assert file.read_bytes() == OURS + change
    noted = json.loads((settings.state / StateFile.DAGSTER_YAML).read_text())["written"]
    assert hashlib.sha256(OURS).hexdigest() in noted


def test_a_file_that_a_user_changed_is_kept_byte_for_byte_also_when_ours_changes(
    settings: Settings, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dagster_home(settings)
    file.write_bytes(OWN)
    dagster_home(settings)
    newer = tmp_path / "newer.yaml"
    newer.write_bytes(OURS + b"# newer\n")
    monkeypatch.setattr(dagster_yaml, "project_file", lambda: newer)
    dagster_home(settings)
    assert file.read_bytes() == OWN


def test_a_file_of_a_users_that_has_all_we_rely_on_is_taken_without_a_word(settings: Settings, file: Path) -> None:
    file.write_bytes(OWN)
    said: list[str] = []
    check_dagster_yaml(settings, said.append)
    with open_instance(settings, warn=said.append) as instance:
        config = instance.get_concurrency_config().run_queue_config
        assert config is not None
        assert config.max_concurrent_runs == 9
    assert said == []


@pytest.mark.parametrize(
    ("ours", "instead", "absent"),
    [
        (
            b"      - key: pricetracker/tick\n        limit: 1\n",
            b"",
            TICK_LIMIT,
        ),
        (
            b"/tick\n        limit: 1",
            b"/tick\n        limit: 2",
            TICK_LIMIT,
        ),
        (b"dequeue_interval_seconds: 1", b"max_user_code_failure_retries: 1", "run_queue.dequeue_interval_seconds"),
        (b"run_monitoring:\n  enabled: true", b"run_monitoring:\n  enabled: false", "run_monitoring.enabled"),
        (b"  poll_interval_seconds: 2\n", b"", "run_monitoring.poll_interval_seconds"),
        (b"freshness:\n  enabled: true", b"freshness:\n  enabled: false", "freshness.enabled"),
        (OURS[OURS.index(b"  sensor:") :], b"", "retention.sensor"),
    ],
)
def test_a_setting_that_we_rely_on_and_a_users_file_lacks_is_named_in_one_line(
    settings: Settings, file: Path, ours: bytes, instead: bytes, absent: str
) -> None:
    assert ours in OURS
    file.write_bytes(OURS.replace(ours, instead))
    said: list[str] = []
    check_dagster_yaml(settings, said.append)
    [line] = said
    assert line.startswith(f"Warning: {file} is your own and lacks ")
    assert absent in line
    assert line.count(" (") == 1
    assert "\n" not in line


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"storage: [", "it is not valid YAML: expected the node content"),
        (b"\xff\xfe\x00\x81", "it is not a text in UTF-8"),
        ("# \u00e9\n".encode("latin-1"), "it is not a text in UTF-8"),
        (b"- 1", "to parse to dictionary"),
        (b"storge: {}", 'Received unexpected config entry "storge"'),
        (b"run_monitoring: {enabled: s3cret}", "path root:run_monitoring:enabled"),
        (b"storage:\n  postgres:\n    postgres_url: postgresql://me:s3cret@db/dagster\n", "dagster_postgres"),
    ],
)
def test_a_file_that_dagster_does_not_take_is_an_error_that_names_it_and_the_way_out(
    settings: Settings, file: Path, content: bytes, why: str
) -> None:
    file.write_bytes(content)
    with pytest.raises(InstanceError) as error, open_instance(settings):
        pass
    said = str(error.value)
    assert said.startswith(f"{file} cannot be used: ")
    assert said.endswith("correct the file, or delete it: then the project's own is put there")
    assert why in said
    assert "s3cret" not in said
    assert "\n" not in said
    assert file.read_bytes() == content


def test_a_file_that_leads_nowhere_is_an_error_that_names_it(settings: Settings, file: Path) -> None:
    file.symlink_to(file.with_name("gone.yaml"))
    with pytest.raises(InstanceError, match=r"dagster\.yaml cannot be read: No such file or directory: "):
        dagster_home(settings)
    assert file.is_symlink()


def test_a_command_ends_with_that_error_in_a_line(settings: Settings, file: Path) -> None:
    file.write_bytes(b"telemetry: {enabled: false}\nrun_monitoring: [")
    refused = CliRunner().invoke(main, ["tick"])
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr.startswith(f"Error: {file} cannot be used: ")


def test_an_instance_with_a_storage_of_its_own_counts_as_opened(settings: Settings, file: Path) -> None:
    assert not is_kept(dagster_home(settings))
    file.write_bytes(OURS + b"storage:\n  postgres:\n    postgres_url: {env: DATABASE}\n")
    assert is_kept(dagster_home(settings))


def test_in_an_installed_package_the_file_is_where_the_wheel_puts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dagster_yaml, "PROJECT", tmp_path)
    assert project_file() == PROJECT / "pricetracker_dagster" / "dagster.yaml"
