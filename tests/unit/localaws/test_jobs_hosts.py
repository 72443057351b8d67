"""The hosts of a job, their addresses, and how its processes find them."""

import os
from pathlib import Path

import pytest

from localaws.jobs import hosts, workspace
from localaws.jobs.process import Process


def test_no_two_jobs_share_an_address() -> None:
    with hosts.reserved(3) as one, hosts.reserved(2) as other:
        assert [host.name for host in one] == ["algo-1", "algo-2", "algo-3"]
        assert len({host.address for host in [*one, *other]}) == 5


def test_the_addresses_of_a_job_that_has_ended_are_free_again() -> None:
    with hosts.reserved(1) as one:
        before = one[0].address
    with hosts.reserved(1) as next_one:
        assert next_one[0].address == before


@pytest.mark.parametrize("way", [workspace.entrance(), None], ids=["as-here", "without-namespaces"])
def test_processes_reach_the_hosts_by_what_they_are_told(
    way: workspace.Entrance | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspace, "entrance", lambda: way)
    with hosts.reserved(2) as reserved:
        first, _ = hosts.workspaces(reserved, lambda name: _made(tmp_path / name))
        script = "import socket, sys; print(*(socket.gethostbyname(name) for name in sys.argv[1:]))"
        told = [host.seen for host in reserved]
        process = Process.start(first, ["python3", "-c", script, *told], {"PATH": os.environ["PATH"]})
        assert process.output.read().decode().split() == [host.address for host in reserved]
        assert process.wait() == 0


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory
