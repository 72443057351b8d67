"""A container's own Python sees what the server's has, and keeps what it installs to itself."""

import subprocess
import sysconfig
from pathlib import Path

import psutil
import pytest

from localaws.containers import python


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("container") / "environment"
    python.lay_out(place)
    return place


def run(*command: str | Path) -> str:
    environment = {"PATH": "/usr/bin:/bin"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def test_imports_what_is_installed_here(place: Path) -> None:
    found, prefix = run(place / "bin" / "python", "-c", "import numpy, sys; print(numpy.__file__, sys.prefix)").split()
    assert found.startswith(sysconfig.get_path("platlib"))
    assert prefix == str(place)


def test_installs_into_itself(place: Path) -> None:
    assert f"{place}/pip.conf" in run(place / "bin" / "pip3", "config", "debug")


def test_starts_workers_with_itself(place: Path, tmp_path: Path) -> None:
    script = tmp_path / "worker.py"
    script.write_text("import os, sys; print(sys.prefix, os.environ['WORLD_SIZE'])")
    answer = run(place / "bin" / "torchrun", "--standalone", "--nproc-per-node=1", script)
    assert answer.split() == [str(place), "1"]


def test_hosts_of_two_jobs_listen_on_the_same_port(place: Path) -> None:
    script = "import sys; from torch.distributed import TCPStore; "
    script += (
        "store = TCPStore(sys.argv[1], 7777, None, True, wait_for_workers=False); print('up', flush=True); input()"
    )

    def listen(address: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [place / "bin" / "python", "-c", script, address],
            env={},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    listening = [listen("127.240.0.1"), listen("127.240.1.1")]
    for job in listening:
        assert job.stdout
        assert job.stdout.readline() == "up\n"
    assert "Address already in use" in listen("127.240.1.1").communicate()[1]
    for job in listening:
        job.communicate("done\n")
        assert job.returncode == 0


def test_workers_end_with_torchrun_however_that_ends(place: Path, tmp_path: Path) -> None:
    script = tmp_path / "worker.py"
    script.write_text("import os, time; print(os.getpid(), flush=True); time.sleep(600)")
    command: list[str | Path] = [place / "bin" / "torchrun", "--standalone", "--nproc-per-node=1", script]
    with subprocess.Popen(command, env={"PATH": "/usr/bin:/bin"}, stdout=subprocess.PIPE, text=True) as torchrun:
        assert torchrun.stdout
        worker = psutil.Process(int(torchrun.stdout.readline()))
        torchrun.kill()
    assert worker in psutil.wait_procs([worker], timeout=10)[0]


def test_stays_as_it_is(place: Path) -> None:
    kept = place / "lib" / "kept"
    kept.touch()
    python.lay_out(place)
    assert kept.exists()
