from pathlib import Path

import pytest

from kennel.local.errors import KennelError
from kennel.local.state import Home, Service, write_private

SERVICE = Service(pid=12, started=3456, cwd="/somewhere", ports={"http": 8080})


def test_home_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KENNEL_HOME", str(tmp_path / "kennel"))
    assert Home.find().path == tmp_path / "kennel"
    monkeypatch.delenv("KENNEL_HOME")
    assert Home.find().path == Path(__file__).parents[4] / ".kennel"


def test_remembers_services_until_they_are_forgotten(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert home.services() == {}
    home.record("airflow", SERVICE)
    home.record("localaws", SERVICE)
    assert Home(tmp_path).services() == {"airflow": SERVICE, "localaws": SERVICE}
    home.record("airflow", None)
    assert Home(tmp_path).services() == {"localaws": SERVICE}


def test_only_one_command_changes_services_at_a_time(tmp_path: Path) -> None:
    first, second = Home(tmp_path).changing(), Home(tmp_path).changing()
    with first, pytest.raises(KennelError, match="wait until it is done"), second:
        pass
    with Home(tmp_path).changing():
        pass


def test_secrets_are_for_their_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "new" / "secret"
    write_private(file, "old")
    write_private(file, "word")
    assert file.read_text() == "word"
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(file.parent.iterdir()) == [file]
