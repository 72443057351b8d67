import hashlib
import re
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from kennel.local.download import File, download
from kennel.local.errors import KennelError
from tests.unit.kennel.local.publisher import Publisher, publishing

CONTENT = Random(0).randbytes(500_000)
OTHER = Random(1).randbytes(500_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with publishing() as found:
        found.files["photos.zip"] = CONTENT
        yield found


def get(publisher: Publisher, directory: Path, sha256: str = SHA256) -> tuple[bytes, list[int]]:
    """Download photos.zip. Returns its content, and what was told on the way."""
    told: list[int] = []
    path = download(File(f"{publisher.url}/sets/photos.zip", len(CONTENT), sha256), directory, told.append)
    assert path == directory / "photos.zip"
    assert [file.name for file in directory.iterdir()] == ["photos.zip"]
    return path.read_bytes(), told


def test_a_whole_file_is_fetched_once(publisher: Publisher, tmp_path: Path) -> None:
    content, told = get(publisher, tmp_path)
    assert content == CONTENT
    assert told == sorted(told)
    assert told[-1] == len(CONTENT)
    assert get(publisher, tmp_path) == (CONTENT, [])
    assert publisher.asked_for == [None]


def test_a_broken_connection_is_taken_up_where_it_was(publisher: Publisher, tmp_path: Path) -> None:
    publisher.breaks = [200_000, 100_000]
    content, told = get(publisher, tmp_path)
    assert content == CONTENT
    assert told == sorted(told)
    assert publisher.asked_for == [None, "bytes=200000-", "bytes=300000-"]


def test_a_later_call_goes_on_where_an_earlier_one_was(publisher: Publisher, tmp_path: Path) -> None:
    publisher.breaks = [200_000, 0]
    with pytest.raises(KennelError, match=r"cannot be read \(.*\): run the same command again, it goes on"):
        get(publisher, tmp_path)
    publisher.requests.clear()
    assert get(publisher, tmp_path)[0] == CONTENT
    assert publisher.asked_for == ["bytes=200000-"]


def test_all_that_came_before_a_kill_is_not_asked_for_again(publisher: Publisher, tmp_path: Path) -> None:
    (tmp_path / "photos.zip.part").write_bytes(CONTENT)
    assert get(publisher, tmp_path)[0] == CONTENT
    assert publisher.asked_for == []


def test_a_server_without_ranges_sends_it_all_again(publisher: Publisher, tmp_path: Path) -> None:
    publisher.breaks, publisher.ranges = [200_000], False
    assert get(publisher, tmp_path)[0] == CONTENT
    assert publisher.asked_for == [None, "bytes=200000-"]


def test_without_a_name_for_the_version_no_parts_are_put_together(publisher: Publisher, tmp_path: Path) -> None:
    publisher.breaks, publisher.etags = [200_000], False
    assert get(publisher, tmp_path)[0] == CONTENT
    assert publisher.asked_for == [None, None]


def test_a_server_that_never_gets_further_is_given_up(publisher: Publisher, tmp_path: Path) -> None:
    publisher.breaks, publisher.ranges = [200_000] * 100, False
    with pytest.raises(KennelError, match="cannot be read"):
        get(publisher, tmp_path)
    assert len(publisher.requests) == 2


def test_a_file_that_was_changed_meanwhile_is_not_glued_together(publisher: Publisher, tmp_path: Path) -> None:
    publisher.files["photos.zip"], publisher.breaks = OTHER, [200_000, 0]
    with pytest.raises(KennelError):
        get(publisher, tmp_path)
    publisher.files["photos.zip"] = CONTENT
    assert get(publisher, tmp_path)[0] == CONTENT
    assert publisher.asked_for == [None, "bytes=200000-", "bytes=200000-"]


def other_content(publisher: Publisher) -> None:
    publisher.files["photos.zip"] = OTHER


def other_size(publisher: Publisher) -> None:
    publisher.files["photos.zip"] = CONTENT[:-1]


def moved(publisher: Publisher) -> None:
    publisher.status = 404


def overloaded(publisher: Publisher) -> None:
    publisher.status = 503


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (other_content, f"photos.zip has SHA-256 {hashlib.sha256(OTHER).hexdigest()}, not {SHA256}, and was removed"),
        (other_size, "has 499999 bytes, not 500000: it was changed at http"),
        (moved, "answered 404 Not Found: run the same command again later, or get photos.zip elsewhere and put it"),
        (overloaded, "answered 503 Service Unavailable: run the same command again later"),
    ],
)
def test_a_wrong_file_is_refused_and_a_right_one_then_fetched(
    publisher: Publisher, tmp_path: Path, spoil: Callable[[Publisher], None], message: str
) -> None:
    spoil(publisher)
    with pytest.raises(KennelError, match=re.escape(message)) as refusal:
        get(publisher, tmp_path)
    assert "\n" not in str(refusal.value)
    publisher.files["photos.zip"], publisher.status = CONTENT, 200
    assert get(publisher, tmp_path)[0] == CONTENT


def test_a_server_that_is_not_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with publishing() as gone:
        pass
    with pytest.raises(KennelError, match=r"cannot be read \(.*refused\): run the same command again"):
        get(gone, tmp_path)


def test_a_file_put_there_by_hand_is_used_if_it_is_the_right_one(publisher: Publisher, tmp_path: Path) -> None:
    (tmp_path / "photos.zip").write_bytes(CONTENT)
    assert get(publisher, tmp_path)[0] == CONTENT
    (tmp_path / "photos.zip").write_bytes(OTHER)
    with pytest.raises(KennelError, match="and was removed"):
        get(publisher, tmp_path)
    assert publisher.requests == []


def test_what_came_before_the_disk_was_full_is_kept(publisher: Publisher, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, limits[1]))  # stands for a full disk
    try:
        with pytest.raises(OSError, match="File too large"):
            get(publisher, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    publisher.requests.clear()
    assert get(publisher, tmp_path)[0] == CONTENT
    assert publisher.asked_for == ["bytes=300000-"]
