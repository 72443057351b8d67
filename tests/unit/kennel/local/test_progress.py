import io

from rich.console import Console

from kennel.local.progress import Progress


def shown(progress: Progress, output: io.StringIO) -> list[str]:
    return [" ".join(line.split()) for line in output.getvalue().splitlines()]


def test_each_change_of_state_is_one_line_where_there_is_no_terminal() -> None:
    output = io.StringIO()
    with Progress(Console(file=output, width=60)) as progress:
        progress.show("retrain", "embed", "running", seconds=0.5)
        progress.show("retrain", "embed", "running", seconds=1.5)
        progress.show("retrain", "embed", "deferred", seconds=2.5)
        progress.show("trial", "001", "Completed", "valid_loss 0.12", seconds=6.04)
        progress.show("retrain", "embed", "success", seconds=14.2)
        progress.show("retrain", "embed", "success", seconds=14.2)
    assert shown(progress, output) == [
        "retrain embed running 0.5 s",
        "retrain embed deferred 2.5 s",
        "trial 001 Completed 6.0 s valid_loss 0.12",
        "retrain embed success 14.2 s",
    ]


def test_a_terminal_keeps_a_line_only_of_what_has_ended() -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=60, color_system=None, legacy_windows=False)
    with Progress(console) as progress:
        progress.show("retrain", "embed", "running", seconds=0.5)
        progress.show("retrain", "embed", "success", seconds=14.2)
        progress.show("retrain", "tune", "running", seconds=1.0)
    lines = shown(progress, output)
    assert next(line for line in lines if "success" in line).endswith("retrain embed success 14.2 s")
    assert not lines[-1].endswith("s"), "what was still going on is wiped away at the end"


def test_a_counter_counts_to_its_total() -> None:
    output = io.StringIO()
    progress = Progress(Console(file=output, force_terminal=True))
    advance = progress.counter("start", "push photos", 3)
    advance()
    advance()
    assert progress.rows["start", "push photos"].note == "2 of 3"
