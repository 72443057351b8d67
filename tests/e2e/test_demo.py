"""What one `kennel demo` on the drawn photos has done, told by its report and seen from outside."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import boto3
import pytest

from kennel.local import datasets
from tests.stores import eventually

RETRAIN = [
    *("publish_code", "snapshot", "embed", "tune", "train", "evaluate", "judge", "register", "ask", "promote"),
]
DEPLOY = [
    *("choose_model", "create_model", "rehearse", "deploy_endpoint", "scale_endpoint"),
    *("deploy_function", "check_rights", "smoke_test", "roll_back"),
]


UNNEEDED = {"ask", "roll_back"}  # skipped when all goes well


def aws(kennel: Any, service: str) -> Any:
    """A client made of nothing but what `kennel env` prints."""
    variables = dict(line.split("=", 1) for line in kennel.run("env").stdout.splitlines())
    session = boto3.session.Session(
        variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"], region_name=variables["AWS_DEFAULT_REGION"]
    )
    return session.client(service, endpoint_url=variables["AWS_ENDPOINT_URL"])


def sample(kennel: Any, demo: dict[str, Any]) -> Path:
    """The drawn photo that the demo asked about."""
    photo: str = demo["prediction"]["photo"]
    return Path(kennel.home / "data" / "sketch" / photo.partition("/")[2])


@pytest.mark.parametrize(("dag", "tasks"), [("retrain", RETRAIN), ("deploy", DEPLOY)])
def test_every_task_of_both_dags_succeeded_that_was_needed(demo: dict[str, Any], dag: str, tasks: list[str]) -> None:
    assert demo[dag]["state"] == "success"
    states = {task["task_id"]: task["state"] for task in demo[dag]["tasks"]}
    assert states == {task: "skipped" if task in UNNEEDED else "success" for task in tasks}
    assert all(task["seconds"] > 0 for task in demo[dag]["tasks"] if task["state"] == "success")


def test_the_tuner_ran_its_trials_and_took_the_best(demo: dict[str, Any]) -> None:
    tuning = demo["tuning"]
    assert [trial["status"] for trial in tuning["trials"]] == ["Completed"] * 8
    assert tuning["best"]["objective"] == min(trial["objective"] for trial in tuning["trials"])
    assert tuning["best"]["hyperparameters"].keys() == {"batch_size", "learning_rate"}


def test_the_model_knows_the_drawn_breeds(demo: dict[str, Any]) -> None:
    model = demo["model"]
    assert re.fullmatch(r"arn:aws:sagemaker:us-east-1:000000000000:model-package/kennel-dogs/\d+", model["package_arn"])
    assert model["classes"] == 12
    assert 0.6 <= model["top1"] <= model["top5"] <= 1
    assert model["outcome"] == "promote"
    assert "of 12 test photos are right" in model["why"]


def test_the_run_says_what_it_would_have_cost(demo: dict[str, Any]) -> None:
    costs = demo["model"]["costs"]
    assert [stage["stage"] for stage in costs] == ["embed", "tune", "train", "evaluate"]
    assert all(stage["billable_seconds"] > 0 and stage["usd"] > 0 for stage in costs)


def test_the_runs_page_lies_beside_for_a_browser(kennel: Any, demo: dict[str, Any]) -> None:
    page = (kennel.home / "report.html").read_text()
    assert (kennel.home / "report.html").as_uri() in demo["output"]
    assert demo["page"].split("/")[-3] in page
    assert all(trial["name"] in page for trial in demo["tuning"]["trials"])


def test_it_is_in_service_and_scales(demo: dict[str, Any]) -> None:
    assert (demo["endpoint"]["name"], demo["endpoint"]["status"]) == ("kennel-dogs", "InService")
    assert demo["endpoint"]["instances"] == 1
    assert demo["autoscaling"] == {"min": 1, "max": 2, "target": 30}
    assert demo["function"] == {"name": "kennel-dogs", "alias": "live", "version": "1", "provisioned_concurrency": 1}


def test_the_photo_got_its_right_name(demo: dict[str, Any]) -> None:
    prediction = demo["prediction"]
    assert prediction["label"] == prediction["expected"]
    assert re.search(rf"/test/\d+\.{prediction['label']}/", prediction["photo"])
    assert len(prediction["top"]) == 5
    assert prediction["top"][0] == {"label": prediction["label"], "probability": prediction["probability"]}
    chances = [guess["probability"] for guess in prediction["top"]]
    assert chances == sorted(chances, reverse=True)


def test_what_was_printed_tells_each_task_each_trial_and_where_to_go(demo: dict[str, Any]) -> None:
    output = demo["output"]
    for dag, tasks in (("retrain", RETRAIN), ("deploy", DEPLOY)):
        for task in tasks:
            assert re.search(rf"^{dag} +{task} +(success|skipped) +[0-9.]+ s", output, re.MULTILINE), task
    assert len(re.findall(r"^trial .* Completed .* valid_loss [0-9.]+", output, re.MULTILINE)) == 8
    assert demo["airflow"]["url"] in output
    assert "user admin, password" in output


def test_other_ports_were_taken_than_the_defaults_in_use(kennel: Any, demo: dict[str, Any]) -> None:
    assert "(4566 is taken)" in demo["output"]
    assert "(8080 is taken)" in demo["output"]
    status = kennel.run("status").stdout
    assert demo["airflow"]["url"] in status
    assert ":8080" not in status
    assert ":4566" not in status


def test_env_is_all_that_another_client_needs(kennel: Any, demo: dict[str, Any]) -> None:
    endpoint = aws(kennel, "sagemaker").describe_endpoint(EndpointName=demo["endpoint"]["name"])
    assert endpoint["EndpointConfigName"] == demo["endpoint"]["config"]


def test_up_again_finds_what_runs(kennel: Any, demo: dict[str, Any]) -> None:
    before = (kennel.home / "services.json").read_text()
    assert kennel.run("up").returncode == 0
    assert (kennel.home / "services.json").read_text() == before


def test_predict_takes_a_photo_and_an_address(kennel: Any, demo: dict[str, Any]) -> None:
    photo = sample(kennel, demo)
    label = demo["prediction"]["label"].replace("_", " ")
    asked = kennel.run("predict", str(photo))
    assert (asked.returncode, asked.stderr) == (0, "")
    assert asked.stdout.startswith(label)
    assert "█" in asked.stdout.splitlines()[0]

    s3 = aws(kennel, "s3")
    key = f"datasets/dogs/{demo['prediction']['photo']}"
    where = {"Bucket": "kennel-dogs-000000000000-us-east-1", "Key": key}
    assert kennel.run("predict", s3.generate_presigned_url("get_object", where)).stdout == asked.stdout


@pytest.mark.parametrize(
    ("photo", "message"),
    [
        ("README.md", "README.md is not a readable JPEG, PNG, GIF or WebP image: give another photo."),
        (
            "no/such.jpg",
            "There is no file no/such.jpg: give a JPEG, PNG, GIF or WebP photo, or a photo's https address.",
        ),
        ("{localaws}/_localaws/health", "The function refused (415): "),
        ("http://127.0.0.1:1/dog.jpg", "The function refused (403): "),
    ],
)
def test_what_is_no_photo_is_refused_in_one_line(kennel: Any, demo: dict[str, Any], photo: str, message: str) -> None:
    services = json.loads((kennel.home / "services.json").read_text())
    url = f"http://127.0.0.1:{services['localaws']['ports']['http']}"
    done = kennel.run("predict", photo.format(localaws=url))
    assert done.returncode == 2
    assert done.stderr.startswith(f"kennel: {message}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("retrain.tune", "Pushing xcom"),
        ("localaws", " INFO "),
        ("airflow", r"(?m)^(scheduler|api-server|triggerer|dag-processor|standalone) +\|"),
        ("kennel-dogs", '"status": 200'),
        ("{job}", "valid_loss="),
    ],
)
def test_logs_are_found_by_name(kennel: Any, demo: dict[str, Any], name: str, line: str) -> None:
    done = kennel.run("logs", name.format(job=demo["tuning"]["trials"][0]["name"]))
    assert done.returncode == 0
    assert re.search(line, done.stdout)


def test_a_run_that_had_nothing_to_do_says_so(kennel: Any, demo: dict[str, Any], api: Any) -> None:
    body: dict[str, Any] = {"dag_run_id": "nothing-new", "logical_date": None, "conf": {}}
    assert api.post("/dags/retrain/dagRuns", json=body).is_success
    eventually(lambda: "skipped" in kennel.run("status").stdout)
    shown = kennel.run("status").stdout
    assert re.search(r'^retrain +skipped .* "kennel logs retrain\.snapshot" says why$', shown, re.MULTILINE), shown
    assert "trigger with force to train again" in kennel.run("logs", "retrain.snapshot").stdout


def test_a_push_uploads_once_and_a_spoilt_directory_not_at_all(
    kennel: Any, demo: dict[str, Any], tmp_path: Path
) -> None:
    shutil.copytree(kennel.home / "data" / "sketch", tmp_path / "new")
    count = len(datasets.check(tmp_path / "new").files)
    first = kennel.run("data", "push", str(tmp_path / "new"), "--date", "2031-05-04")
    assert first.returncode == 0
    assert f"datasets/dogs/dt=2031-05-04/: {count} uploaded, 0 already there." in first.stdout
    again = kennel.run("data", "push", str(tmp_path / "new"), "--date", "2031-05-04")
    assert f"0 uploaded, {count} already there." in again.stdout
    assert again.stdout.endswith("Only runs with a cutoff from 2031-05-04 on see them.\n")

    photo = next((tmp_path / "new" / "valid").glob("*/*"))
    photo.write_bytes(photo.read_bytes()[:500])
    spoilt = kennel.run("data", "push", str(tmp_path / "new"), "--date", "2031-05-05")
    assert spoilt.returncode == 2
    assert str(photo) in spoilt.stderr
    pushed = aws(kennel, "s3").list_objects_v2(
        Bucket="kennel-dogs-000000000000-us-east-1", Prefix="datasets/dogs/dt=2031-05-05"
    )
    assert pushed["KeyCount"] == 0
