"""Down and up again. By name after those that want things running."""

from pathlib import Path
from typing import Any


def test_down_leaves_no_process_and_up_brings_back_what_was_in_service(kennel: Any, demo: dict[str, Any]) -> None:
    photo: str = demo["prediction"]["photo"]
    drawn = str(Path(kennel.home / "data" / "sketch" / photo.partition("/")[2]))
    before = kennel.run("predict", drawn).stdout
    running = kennel.processes()
    assert any("localaws" in command for command in running)
    assert any("airflow" in command for command in running)

    assert kennel.run("down").stdout == "Stopped.\n"
    assert kennel.processes() == []
    refused = kennel.run("predict", drawn)
    assert (refused.returncode, refused.stderr) == (
        2,
        'kennel: The local AWS is not running: start it with "kennel up".\n',
    )

    assert kennel.run("up").returncode == 0
    assert kennel.run("predict", drawn).stdout == before
    assert kennel.run("down").stdout == "Stopped.\n"
    assert kennel.processes() == []
    assert kennel.run("down").stdout == "Nothing is running.\n"
