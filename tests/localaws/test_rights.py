"""infra/rights.yaml made true: denied rows are refused, allowed ones are not, no statement is too much or too wide."""

import functools
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError
from ministack.core.iam_evaluator import EvalContext, evaluate, parse_policy_document

from localaws.instances.images import IMAGES
from tests.conftest import LocalAws, running_local_aws
from tests.localaws.test_foundation import credentials, deployed
from tests.rights import ROLES, Cell, allowed, denied, entries, table

Statement = dict[str, Any]

REFUSALS = {"AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation"}
STATEMENTS = [(role, sid) for role, statements in table()["allowed"].items() for sid in statements]
CALLED = [cell for cell in allowed() if cell.request is not None]
# What roles may read must be there; S3 tells nobody who may not list it that it is not.
OBJECTS = ("datasets/dogs/dt=2026-11-22/train/001.Pug/a.jpg", "snapshots/dogs/one/train.manifest")
# Their resource names the service already, as their condition does.
TWICE_NARROWED = {"LetAutoScalingIn", "LetSpotIn"}

each_statement = pytest.mark.parametrize(("role", "sid"), STATEMENTS, ids=map("-".join, STATEMENTS))


class Account:
    """A local AWS with the foundations of the classifiers dogs and cats, and an instance of cats."""

    def __init__(self, aws: LocalAws) -> None:
        self.aws = aws
        self.client = functools.cache(self._client)
        for key in OBJECTS:
            self.client("root", "s3").put_object(Bucket="kennel-dogs-000000000000-us-east-1", Key=key, Body=b"")
        iam, ec2 = self.client("root", "iam"), self.client("root", "ec2")
        self.statements: dict[str, list[Statement]] = {}
        for role in ROLES:
            name = f"kennel-dogs-{role}"
            policies = iam.list_role_policies(RoleName=name)["PolicyNames"]
            documents = [iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"] for policy in policies]
            self.statements[role] = [statement for document in documents for statement in document["Statement"]]
        filters = [{"Name": "group-name", "Values": ["kennel-dogs-ec2", "kennel-cats-ec2"]}]
        found = ec2.describe_security_groups(Filters=filters)["SecurityGroups"]
        groups = {group["GroupName"]: group["GroupId"] for group in found}
        image = IMAGES["ubuntu-22.04"][0]
        tags = [{"ResourceType": "instance", "Tags": [{"Key": "kennel:classifier", "Value": "cats"}]}]
        launch = {"ImageId": image, "InstanceType": "m5.xlarge", "MinCount": 1, "MaxCount": 1}
        profile = {"Name": "kennel-cats-ec2"}
        [cats] = ec2.run_instances(**launch, TagSpecifications=tags, IamInstanceProfile=profile)["Instances"]
        self.ids = {
            "group": groups["kennel-dogs-ec2"],
            "cats_group": groups["kennel-cats-ec2"],
            "image": image,
            "cats": cats["InstanceId"],
        }

    def _client(self, role: str, service: str) -> Any:
        """With a role's keys, or root's."""
        if role == "root":
            return self.aws.client(service)
        arn = f"arn:aws:iam::000000000000:role/kennel-dogs-{role}"
        keys = self.client("root", "sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
        return self.aws.client(service, **credentials(keys))

    def refusal(self, cell: Cell, role: str) -> str:
        """The code with which a cell's call is refused for want of rights; nothing when it is not."""
        service, _, operation = cell.call.partition(".")
        try:
            getattr(self.client(role, service), xform_name(operation))(**(cell.request or {}))
        except ClientError as error:
            code = str(error.response["Error"]["Code"])
            return code if code in REFUSALS else ""
        return ""

    def decisions(self, role: str) -> list[dict[str, str]]:
        """What IAM has decided about a role."""
        mine = f":assumed-role/kennel-dogs-{role}/"
        return [entry for entry in entries(self.aws.home) if mine in entry["principal"]]

    def cells(self, role: str, sid: str) -> list[Cell]:
        """The allowed cells of a statement."""
        return [cell.named(self.ids) for cell in allowed() if (cell.role, cell.statement) == (role, sid)]

    def split(self, role: str, sid: str) -> tuple[Statement, list[Statement]]:
        """A statement of a role, and all its others."""
        [statement] = [one for one in self.statements[role] if one["Sid"] == sid]
        return statement, [one for one in self.statements[role] if one["Sid"] != sid]


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with running_local_aws(tmp_path_factory.mktemp("rights") / "home") as aws:
        for classifier in ("cats", "dogs"):
            deployed(aws, Classifier=classifier, RequireTls="false")
        yield Account(aws)


def listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def allows(statements: list[Statement], cell: Cell) -> bool:
    """What the local AWS's IAM decides about a cell."""
    asked = EvalContext(
        principal_arn=f"arn:aws:sts::000000000000:assumed-role/kennel-dogs-{cell.role}/test",
        principal_type="AssumedRole",
        principal_account="000000000000",
        action=cell.action,
        resource_arn=cell.resource,
        region="us-east-1",
        service_context={key.lower(): value for key, value in cell.when.items()},
    )
    return bool(evaluate(asked, [parse_policy_document({"Statement": statements})]).decision == "Allow")


@pytest.mark.parametrize("cell", denied(), ids=str)
def test_what_is_denied_is_refused_to_the_role_and_not_to_root(account: Account, cell: Cell) -> None:
    cell = cell.named(account.ids)
    assert account.refusal(cell, cell.role) in REFUSALS
    last = account.decisions(cell.role)[-1]
    assert (last["decision"], last["action"], last["resource"]) == ("denied", cell.action, cell.resource)
    assert account.refusal(cell, "root") == ""


@pytest.mark.parametrize("cell", CALLED, ids=str)
def test_what_is_allowed_and_seldom_needed_is_not_refused(account: Account, cell: Cell) -> None:
    cell = cell.named(account.ids)
    before = len(account.decisions(cell.role))
    assert account.refusal(cell, cell.role) == ""
    made = account.decisions(cell.role)[before:]
    assert [entry for entry in made if cell.is_in(entry) and entry["decision"] == "allowed"], made


@pytest.mark.parametrize("cell", denied(), ids=str)
def test_the_policies_deny_what_the_table_denies(account: Account, cell: Cell) -> None:
    assert not allows(account.statements[cell.role], cell.named(account.ids))


@each_statement
def test_a_statement_allows_all_its_rows(account: Account, role: str, sid: str) -> None:
    statement, _ = account.split(role, sid)
    cells = account.cells(role, sid)
    assert cells
    assert [str(cell) for cell in cells if not allows([statement], cell)] == []


@each_statement
def test_the_table_names_the_statements_actions_and_resources_word_for_word(
    account: Account, role: str, sid: str
) -> None:
    statement, _ = account.split(role, sid)
    assert differences(statement, account.cells(role, sid)) == []


def differences(statement: Statement, cells: list[Cell]) -> list[str]:
    """What only one of the two grants."""
    actions = {cell.action for cell in cells} ^ set(listed(statement["Action"]))
    resources = {cell.resource for cell in cells} ^ set(listed(statement["Resource"]))
    return sorted(actions | resources)


@each_statement
def test_without_a_statement_a_row_of_it_is_refused(account: Account, role: str, sid: str) -> None:
    _, others = account.split(role, sid)
    assert [cell for cell in account.cells(role, sid) if not allows(others, cell)]


@each_statement
@pytest.mark.parametrize("member", ["Action", "Resource"])
def test_without_any_one_part_of_a_statement_a_row_of_it_is_refused(
    account: Account, role: str, sid: str, member: str
) -> None:
    statement, others = account.split(role, sid)
    parts = listed(statement[member])
    for part in parts if len(parts) > 1 else ():
        less = {**statement, member: [one for one in parts if one != part]}
        assert [cell for cell in account.cells(role, sid) if not allows([less, *others], cell)], part


def without_condition(account: Account, statement: Statement) -> Statement:
    return {key: value for key, value in statement.items() if key != "Condition"}


def for_every_classifier(account: Account, statement: Statement) -> Statement:
    resources = json.dumps(statement["Resource"]).replace("dogs", "*").replace(account.ids["group"], "*")
    return {**statement, "Resource": json.loads(resources)}


@each_statement
@pytest.mark.parametrize("widen", [without_condition, for_every_classifier])
def test_a_wider_statement_lets_in_what_the_table_denies(
    account: Account, role: str, sid: str, widen: Callable[[Account, Statement], Statement]
) -> None:
    statement, others = account.split(role, sid)
    wider = widen(account, statement)
    if wider == statement or (widen is without_condition and sid in TWICE_NARROWED):
        return
    let_in = [cell for cell in denied() if cell.role == role and allows([wider, *others], cell.named(account.ids))]
    assert let_in
