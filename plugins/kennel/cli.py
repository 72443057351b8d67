"""`kennel`: the whole of Kennel on one machine, by a few commands. What they need is imported when they run."""

import contextlib
import datetime
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import typer

from kennel.local.errors import KennelError

app = typer.Typer(
    help="Keeps an image classifier trained and in service, here on a local AWS with a real Airflow.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data = typer.Typer(help="Photos to train on.", no_args_is_help=True)
app.add_typer(data, name="data")

BACKGROUND = 'What was started goes on in the background: "kennel down" stops it.'


def main() -> None:
    """Run a command. What goes wrong is one line on stderr: exit code 2, or 1 when the work itself failed."""
    try:
        app()
    except KennelError as error:
        sys.exit(_complain(error))


@app.command()
def up() -> None:
    """Start the local AWS and Airflow in the background; what runs already is left alone."""
    from rich.console import Console

    from kennel.local import services
    from kennel.local.progress import Progress
    from kennel.local.state import Home

    home = Home.find()
    with _interruptible(BACKGROUND), Progress(Console()) as progress:
        services.start(home, progress)
        services.wait_for_airflow(home, progress)


@app.command()
def down() -> None:
    """Stop everything that was started; what it knows stays in .kennel/."""
    from kennel.local import services
    from kennel.local.state import Home

    print("Stopped." if services.stop(Home.find()) else "Nothing is running.")


@app.command()
def demo(
    photos: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="Photos in place of those of the last demo.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", dir_okay=False, help="Also write what happened as JSON.")
    ] = None,
) -> None:
    """Tune, train, evaluate, register, deploy and autoscale a classifier, and ask it about a photo."""
    from rich.console import Console

    from kennel.local import airflow, summary
    from kennel.local import demo as demonstration
    from kennel.local.state import Home

    if report and not report.absolute().parent.is_dir():
        raise KennelError(f"There is no directory {report.parent} to write {report.name} to: create it first.")
    home, console = Home.find(), Console()
    with _interruptible(BACKGROUND):
        document, root = demonstration.run(home, photos, console)
    if report:
        report.write_text(json.dumps(document, indent=2) + "\n")
    # below the date the bucket's key is the photo's place in its directory
    photo = root / document["prediction"]["photo"].partition("/")[2]
    summary.show(console, document, home.report, airflow.login(home), str(photo))


@data.command()
def push(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="train/, valid/ and test/, each of NNN.Breed/*.jpg.")
    ],
    date: Annotated[
        datetime.datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="The day the photos became known (UTC); today if not given."),
    ] = None,
) -> None:
    """Check photos and upload those that are new or changed."""
    from rich.console import Console

    from kennel import snapshot
    from kennel.local import accounts, catalog, datasets
    from kennel.local.progress import Progress
    from kennel.local.state import Home

    day = _day(date)
    account = accounts.find(Home.find())
    prefix = datasets.prefix(account.names.datasets, day)
    with (
        _interruptible("What is uploaded stays: the same command goes on from there."),
        accounts.refusals(account.names),
        Progress(Console(stderr=True)) as progress,
    ):
        progress.show("data", "check photos", "running")
        photos = datasets.check(directory)
        known = catalog.partitions(snapshot.listed(account.client("s3"), account.names))
        datasets.check_labels(photos.classes.union(*(partition.classes for partition in known)))
        progress.show("data", "check photos", "done", f"{len(photos.files)} photos")
        advance = progress.counter("data", "push photos", len(photos.files))
        pushed = datasets.push(account.client("s3"), account.names.bucket, prefix, photos, advance=advance)
    print(f"{directory}, {len(photos.classes)} classes, to {account.names.uri(prefix)}: {pushed}.")
    if day > _day(None):
        print(f"Only runs with a cutoff from {day} on see them.")


@data.command("list")
def list_() -> None:
    """Show what photos there are, by the date they became known."""
    from rich.console import Console

    from kennel import snapshot
    from kennel.local import accounts, catalog
    from kennel.local.state import Home

    account = accounts.find(Home.find())
    with accounts.refusals(account.names):
        found = catalog.partitions(snapshot.listed(account.client("s3"), account.names))
    if found:
        Console().print(catalog.table(found))
    else:
        where = account.names.uri(account.names.datasets)
        print(f'There are no photos in {where} yet: "kennel data push" puts some there.')


@data.command()
def describe(
    cutoff: Annotated[
        datetime.datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="The last day whose photos are known (UTC); today if not given."),
    ] = None,
) -> None:
    """Show what a run with this cutoff would train on, and whether there is a model of just that."""
    from rich.console import Console

    from kennel.local import accounts, catalog
    from kennel.local.state import Home

    account = accounts.find(Home.find())
    with accounts.refusals(account.names):
        Console().print(catalog.describe(account, _day(cutoff)))


@data.command()
def fetch(
    name: Annotated[Literal["dog-breeds", "oxford-pets"], typer.Argument(help="Which public set.")],
    to: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to lay it; .kennel/data/NAME if not given.")
    ] = None,
) -> None:
    """Download a public set of dog photos (about 1 GB), ready to be pushed."""
    from rich.console import Console

    from kennel.local import accounts, public
    from kennel.local.state import Home

    target = (to or Home.find().data / name).resolve()
    with _interruptible("What is downloaded stays: the same command goes on from there."):
        fetched = public.fetch(public.SETS[name], target, Console(stderr=True))
    for photo in fetched.left_out if fetched.new else []:
        print(f"Left out, as it is not a readable photo: {photo}")
    verb = "is now" if fetched.new else "is already"
    print(f"{name}, {fetched.photos} photos of {fetched.classes} classes, {verb} in {fetched.directory}.")
    print(f"Next: kennel {'data push' if accounts.elsewhere() else 'demo --data'} {fetched.directory}")


@app.command()
def predict(photo: Annotated[str, typer.Argument(metavar="PHOTO_OR_URL")]) -> None:
    """Name the dog in a photo by the deployed classifier."""
    from rich.console import Console

    from kennel.local import prediction, summary
    from kennel.local.state import Home

    _local_only("invoke the function")
    aws = prediction.deployed(Home.find())
    Console().print(summary.guesses(prediction.ask(aws, prediction.event(photo))))


@app.command()
def models() -> None:
    """Show the registered models: how good each is, where it was trained, what it cost, which is in service."""
    from rich.console import Console

    from kennel import registry
    from kennel.local import accounts, models
    from kennel.local.state import Home

    account = accounts.find(Home.find())
    with accounts.refusals(account.names):
        sagemaker, at = account.client("sagemaker"), account.names
        found, serving = list(registry.packages(sagemaker, at.package_group)), registry.in_service(sagemaker, at)
    if found:
        Console().print(models.table(found, serving))
    else:
        print(f'{at.package_group} has no models yet: "kennel demo" makes the first.')


@app.command()
def rollback(version: Annotated[int, typer.Argument(metavar="VERSION", help="The number in the registry.")]) -> None:
    """Put an older version of the model back into service; those newer than it are marked Rejected."""
    from rich.console import Console

    from kennel.local import rollback
    from kennel.local.state import Home

    _local_only(f'trigger the DAG deploy with {{"version": {version}}}')
    console = Console()
    with _interruptible("The deploy goes on in Airflow."):
        console.print(rollback.run(Home.find(), version, console), soft_wrap=True)


@app.command()
def status() -> None:
    """Show what runs, the last runs and what is in service."""
    from rich.console import Console

    from kennel.local import status
    from kennel.local.state import Home

    for line in status.lines(Home.find()):
        Console().print(line, soft_wrap=True)


@app.command()
def logs(
    name: Annotated[str, typer.Argument(help="airflow, localaws, a task, a job, or the endpoint's name.")] = "airflow",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines as they come.")] = False,
) -> None:
    """Show the end of a log."""
    from kennel.local import logs
    from kennel.local.state import Home

    read = logs.find(Home.find(), name)
    with contextlib.suppress(KeyboardInterrupt):
        for line in logs.follow(read) if follow else read()[-logs.LAST_LINES :]:
            print(line, flush=True)


@app.command()
def teardown(
    models: Annotated[bool, typer.Option("--models", help="Registered models and all that runs made, too.")] = False,
    data: Annotated[bool, typer.Option("--data", help="Photos and all that was made of them, too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Take the classifier out of service and delete what serves it. Pause its other DAGs in Airflow first."""
    from kennel.local import removal
    from kennel.local.state import Home

    with _interruptible("What is deleted stays so: the same command goes on from there."):
        removal.run(Home.find(), models=models, data=data, confirmed=yes)


@app.command()
def env() -> None:
    """Print the variables by which other clients reach the local AWS, as KEY=VALUE lines."""
    from kennel.local.aws import LocalAws
    from kennel.local.state import Home

    for name, value in LocalAws.running(Home.find()).environment.items():
        print(f"{name}={value}")


@contextlib.contextmanager
def _interruptible(what_stays: str) -> Iterator[None]:
    """Say on Ctrl-C what it does not undo."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"Interrupted. {what_stays}", file=sys.stderr)
        raise typer.Exit(130) from None


def _local_only(on_aws: str) -> None:
    """Refuse to act on this machine where another account is meant."""
    from kennel.local import accounts

    if account_id := accounts.elsewhere():
        raise KennelError(f"This command knows the local AWS only, not account {account_id}: there, {on_aws}.")


def _day(moment: datetime.datetime | None) -> datetime.date:
    return (moment or datetime.datetime.now(datetime.UTC)).date()


def _complain(error: KennelError) -> int:
    *before, message = str(error).splitlines()
    for line in before:
        print(f"  {line}", file=sys.stderr)
    print(f"kennel: {message}", file=sys.stderr)
    return error.exit_code


if __name__ == "__main__":
    main()
