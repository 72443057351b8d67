"""A directory kept the same under an S3 prefix, without any S3."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from localaws.jobs import s3
from localaws.jobs.mirror import Mirror


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were stored, in the order they were."""
    names: list[str] = []

    def upload(bucket: Any, source: Path, files: Iterable[Path], uri: str) -> None:
        assert uri == "s3://bucket/place/"
        names.extend(str(path.relative_to(source)) for path in files)

    monkeypatch.setattr(s3, "upload_files", upload)
    return names


def test_what_changed_is_sent_once(tmp_path: Path, sent: list[str]) -> None:
    mirror = Mirror(None, tmp_path, "s3://bucket/place")
    (tmp_path / "deep").mkdir()
    for name in ("deep/b", "a"):
        (tmp_path / name).write_text("1")
    mirror.send()
    mirror.send()
    assert sent == ["a", "deep/b"]
    (tmp_path / "a").write_text("22")
    (tmp_path / "deep/b").unlink()
    mirror.send()
    assert sent == ["a", "deep/b", "a"]


def test_file_that_is_being_written_is_left_until_it_rests_or_all_ends(tmp_path: Path, sent: list[str]) -> None:
    mirror = Mirror(None, tmp_path, "s3://bucket/place/")
    for size in range(1, 4):
        (tmp_path / "growing").write_text("x" * size)
        mirror.send_settled()
    assert sent == []
    mirror.send_settled()
    assert sent == ["growing"]
    (tmp_path / "growing").write_text("x" * 9)
    mirror.send_settled()
    assert sent == ["growing"]
    mirror.send()
    assert sent == ["growing", "growing"]
