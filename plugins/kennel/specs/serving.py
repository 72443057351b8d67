"""Request bodies for registering, hosting and scaling a model, and for the function in front of it."""

import hashlib
import json
from typing import Any

from kennel import names
from kennel.config import Classifier
from kennel.names import Names
from kennel.specs import tags

Body = dict[str, Any]


def model_package(classifier: Classifier, model_data: str, metadata: dict[str, str]) -> Body:
    """What Kennel adds to the provider's CreateModelPackage: content types, metrics, and where the model is from.

    `metadata` becomes CustomerMetadataProperties; of it, `run` says whose evaluation report the metrics are in.
    """
    at = Names.of(classifier)
    report = at.uri(f"{at.run_key(metadata['run'], 'evaluation')}report.json")
    return {
        "InferenceSpecification": {
            "Containers": [{"Image": classifier.images.inference, "ModelDataUrl": model_data}],
            "SupportedContentTypes": ["image/jpeg", "image/png", "image/gif", "image/webp"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
        "ModelMetrics": {"ModelQuality": {"Statistics": {"ContentType": "application/json", "S3Uri": report}}},
        "CustomerMetadataProperties": metadata,
    }


def model(classifier: Classifier, version: int, image: str, model_data: str) -> Body:
    """CreateModel: one container that serves a version's artifact, cut off from every network."""
    at = Names.of(classifier)
    return {
        "ModelName": at.model(version),
        "ExecutionRoleArn": at.role_arn("sagemaker"),
        "PrimaryContainer": {
            "Image": image,
            "ModelDataUrl": model_data,
            "Environment": {
                "SAGEMAKER_PROGRAM": "inference.py",
                "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
                # The image starts one a vCPU, and each computes on all of them: they wait for each other's threads.
                "SAGEMAKER_MODEL_SERVER_WORKERS": "1",
            },
        },
        "EnableNetworkIsolation": True,
        "Tags": tags(classifier),
    }


def endpoint_config(classifier: Classifier, version: int, instance_type: str, instances: int) -> Body:
    """CreateEndpointConfig. Its name carries a digest of its content, so other settings make another config."""
    name = Names.of(classifier).model(version)
    variants = [
        {
            "VariantName": names.VARIANT,
            "ModelName": name,
            "InstanceType": instance_type,
            "InitialInstanceCount": instances,
            "InitialVariantWeight": 1.0,
        }
    ]
    digest = hashlib.sha256(json.dumps(variants).encode()).hexdigest()[:6]
    return {"EndpointConfigName": f"{name}-{digest}", "ProductionVariants": variants, "Tags": tags(classifier)}


def endpoint(classifier: Classifier, name: str, config_name: str) -> Body:
    """CreateEndpoint, or UpdateEndpoint when it exists."""
    return {"EndpointName": name, "EndpointConfigName": config_name, "Tags": tags(classifier)}


def rollback_alarms(classifier: Classifier) -> list[Body]:
    """PutMetricAlarm for what calls an update of the endpoint back: errors, and slow answers (microseconds)."""
    at, limits = Names.of(classifier), classifier.endpoint
    watched = {
        "5xx": ("Invocation5XXErrors", "Sum", limits.max_errors_per_minute),
        "latency": ("ModelLatency", "Average", limits.max_latency_ms * 1000),
    }
    return [
        {
            "AlarmName": at.alarm(kind),
            "AlarmDescription": f"Calls an update of the endpoint {at.endpoint} back.",
            "Namespace": "AWS/SageMaker",
            "MetricName": metric,
            "Dimensions": [
                {"Name": "EndpointName", "Value": at.endpoint},
                {"Name": "VariantName", "Value": names.VARIANT},
            ],
            "Statistic": statistic,
            "Period": 60,
            "EvaluationPeriods": 1,
            "Threshold": float(threshold),
            "ComparisonOperator": "GreaterThanThreshold",
            "TreatMissingData": "notBreaching",
        }
        for kind, (metric, statistic, threshold) in watched.items()
    ]


def blue_green(classifier: Classifier) -> Body:
    """UpdateEndpoint's BlueGreenUpdatePolicy.

    All traffic goes over at once: a canary needs two instances, and the model has been rehearsed. The old instances
    stand by while it bakes.
    """
    return {
        "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0},
        "TerminationWaitInSeconds": 60 * classifier.endpoint.bake_minutes,
    }


def scalable_target(classifier: Classifier) -> Body:
    """RegisterScalableTarget for the endpoint's instances."""
    return {
        **_scaled(classifier),
        "MinCapacity": classifier.autoscaling.min_instances,
        "MaxCapacity": classifier.autoscaling.max_instances,
        # An update of the endpoint suspends it.
        "SuspendedState": {
            "DynamicScalingInSuspended": False,
            "DynamicScalingOutSuspended": False,
            "ScheduledScalingSuspended": False,
        },
    }


def scaling_policy(classifier: Classifier) -> Body:
    """PutScalingPolicy: keep invocations per instance and minute at the target."""
    scaling = classifier.autoscaling
    return {
        **_scaled(classifier),
        "PolicyName": f"{Names.of(classifier).endpoint}-invocations",
        "PolicyType": "TargetTrackingScaling",
        "TargetTrackingScalingPolicyConfiguration": {
            "TargetValue": scaling.target_invocations_per_instance,
            "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
            "ScaleInCooldown": scaling.scale_in_cooldown_seconds,
            "ScaleOutCooldown": scaling.scale_out_cooldown_seconds,
        },
    }


def function_configuration(classifier: Classifier) -> Body:
    """What CreateFunction and UpdateFunctionConfiguration share."""
    at = Names.of(classifier)
    variables = {"ENDPOINT_NAME": at.endpoint}
    if classifier.environment.allowed_hosts:
        variables["ALLOWED_HOSTS"] = classifier.environment.allowed_hosts
    return {
        "FunctionName": at.function,
        "Role": at.role_arn("lambda"),
        "Runtime": classifier.function.runtime,
        "Handler": "invoke_endpoint.handler.lambda_handler",
        "Description": f"Names what is on a photo by the endpoint {at.endpoint}.",
        "Timeout": classifier.function.timeout_seconds,
        "MemorySize": classifier.function.memory_mb,
        "Environment": {"Variables": variables},
    }


def _scaled(classifier: Classifier) -> Body:
    return {
        "ServiceNamespace": "sagemaker",
        "ResourceId": Names.of(classifier).scalable_target,
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }
