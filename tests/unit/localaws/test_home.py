from pathlib import Path

from localaws.home import root_key


def test_every_home_has_a_root_key_of_its_own_for_its_owner_only(tmp_path: Path) -> None:
    homes = [tmp_path / "one", tmp_path / "other"]
    for home in homes:
        home.mkdir()
    one, other = map(root_key, homes)
    assert one.access_key_id != other.access_key_id
    assert one.secret_access_key != other.secret_access_key
    assert root_key(homes[0]) == one
    assert {(home / "credentials").stat().st_mode & 0o777 for home in homes} == {0o600}
