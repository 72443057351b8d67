"""The deep learning images that instances are made from, put among the public ones that MiniStack knows.

Their names and the parameters that lead to them are those of AWS; their ids are of this AWS only.
"""

from typing import Any

from ministack.services import ec2, ssm

OWNER = "898082745236"  # the account that publishes AWS's deep learning images
PARAMETER = "/aws/service/deeplearning/ami/x86_64/oss-nvidia-driver-gpu-pytorch-2.6-{system}/latest/ami-id"
PUBLIC = "/aws/service/"
# Operating system: image id, name, root device.
IMAGES = {
    "amazon-linux-2023": (
        "ami-0d1ea12023c0a2601",
        "Deep Learning OSS Nvidia Driver AMI GPU PyTorch 2.6 (Amazon Linux 2023) 20250323",
        "/dev/xvda",
    ),
    "ubuntu-22.04": (
        "ami-0d1ea12204c0a2602",
        "Deep Learning OSS Nvidia Driver AMI GPU PyTorch 2.6.0 (Ubuntu 22.04) 20250323",
        "/dev/sda1",
    ),
}


def publish() -> None:
    """Make the images and their parameters known to MiniStack."""
    for system, (image_id, name, device) in IMAGES.items():
        ec2._STUB_AMIS.append((image_id, name, name, "", device, OWNER, "amazon"))
        ssm._PUBLIC_AMI_PARAMETERS[PARAMETER.format(system=system)] = image_id
    ssm._get_parameters_by_path = _with_public_ones(ssm._get_parameters_by_path)


def name(image_id: str) -> str:
    """A public image's name, or nothing."""
    return next((str(image[1]) for image in ec2._STUB_AMIS if image[0] == image_id), "")


def _with_public_ones(get_parameters_by_path: Any) -> Any:
    """Under /aws/service/, MiniStack has parameters by name only."""

    def by_path(request: dict[str, Any]) -> Any:
        folder = f"{request.get('Path', '/').rstrip('/')}/"
        if not folder.startswith(PUBLIC):
            return get_parameters_by_path(request)
        below = [name for name in ssm._PUBLIC_AMI_PARAMETERS if name.startswith(folder)]
        wanted = [name for name in below if request.get("Recursive") or "/" not in name.removeprefix(folder)]
        return ssm.json_response({"Parameters": [ssm._param_out(ssm._public_parameter(name)) for name in wanted]})

    return by_path
