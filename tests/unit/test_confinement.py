"""What a confined process of the tests can do: as little as it could in its container."""

import subprocess
from pathlib import Path

import pytest

from kennel.config import ROOT
from tests.confinement import PLACE, POSSIBLE, confined

pytestmark = pytest.mark.skipif(not POSSIBLE, reason="only root can confine a process as a container is")


def shell(script: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run a script confined, with a volume that it may write to and one that it may only read."""
    for name in ("written", "read", "volumes/written", "volumes/read"):
        (home / name).mkdir(parents=True, exist_ok=True)
    mounted = {
        f"{PLACE}/written": ("volumes/written", True),
        f"{PLACE}/read": ("volumes/read", False),
        "/tmp/below": ("volumes/written", True),
    }
    command = confined(["sh", "-c", script], home, mounted, ["/tmp"])
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("place", ["/", "/usr", "/var/tmp", "/run", str(ROOT), str(PLACE), f"{PLACE}/read"])
def test_cannot_write_elsewhere(tmp_path: Path, place: str) -> None:
    refused = shell(f"touch {place}/written-by-a-test", tmp_path)
    assert refused.returncode and "Read-only file system" in refused.stderr


@pytest.mark.parametrize("place", ["/tmp", "/tmp/below", f"{PLACE}/written", "/dev/shm"])
def test_can_write_where_it_may(tmp_path: Path, place: str) -> None:
    done = shell(f"touch {place}/by-a-test && rm {place}/by-a-test", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_leaves_what_it_wrote_in_the_volume_and_nothing_else(tmp_path: Path) -> None:
    assert (
        shell(f"echo dog > {PLACE}/written/file; echo cat > /tmp/by-a-test; ls /tmp", tmp_path).stdout
        == "below\nby-a-test\n"
    )
    assert (tmp_path / "volumes" / "written" / "file").read_text() == "dog\n"
    assert not Path("/tmp/by-a-test").exists()


def test_has_no_rights_and_gains_none(tmp_path: Path) -> None:
    status = dict(
        line.split(":\t", 1) for line in shell("cat /proc/self/status", tmp_path).stdout.splitlines() if ":\t" in line
    )
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert status["NoNewPrivs"] == "1"
    assert shell("mount -o remount,bind,rw /", tmp_path).returncode
