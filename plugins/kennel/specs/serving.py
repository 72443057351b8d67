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
            "SupportedContentTypes": ["image/jpeg", "image/png"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
        "ModelMetrics": {"ModelQuality": {"Statistics": {"ContentType": "application/json", "S3Uri": report}}},
        "CustomerMetadataProperties": metadata,
    }


def model(classifier: Classifier, run: str, image: str, model_data: str) -> Body:
    """CreateModel: one container that serves the run's artifact, cut off from every network."""
    return {
        "ModelName": names.fit(run),
        "ExecutionRoleArn": Names.of(classifier).role_arn("sagemaker"),
        "PrimaryContainer": {
            "Image": image,
            "ModelDataUrl": model_data,
            "Environment": {
                "SAGEMAKER_PROGRAM": "inference.py",
                "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
            },
        },
        "EnableNetworkIsolation": True,
        "Tags": tags(classifier),
    }


def endpoint_config(classifier: Classifier, run: str, instance_type: str) -> Body:
    """CreateEndpointConfig. Its name carries a digest of its content, so other settings make another config."""
    variants = [
        {
            "VariantName": names.VARIANT,
            "ModelName": names.fit(run),
            "InstanceType": instance_type,
            "InitialInstanceCount": classifier.endpoint.initial_instances,
            "InitialVariantWeight": 1.0,
        }
    ]
    digest = hashlib.sha256(json.dumps(variants).encode()).hexdigest()[:6]
    return {
        "EndpointConfigName": names.fit(f"{run}-{digest}"),
        "ProductionVariants": variants,
        "Tags": tags(classifier),
    }


def endpoint(classifier: Classifier, config_name: str) -> Body:
    """CreateEndpoint, or UpdateEndpoint when it exists."""
    return {"EndpointName": Names.of(classifier).endpoint, "EndpointConfigName": config_name, "Tags": tags(classifier)}


def scalable_target(classifier: Classifier) -> Body:
    """RegisterScalableTarget for the endpoint's instances."""
    return {
        **_scaled(classifier),
        "MinCapacity": classifier.autoscaling.min_instances,
        "MaxCapacity": classifier.autoscaling.max_instances,
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
