"""What instances are made of, how they are billed, and what happens when there is no room for them."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conftest import LocalAws, running_local_aws
from tests.localaws.jobs import refused, unique
from tests.localaws.machines import Machines

SPOT = {"MarketType": "spot", "SpotOptions": {"SpotInstanceType": "one-time"}}


@pytest.fixture(scope="module")
def own_aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """One whose capacity no other test needs."""
    with running_local_aws(tmp_path_factory.mktemp("market") / "home") as local:
        yield local


@pytest.fixture(scope="module")
def machines(own_aws: LocalAws) -> Machines:
    return Machines(own_aws)


@pytest.fixture
def room(machines: Machines) -> Iterator[Callable[..., object]]:
    """Say how many instances there is room for."""
    file = machines.home / "capacity.json"
    yield lambda **markets: file.write_text(json.dumps({name.replace("_", "-"): n for name, n in markets.items()}))
    file.unlink(missing_ok=True)


def described(machines: Machines, instance_id: str) -> Any:
    return machines.ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]


@pytest.mark.parametrize(
    ("instance_type", "vcpus"),
    [("m5.large", 2), ("m5.xlarge", 4), ("g4dn.12xlarge", 48), ("t3.micro", 2), ("t2.micro", 1), ("m6g.medium", 1)],
)
def test_types_have_their_own_vcpus(machines: Machines, instance_type: str, vcpus: int) -> None:
    [found] = machines.ec2.describe_instance_types(InstanceTypes=[instance_type])["InstanceTypes"]
    assert found["VCpuInfo"]["DefaultVCpus"] == vcpus
    assert found["VCpuInfo"]["DefaultCores"] * found["VCpuInfo"]["DefaultThreadsPerCore"] == vcpus


def test_an_instance_is_described_as_it_was_asked_for(machines: Machines) -> None:
    token = unique("token")
    instance_id = machines.launch(
        ClientToken=token,
        InstanceMarketOptions=SPOT,
        MetadataOptions={"HttpTokens": "required", "HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 2},
        BlockDeviceMappings=[
            {"DeviceName": "/dev/xvda", "Ebs": {"Encrypted": True, "VolumeSize": 90, "VolumeType": "gp3"}}
        ],
        TagSpecifications=[{"ResourceType": "volume", "Tags": [{"Key": "team", "Value": "dogs"}]}],
    )
    found = described(machines, instance_id)
    assert (found["ClientToken"], found["InstanceLifecycle"]) == (token, "spot")
    assert found["SpotInstanceRequestId"].startswith("sir-")
    assert found["MetadataOptions"] == {
        "State": "applied",
        "HttpTokens": "required",
        "HttpEndpoint": "enabled",
        "HttpPutResponseHopLimit": 2,
    }
    volume_id = found["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    [volume] = machines.ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"]
    assert (volume["Encrypted"], volume["Size"], volume["Tags"]) == (True, 90, [{"Key": "team", "Value": "dogs"}])
    plain = machines.launch()
    assert "InstanceLifecycle" not in described(machines, plain)
    assert described(machines, plain)["MetadataOptions"]["HttpTokens"] == "optional"
    machines.ec2.terminate_instances(InstanceIds=[instance_id, plain])


def test_the_token_of_a_terminated_instance_launches_nothing(machines: Machines) -> None:
    token = unique("token")
    instance_id = machines.launch(ClientToken=token)
    machines.ec2.terminate_instances(InstanceIds=[instance_id])
    assert described(machines, instance_id)["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    code, _ = refused(lambda: machines.launch(ClientToken=token))
    assert code == "IdempotentInstanceTerminated"


@pytest.mark.parametrize(
    ("market", "options", "words"),
    [("spot", {"InstanceMarketOptions": SPOT}, "no Spot capacity"), ("on_demand", {}, "sufficient g4dn.xlarge")],
)
def test_what_there_is_no_room_for_is_refused(
    machines: Machines, room: Any, market: str, options: Any, words: str
) -> None:
    room(**{market: 0})
    code, message = refused(lambda: machines.launch(**options))
    assert (code, words in message) == ("InsufficientInstanceCapacity", True), message


def test_a_spot_instance_is_interrupted_when_its_room_is_taken(machines: Machines, room: Any) -> None:
    spot, on_demand = machines.launch(InstanceMarketOptions=SPOT), machines.launch()
    command = machines.send(spot, "sleep 600")
    assert described(machines, spot)["State"]["Name"] == "running"
    room(spot=0)
    found = described(machines, spot)
    assert (found["State"]["Name"], found["StateReason"]["Code"]) == ("terminated", "Server.SpotInstanceTermination")
    assert machines.invocation(command, spot)["Status"] == "Failed"
    assert described(machines, on_demand)["State"]["Name"] == "running"
    machines.ec2.terminate_instances(InstanceIds=[on_demand])


def test_a_file_that_holds_no_numbers_is_said_so(machines: Machines) -> None:
    file = machines.home / "capacity.json"
    file.write_text('{"spot": "many"}')
    code, message = refused(lambda: machines.launch(InstanceMarketOptions=SPOT))
    file.unlink()
    assert (code, "capacity.json must hold numbers" in message) == ("InternalError", True)


def test_a_policy_can_ask_for_metadata_tokens(own_aws: LocalAws, machines: Machines) -> None:
    required = {"StringEquals": {"ec2:MetadataHttpTokens": "required"}}
    everything_else = [
        f"arn:aws:ec2:*:*:{kind}/*" for kind in ("image", "network-interface", "volume", "subnet", "security-group")
    ]
    keys = own_aws.role(
        {"Effect": "Allow", "Action": "ec2:RunInstances", "Resource": everything_else},
        {
            "Effect": "Allow",
            "Action": "ec2:RunInstances",
            "Resource": "arn:aws:ec2:*:*:instance/*",
            "Condition": required,
        },
    )
    request = {"ImageId": machines.image, "MinCount": 1, "MaxCount": 1, "DryRun": True}
    run = own_aws.client("ec2", **keys).run_instances
    assert refused(run, **request)[0] == "UnauthorizedOperation"
    assert refused(run, **request, MetadataOptions={"HttpTokens": "required"})[0] == "DryRunOperation"
    assert refused(run, **request, MetadataOptions={"HttpTokens": "required"}, InstanceMarketOptions=SPOT)[0] == (
        "UnauthorizedOperation"
    )
