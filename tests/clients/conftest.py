"""What strangers' clients find: an account with a bucket and a role, drawn photos, points on a line, and their code."""

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from tests.clients import sdk_v2
from tests.clients.notebook import SCRIPTS, Notebook, Seen
from tests.conftest import LocalAws

BREEDS = {"001.Poodle": "white", "002.Pug": "tan", "003.Rottweiler": "black"}
PHOTOS = {"train": 4, "valid": 2, "test": 2}  # of each breed
BUCKET = "sagemaker-dogs"  # the managed policy that notebooks use lets a role into buckets with `sagemaker` in the name
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": ["sagemaker.amazonaws.com", "lambda.amazonaws.com"]},
            "Action": "sts:AssumeRole",
        }
    ],
}


def draw(path: Path, colour: str, number: int) -> None:
    """A dog, more or less."""
    image = Image.new("RGB", (80, 72), (90, 150, 70 + 20 * number))
    pen = ImageDraw.Draw(image)
    pen.ellipse((15 + number, 25, 60 + number, 55), fill=colour)
    pen.ellipse((50 + number, 12, 72 + number, 36), fill=colour)
    image.save(path, "JPEG")


def make_wheel(directory: Path) -> str:
    """A package that is in no index and in no environment: the module `slope_units`. Returns its file name."""
    name, version = "slope_units", "1.0"
    info = f"{name}-{version}.dist-info"
    wheel = f"{name}-{version}-py3-none-any.whl"
    files = {
        f"{name}.py": 'UNITS = "metres"\n',
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(directory / wheel, "w") as archive:
        for file, content in files.items():
            archive.writestr(file, content)
    return wheel


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data and source code: `photos`, `points`, `dogs`, `slope` and `slope_with_requirements`."""
    work = tmp_path_factory.mktemp("clients")
    for split, count in PHOTOS.items():
        for breed, colour in BREEDS.items():
            (work / "photos" / split / breed).mkdir(parents=True)
            for number in range(count):
                draw(work / "photos" / split / breed / f"{number}.jpg", colour, number)
    (work / "points").mkdir()
    for part in range(2):
        lines = [f"{x / 4},{3 * x / 4}\n" for x in range(part, 16, 2)]  # y = 3x
        (work / "points" / f"part-{part}.csv").write_text("".join(lines))
    for source in ("dogs", "slope"):
        shutil.copytree(SCRIPTS / source, work / source, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(work / "slope", work / "slope_with_requirements")
    wheel = make_wheel(work / "slope_with_requirements")
    (work / "slope_with_requirements" / "requirements.txt").write_text(f"./{wheel}\n")
    return work


@pytest.fixture(scope="session")
def bucket(local_aws: LocalAws) -> str:
    local_aws.client("s3").create_bucket(Bucket=BUCKET)
    return BUCKET


@pytest.fixture(scope="session")
def role(local_aws: LocalAws) -> str:
    """The role that the console makes for a notebook: AWS's own managed policy."""
    iam = local_aws.client("iam")
    arn = iam.create_role(RoleName="AmazonSageMaker-ExecutionRole", AssumeRolePolicyDocument=json.dumps(TRUST))
    policy = "arn:aws:iam::aws:policy/AmazonSageMakerFullAccess"
    iam.attach_role_policy(RoleName="AmazonSageMaker-ExecutionRole", PolicyArn=policy)
    return str(arn["Role"]["Arn"])


@pytest.fixture(scope="session", autouse=True)
def notebooks(request: pytest.FixtureRequest) -> Iterator[dict[str, Notebook]]:
    """The notebooks that any collected test asks about, started together: they sleep most of the time."""
    wanted = {name for item in request.session.items for name in getattr(item, "fixturenames", ())}
    running: dict[str, Notebook] = {}

    def start(name: str, python: Path) -> None:
        found: list[Any] = [request.getfixturevalue(fixture) for fixture in ("work", "role", "bucket")]
        running[name] = Notebook.start(request.getfixturevalue("local_aws"), python, f"notebook_{name}.py", *found)

    if "sdk_v2_notebook" in wanted and (python := sdk_v2_python()):
        start("sdk_v2", python)
    if "sdk_v3_notebook" in wanted:
        start("sdk_v3", Path(sys.executable))
    yield running
    for notebook in running.values():
        notebook.stop()


def sdk_v2_python() -> Path | None:
    try:
        return sdk_v2.python()
    except subprocess.CalledProcessError:
        return None


@pytest.fixture(scope="session")
def sdk_v2_notebook(notebooks: dict[str, Notebook]) -> Seen:
    if "sdk_v2" not in notebooks:
        pytest.skip("SDK v2 is not here and no package index to get it from: run `make environment-sdk-v2` with one")
    return notebooks["sdk_v2"].seen()


@pytest.fixture(scope="session")
def sdk_v3_notebook(notebooks: dict[str, Notebook]) -> Seen:
    return notebooks["sdk_v3"].seen()
