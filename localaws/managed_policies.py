"""Policies that AWS keeps in every account and MiniStack does not: the one that the console gives to notebooks' roles.

Only what concerns services served here; the whole one also names Cognito, Glue, Redshift and others:
https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AmazonSageMakerFullAccess.html
"""

import json
from typing import Any

from ministack.services import iam

SAGEMAKER_BUCKETS = [f"arn:aws:s3:::*{name}*" for name in ("SageMaker", "Sagemaker", "sagemaker", "aws-glue")]
PASSED_TO = ("glue", "robomaker", "states")


def _allow(actions: list[str], resources: Any = "*", **conditions: Any) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": actions, "Resource": resources}
    return {**statement, "Condition": conditions} if conditions else statement


SAGEMAKER_FULL_ACCESS: list[dict[str, Any]] = [
    {
        "Effect": "Allow",
        "Action": ["sagemaker:*"],
        "NotResource": [
            f"arn:aws:sagemaker:*:*:{kind}/*" for kind in ("domain", "user-profile", "app", "space", "flow-definition")
        ],
    },
    _allow(
        [
            *(
                f"application-autoscaling:{action}"
                for action in (
                    "DeleteScalingPolicy",
                    "DeleteScheduledAction",
                    "DeregisterScalableTarget",
                    "DescribeScalableTargets",
                    "DescribeScalingActivities",
                    "DescribeScalingPolicies",
                    "DescribeScheduledActions",
                    "PutScalingPolicy",
                    "PutScheduledAction",
                    "RegisterScalableTarget",
                )
            ),
            *(
                f"cloudwatch:{action}"
                for action in (
                    "DeleteAlarms",
                    "DescribeAlarms",
                    "GetMetricData",
                    "GetMetricStatistics",
                    "ListMetrics",
                    "PutMetricAlarm",
                    "PutMetricData",
                )
            ),
            *(
                f"logs:{action}"
                for action in (
                    "CreateLogDelivery",
                    "CreateLogGroup",
                    "CreateLogStream",
                    "DeleteLogDelivery",
                    "Describe*",
                    "GetLogDelivery",
                    "GetLogEvents",
                    "ListLogDeliveries",
                    "PutLogEvents",
                    "PutResourcePolicy",
                    "UpdateLogDelivery",
                )
            ),
            *(
                f"ec2:{action}"
                for action in (
                    "CreateNetworkInterface",
                    "CreateNetworkInterfacePermission",
                    "CreateVpcEndpoint",
                    "DeleteNetworkInterface",
                    "DeleteNetworkInterfacePermission",
                    "DescribeDhcpOptions",
                    "DescribeNetworkInterfaces",
                    "DescribeRouteTables",
                    "DescribeSecurityGroups",
                    "DescribeSubnets",
                    "DescribeVpcEndpoints",
                    "DescribeVpcs",
                )
            ),
            *(
                f"ecr:{action}"
                for action in (
                    "BatchCheckLayerAvailability",
                    "BatchGetImage",
                    "CreateRepository",
                    "Describe*",
                    "GetAuthorizationToken",
                    "GetDownloadUrlForLayer",
                    "StartImageScan",
                )
            ),
            "iam:ListRoles",
            "kms:DescribeKey",
            "kms:ListAliases",
            "lambda:ListFunctions",
            "sns:ListTopics",
        ]
    ),
    _allow(["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"], SAGEMAKER_BUCKETS),
    _allow(
        ["s3:GetObject"],
        "arn:aws:s3:::*",
        StringEqualsIgnoreCase={"s3:ExistingObjectTag/SageMaker": "true"},
    ),
    _allow(
        [
            "s3:CreateBucket",
            "s3:GetBucketLocation",
            "s3:ListBucket",
            "s3:ListAllMyBuckets",
            "s3:GetBucketCors",
            "s3:PutBucketCors",
        ]
    ),
    _allow(["s3:GetBucketAcl", "s3:PutObjectAcl"], SAGEMAKER_BUCKETS),
    _allow(
        ["lambda:InvokeFunction"],
        [
            f"arn:aws:lambda:*:*:function:*{name}*"
            for name in ("SageMaker", "sagemaker", "Sagemaker", "LabelingFunction")
        ],
    ),
    _allow(
        ["sns:Subscribe", "sns:CreateTopic", "sns:Publish"],
        [resource.replace("s3:::", "sns:*:*:") for resource in SAGEMAKER_BUCKETS[:3]],
    ),
    _allow(
        ["iam:PassRole"],
        "arn:aws:iam::*:role/*AmazonSageMaker*",
        StringEquals={"iam:PassedToService": [f"{service}.amazonaws.com" for service in PASSED_TO]},
    ),
    _allow(["iam:PassRole"], "arn:aws:iam::*:role/*", StringEquals={"iam:PassedToService": "sagemaker.amazonaws.com"}),
]


def add() -> None:
    """Put them among MiniStack's own."""
    name = "AmazonSageMakerFullAccess"
    document = json.dumps({"Version": "2012-10-17", "Statement": SAGEMAKER_FULL_ACCESS})
    description = "Provides full access to Amazon SageMaker, and some to services that go with it."
    record = iam._make_aws_managed_record(name, document, description)
    iam._aws_managed_policies[f"{iam._AWS_MANAGED_POLICY_PREFIX}{name}"] = record
