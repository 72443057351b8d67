"""Script mode: what a PyTorch training image does between the job's start and the user's script.

The images bring the package sagemaker-training for this. It is published as source that needs a C compiler and pulls in
scipy, paramiko and gevent, all for what is a page of environment variables in the end; so that page is written here,
after what the package (5.1.4) set on two hosts.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from localaws.jobs.limits import threads

_OWN = ("sagemaker_", "_tuning_")  # hyperparameters for the toolkit and the tuner, not for the script
_FRAMEWORK_PARAMETERS = ("sagemaker_torch_distributed_enabled", "sagemaker_instance_type")
_MASTER_PORT = "7777"
_FRAMEWORK = "sagemaker_pytorch_container.training:main"


@dataclass(frozen=True)
class Host:
    """One instance of a training job, as its container is told. Hyperparameters are decoded."""

    job_name: str
    job_arn: str
    region: str
    hyperparameters: Mapping[str, Any]
    resource_config: Mapping[str, Any]
    input_data_config: Mapping[str, Any]

    @property
    def name(self) -> str:
        """`algo-1` and so on."""
        return str(self.resource_config["current_host"])

    @property
    def torchrun(self) -> bool:
        """Whether torchrun starts the script, as `distribution={"torch_distributed": {"enabled": True}}` asks for."""
        return bool(self.hyperparameters.get("sagemaker_torch_distributed_enabled", False))


def decoded(hyperparameters: Mapping[str, str]) -> dict[str, Any]:
    """Hyperparameters by their meaning: JSON where they are JSON, else the text itself."""
    return {name: _decoded(value) for name, value in hyperparameters.items()}


def resource_config(hosts: Sequence[str], current: str, instance_type: str) -> dict[str, Any]:
    """/opt/ml/input/config/resourceconfig.json."""
    group = {"instance_group_name": "homogeneousCluster", "instance_type": instance_type, "hosts": list(hosts)}
    return {
        "current_host": current,
        "current_instance_type": instance_type,
        "current_group_name": "homogeneousCluster",
        "hosts": list(hosts),
        "instance_groups": [group],
        "network_interface_name": "lo",
    }


def input_data_config(channels: Sequence[Mapping[str, Any]], mode: str = "File") -> dict[str, Any]:
    """/opt/ml/input/config/inputdataconfig.json. `mode`: of the channels that name none."""
    return {
        channel["ChannelName"]: {
            "TrainingInputMode": channel.get("InputMode", mode),
            "S3DistributionType": channel["DataSource"]["S3DataSource"].get(
                "S3DataDistributionType", "FullyReplicated"
            ),
            "RecordWrapperType": channel.get("RecordWrapperType", "None"),
            **({"ContentType": channel["ContentType"]} if "ContentType" in channel else {}),
        }
        for channel in channels
    }


def user_command(host: Host) -> list[str]:
    """`python train.py --batch_size 64 ...`, hyperparameters in the order of their names, or torchrun for `python`."""
    program = str(host.hyperparameters["sagemaker_program"])
    if host.torchrun:
        return [*_torchrun(host), program, *_user_arguments(host)]
    start = ["python", program] if program.endswith(".py") else ["bash", program]
    return [*start, *_user_arguments(host)]


def _torchrun(host: Host) -> list[str]:
    """One process on each host: there are no GPUs here, else it would be one for each."""
    hosts: list[str] = host.resource_config["hosts"]
    command = ["torchrun", "--nnodes", str(len(hosts)), "--nproc_per_node", "1"]
    if len(hosts) > 1:
        command += ["--master_addr", hosts[0], "--master_port", _MASTER_PORT]
        command += ["--node_rank", str(hosts.index(host.name))]
    return command


def user_environment(host: Host) -> dict[str, str]:
    """The variables of script mode: SM_CHANNEL_TRAINING, SM_MODEL_DIR, SM_HPS and so on."""
    facts = _facts(host)
    named = ["hosts", "network_interface_name", "current_host", "current_instance_type", "current_instance_group"]
    named += ["current_instance_group_hosts", "instance_groups", "instance_groups_dict", "distribution_instance_groups"]
    named += ["is_hetero", "user_entry_point", "resource_config", "input_data_config", "output_data_dir", "module_name"]
    named += ["log_level", "framework_module", "input_dir", "input_config_dir", "output_dir", "num_cpus", "num_gpus"]
    named += ["num_neurons", "model_dir", "module_dir", "output_intermediate_dir"]
    variables = {f"SM_{name.upper()}": _encoded(facts[name]) for name in named}
    for channel, directory in facts["channel_input_dirs"].items():
        variables[f"SM_CHANNEL_{channel.upper()}"] = directory
    for name, value in facts["hyperparameters"].items():
        variables[f"SM_HP_{name.upper()}"] = _encoded(value)
    return {
        **variables,
        "SM_CHANNELS": _encoded(sorted(facts["channel_input_dirs"])),
        "SM_HPS": _encoded(facts["hyperparameters"]),
        "SM_USER_ARGS": _encoded(_user_arguments(host)),
        "SM_FRAMEWORK_PARAMS": _encoded(facts["additional_framework_parameters"]),
        "SM_TRAINING_ENV": _encoded(facts),
        "SAGEMAKER_JOB_NAME": host.job_name,
        "SAGEMAKER_REGION": host.region,
        "SAGEMAKER_TRAINING_MODULE": _FRAMEWORK,
        "CURRENT_HOST": host.name,
        "MASTER_ADDR": facts["master_hostname"],
        "MASTER_PORT": _MASTER_PORT,
    }


def container_variables(host: Host) -> dict[str, str]:
    """What SageMaker itself sets, for containers with an entrypoint of their own too."""
    return {"TRAINING_JOB_NAME": host.job_name, "TRAINING_JOB_ARN": host.job_arn}


def _facts(host: Host) -> dict[str, Any]:
    """SM_TRAINING_ENV, by the toolkit's names; most are SM_* variables of their own as well."""
    config = host.resource_config
    groups = {group["instance_group_name"]: group for group in config["instance_groups"]}
    distributed = {name: value for name, value in host.hyperparameters.items() if name in _FRAMEWORK_PARAMETERS}
    program = str(host.hyperparameters["sagemaker_program"])
    channels = {channel: f"/opt/ml/input/data/{channel}" for channel in host.input_data_config}
    return {
        "additional_framework_parameters": distributed,
        "channel_input_dirs": channels,
        "current_host": host.name,
        "current_instance_group": config["current_group_name"],
        "current_instance_group_hosts": config["hosts"],
        "current_instance_type": config["current_instance_type"],
        "distribution_hosts": config["hosts"] if host.torchrun else [],
        "distribution_instance_groups": [config["current_group_name"]] if host.torchrun else [],
        "framework_module": _FRAMEWORK,
        "hosts": config["hosts"],
        "hyperparameters": _user_hyperparameters(host),
        "input_config_dir": "/opt/ml/input/config",
        "input_data_config": host.input_data_config,
        "input_dir": "/opt/ml/input",
        "instance_groups": list(groups),
        "instance_groups_dict": groups,
        "is_hetero": False,
        "is_master": host.name == config["hosts"][0],
        "is_modelparallel_enabled": None,
        "is_smddpmprun_installed": False,
        "is_smddprun_installed": False,
        "job_name": host.job_name,
        "log_level": host.hyperparameters.get("sagemaker_container_log_level", 20),
        "master_hostname": config["hosts"][0],
        "model_dir": "/opt/ml/model",
        "module_dir": host.hyperparameters.get("sagemaker_submit_directory", "/opt/ml/code"),
        "module_name": PurePosixPath(program).stem if program.endswith(".py") else program,
        "network_interface_name": config["network_interface_name"],
        "num_cpus": threads(),
        "num_gpus": 0,
        "num_neurons": 0,
        "output_data_dir": "/opt/ml/output/data",
        "output_dir": "/opt/ml/output",
        "output_intermediate_dir": "/opt/ml/output/intermediate",
        "resource_config": config,
        "topology": [],
        "user_entry_point": program,
    }


def _user_hyperparameters(host: Host) -> dict[str, Any]:
    return {name: value for name, value in sorted(host.hyperparameters.items()) if not name.startswith(_OWN)}


def _user_arguments(host: Host) -> list[str]:
    arguments = []
    for name, value in _user_hyperparameters(host).items():
        arguments += [f"--{name}" if len(name) > 1 else f"-{name}", str(value)]
    return arguments


def _decoded(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def _encoded(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, sort_keys=True, separators=(",", ":"))
