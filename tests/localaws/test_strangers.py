"""Scripts as other people write them for PyTorch's images, unchanged: what they lean on, each in its own habit."""

import ast
import io
import json
from typing import Any

import numpy as np
import pytest

from tests.conftest import LocalAws
from tests.localaws.hosting import IMAGE as SERVING_IMAGE
from tests.localaws.hosting import Hosting
from tests.localaws.jobs import Workbench, tar_gz

GROUP = "/aws/sagemaker/TrainingJobs"
# A package beside a folder with the entry point, hyperparameters of every type, TorchScript and metrics by logging.
PACKAGE = {
    "src/fit.py": """
import argparse, ast, json, logging, os, sys
sys.path.append(os.path.join(os.path.dirname(__file__), ".."))
import torch
from mypkg import read
from mypkg.nets import Net

logger = logging.getLogger(__name__)
logger.setLevel(logging.DEBUG)
logger.addHandler(logging.StreamHandler(sys.stdout))

def main(args):
    hyperparameters = json.loads(os.environ["SM_HPS"])
    x, y = read(args.data_dir)
    model = Net(args.layers)
    for epoch in range(1, args.epochs + 1):
        loss = torch.nn.functional.mse_loss(model(x), y)
        loss.backward()
        logger.info("[%d/%d] Train Loss: %.4f; Average loss=%.6f;", epoch, args.epochs, loss.item(), epoch / 8)
    with open(os.path.join(args.model_dir, "model.pt"), "wb") as file:
        torch.jit.save(torch.jit.script(model), file)
    with open(os.path.join(args.output_data_dir, "seen.json"), "w") as file:
        json.dump({"hps": hyperparameters, "name": args.name, "k": args.k, "hosts": args.hosts}, file)

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--lr", type=float)
    parser.add_argument("--use-bias", type=lambda text: text.lower() == "true")
    parser.add_argument("--layers", type=ast.literal_eval)
    parser.add_argument("--name")
    parser.add_argument("-k", type=int)
    parser.add_argument("--hosts", type=json.loads, default=os.environ["SM_HOSTS"])
    parser.add_argument("--current-host", default=os.environ["SM_CURRENT_HOST"])
    parser.add_argument("--model-dir", default=os.environ["SM_MODEL_DIR"])
    parser.add_argument("--data-dir", default=os.environ["SM_CHANNEL_TRAIN"])
    parser.add_argument("--output-data-dir", default=os.environ["SM_OUTPUT_DATA_DIR"])
    parser.add_argument("--num-gpus", type=int, default=os.environ["SM_NUM_GPUS"])
    main(parser.parse_args())
""",
    "mypkg/__init__.py": """
import glob
import numpy, torch

def read(directory):
    files = glob.glob(directory + "/*.csv")
    rows = numpy.concatenate([numpy.loadtxt(file, delimiter=",", dtype="float32") for file in files])
    return torch.from_numpy(rows[:, :3]), torch.from_numpy(rows[:, 3:])
""",
    "mypkg/nets/__init__.py": "from .net import Net\n",
    "mypkg/nets/net.py": """
import torch.nn as nn

class Net(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, layers[0]), nn.ReLU(), nn.Linear(layers[0], 1))

    def forward(self, x):
        return self.layers(x)
""",
    "requirements.txt": "# what we need\nnumpy>=1.0\ntorch\n",
}
SHELL = {
    "run.sh": """#!/bin/bash
set -euo pipefail
source ./lib.sh
hello "$@"
python tools/work.py "$@"
""",
    "lib.sh": 'hello() { echo "hello $SM_HP_NAME on $SM_CURRENT_HOST: $*"; }\n',
    "tools/work.py": 'import os, sys; open(os.environ["SM_MODEL_DIR"] + "/arguments", "w").write(repr(sys.argv[1:]))\n',
}
RESUMES = """
import json, os
state = "/opt/ml/checkpoints/state.json"
os.makedirs("/opt/ml/checkpoints", exist_ok=True)
start = json.load(open(state))["epoch"] if os.path.exists(state) else 0
json.dump({"epoch": start + 2}, open(state, "w"))
open("/opt/ml/model/began_at", "w").write(str(start))
"""
GIVES_UP = """
import sys, traceback
try:
    raise ValueError("bad data in row 7")
except Exception as error:
    with open("/opt/ml/output/failure", "w") as file:
        file.write("Exception during training: " + str(error) + "\\n" + traceback.format_exc())
    sys.exit(255)
"""


@pytest.fixture(scope="module")
def bench(local_aws: LocalAws) -> Workbench:
    return Workbench(local_aws)


@pytest.fixture(scope="module")
def hosting(local_aws: LocalAws) -> Hosting:
    return Hosting.prepare(local_aws)


def run(bench: Workbench, program: str, files: dict[str, str], **changes: Any) -> dict[str, Any]:
    """A training job of these files to its end; `changes` may add hyperparameters."""
    archive = tar_gz({name: content.encode() for name, content in files.items()})
    source = bench.put(f"{program}/sourcedir.tar.gz", archive)
    names = {"sagemaker_program": program, "sagemaker_submit_directory": source}
    request = bench.training_request(names | changes.pop("hyperparameters", {}), **changes)
    bench.sagemaker.create_training_job(**request)
    return bench.finished("TrainingJob", request["TrainingJobName"])


@pytest.fixture(scope="module")
def trained(bench: Workbench) -> dict[str, Any]:
    for part in range(2):
        bench.put(f"points/part-{part}.csv", "1,2,3,4\n4,3,2,1\n")
    metrics = [
        {"Name": "average", "Regex": "Average loss=(.*?);"},
        {"Name": "train", "Regex": r"Train Loss: ([0-9\.]+)"},
    ]
    request = bench.training_request({})
    return run(
        bench,
        "src/fit.py",
        PACKAGE,
        hyperparameters={
            "epochs": "2",
            "lr": "0.05",
            "use-bias": "true",
            "layers": "[8, 4]",
            "k": "3",
            "name": "\"a b 'c'\"",
            "sagemaker_region": '"us-east-1"',
            "sagemaker_container_log_level": "20",
        },
        InputDataConfig=[bench.channel("train", bench.uri("points"))],
        AlgorithmSpecification=request["AlgorithmSpecification"] | {"MetricDefinitions": metrics},
    )


def test_an_entry_point_in_a_folder_finds_its_package_and_arguments(bench: Workbench, trained: dict[str, Any]) -> None:
    assert trained["TrainingJobStatus"] == "Completed", trained
    metrics = {metric["MetricName"]: metric["Value"] for metric in trained["FinalMetricDataList"]}
    assert metrics["average"] == 0.25
    assert set(metrics) == {"average", "train"}
    output = trained["ModelArtifacts"]["S3ModelArtifacts"].replace("model.tar.gz", "output.tar.gz")
    seen = json.loads(bench.unpacked(output)["seen.json"])
    hyperparameters = {"epochs": 2, "lr": 0.05, "use-bias": True, "layers": [8, 4], "k": 3, "name": "a b 'c'"}
    assert seen == {"hps": hyperparameters, "name": "a b 'c'", "k": 3, "hosts": ["algo-1"]}


def test_a_torchscript_model_is_served_without_a_script(
    bench: Workbench, hosting: Hosting, trained: dict[str, Any]
) -> None:
    hosting.sagemaker.create_model(
        ModelName="strangers",
        ExecutionRoleArn=hosting.role,
        PrimaryContainer={"Image": SERVING_IMAGE, "ModelDataUrl": trained["ModelArtifacts"]["S3ModelArtifacts"]},
    )
    endpoint, invoke = hosting.endpoint(hosting.config("strangers")), hosting.runtime.invoke_endpoint
    body = io.BytesIO()
    np.save(body, np.array([[1, 2, 3], [0, 0, 1]], dtype="float32"))
    kind = "application/x-npy"
    answer = invoke(EndpointName=endpoint, ContentType=kind, Accept=kind, Body=body.getvalue())
    expected = np.load(io.BytesIO(answer["Body"].read()))
    as_json = invoke(EndpointName=endpoint, ContentType="application/json", Body=b"[[1, 2, 3], [0, 0, 1]]")
    as_csv = invoke(EndpointName=endpoint, ContentType="text/csv", Accept="text/csv", Body=b"1,2,3\n0,0,1")
    hosting.delete(endpoint)
    assert expected.shape == (2, 1)
    assert np.allclose(json.loads(as_json["Body"].read()), expected)
    assert np.allclose(np.loadtxt(io.BytesIO(as_csv["Body"].read())), expected[:, 0])


def test_a_shell_script_is_an_entry_point(bench: Workbench) -> None:
    job = run(bench, "run.sh", SHELL, hyperparameters={"name": "x", "learning_rate": "1e-3"})
    assert job["TrainingJobStatus"] == "Completed", job
    arguments = ["--learning_rate", "0.001", "--name", "x"]
    assert f"hello x on algo-1: {' '.join(arguments)}" in bench.lines(GROUP, job["TrainingJobName"])
    assert ast.literal_eval(bench.unpacked(job["ModelArtifacts"]["S3ModelArtifacts"])["arguments"]) == arguments


def test_a_second_job_goes_on_from_the_first_ones_checkpoints(bench: Workbench) -> None:
    config = {"S3Uri": bench.uri("checkpoints-of-strangers/"), "LocalPath": "/opt/ml/checkpoints"}
    for start in ("0", "2"):
        job = run(bench, "train.py", {"train.py": RESUMES}, CheckpointConfig=config)
        assert job["TrainingJobStatus"] == "Completed", job
        assert bench.unpacked(job["ModelArtifacts"]["S3ModelArtifacts"]) == {"began_at": start}


def test_the_file_that_a_script_leaves_is_the_reason_it_failed(bench: Workbench) -> None:
    job = run(bench, "train.py", {"train.py": GIVES_UP})
    assert job["TrainingJobStatus"] == "Failed"
    reason = "AlgorithmError: Exception during training: bad data in row 7\nTraceback (most recent call last):"
    assert job["FailureReason"].startswith(reason)
    assert job["FailureReason"].endswith("exit code: 255")
