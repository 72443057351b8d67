"""What infra/foundation.yaml itself promises, beyond the rules that any template must keep to (rules.py)."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kennel import teardown
from kennel.config import ROOT, Classifier
from tests.unit.infra.template import TEMPLATE, Template, listed, load, of_type, rights

ROLES = ("SageMakerRole", "FunctionRole", "AirflowRole", "InstanceRole")


@pytest.fixture(scope="module")
def template() -> Template:
    return load()


def cfn_lint(*templates: Path) -> list[str]:
    """What cfn-lint finds, as `rule file`, without a network."""
    nowhere = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
    command = [str(Path(sys.executable).with_name("cfn-lint")), "--format", "parseable", *map(str, templates)]
    found = subprocess.run(command, cwd=ROOT, env=os.environ | nowhere, capture_output=True, text=True)
    assert not found.stderr, found.stderr
    return [f"{line.split(':')[5]} {line.split(':')[0]}" for line in found.stdout.splitlines() if line]


def test_cfn_lint_finds_nothing_in_it_but_what_is_wrong_with_a_worse_one(tmp_path: Path) -> None:
    worse = tmp_path / "worse.yaml"
    worse.write_text(TEMPLATE.read_text().replace("Status: Enabled", "Status: Perhaps"))
    found = cfn_lint(TEMPLATE, worse)
    assert set(found) == {f"E3030 {worse}"}


def test_keeps_cfn_lint_quiet_nowhere() -> None:
    assert "cfn-lint" not in TEMPLATE.read_text() and not list(ROOT.glob(".cfnlintrc*"))


def test_has_these_four_roles_and_no_other(template: Template) -> None:
    assert {name for name, _ in of_type(template, "IAM::Role")} == set(ROLES)


def test_lets_the_function_invoke_its_endpoint_and_write_its_log_and_no_more(template: Template) -> None:
    endpoint = "arn:${AWS::Partition}:sagemaker:${AWS::Region}:${AWS::AccountId}:endpoint/kennel-${Classifier}"
    assert [(listed(statement["Action"]), statement["Resource"]) for statement in rights(template, "FunctionRole")] == [
        (["sagemaker:InvokeEndpoint"], {"Sub": endpoint}),
        (["logs:CreateLogStream", "logs:PutLogEvents"], {"GetAtt": "FunctionLogGroup.Arn"}),
    ]


def written_out(value: Any) -> Any:
    """A policy as it is in an account, every name as long as it may be."""
    longest = {"AWS::Partition": "aws", "AWS::Region": "ap-southeast-2", "AWS::AccountId": "1" * 12}
    if isinstance(value, list):
        return [written_out(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "Sub" in value:
        return re.sub(r"\$\{([^}]+)\}", lambda found: longest.get(found[1], "x" * 20), value["Sub"])
    if value.keys() & {"GetAtt", "Ref"}:
        return "x" * 60
    return {key: written_out(item) for key, item in value.items()}


@pytest.mark.parametrize("role", ROLES)
def test_fits_what_iam_takes_of_a_roles_inline_policies(template: Template, role: str) -> None:
    policies = [policy["PolicyDocument"] for policy in template["Resources"][role]["Properties"]["Policies"]]
    assert sum(len(json.dumps(written_out(policy), separators=(",", ":"))) for policy in policies) <= 10_240


def test_lets_only_the_teardown_delete_objects_and_no_logs(template: Template) -> None:
    deleting = [
        (role, statement)
        for role in ROLES
        for statement in rights(template, role)
        if any(action.startswith("s3:Delete") for action in listed(statement["Action"]))
    ]
    [(role, statement)] = deleting
    assert (role, statement["Sid"], statement["Action"]) == ("AirflowRole", "DeleteVersions", "s3:DeleteObjectVersion")
    assert {resource["Sub"] for resource in statement["Resource"]} == {
        f"${{Bucket.Arn}}/{prefix}*" for prefix in (*teardown.MODELS, *teardown.DATA)
    }


def test_expires_nothing_that_a_run_made(template: Template) -> None:
    rules = template["Resources"]["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"]
    assert [rule["Prefix"] for rule in rules if "ExpirationInDays" in rule] == ["logs/"]
    assert [rule["Prefix"] for rule in rules if "Transitions" in rule] == ["runs/"]


def test_requires_tls_unless_told_otherwise(template: Template) -> None:
    assert template["Parameters"]["RequireTls"]["Default"] == "true"
    assert template["Conditions"]["TlsRequired"] == {"Equals": [{"Ref": "RequireTls"}, "true"]}


def test_takes_the_same_classifier_names_as_the_configuration(template: Template) -> None:
    [constraint] = Classifier.model_fields["name"].metadata
    assert constraint.pattern == f"^{template['Parameters']['Classifier']['AllowedPattern']}$"
