"""Our services: which modules do their work, and one call of theirs from its request to its answer."""

import asyncio
import logging
from collections.abc import Awaitable
from types import ModuleType

from localaws import autoscaling, protocols, scheduled_scaling, service_quotas
from localaws.authorization import authorize, resources
from localaws.cloud import Cloud, Handler, Request, Response
from localaws.errors import AwsError
from localaws.instances import ec2, query, ssm
from localaws.sagemaker import (
    endpoint_configs,
    endpoints,
    model_package_groups,
    model_packages,
    models,
    processing,
    runtime,
    tags,
    training,
    transform,
    tuning,
)
from localaws.validation import known, validate

log = logging.getLogger(__name__)

# What does the work, by botocore's name of the service. Each module has OPERATIONS, and where it runs something
# recover(cloud), called once the server answers, and shutdown(cloud), called when it stops.
MODULES: dict[str, tuple[ModuleType, ...]] = {
    "sagemaker": (
        endpoint_configs,
        endpoints,
        model_package_groups,
        model_packages,
        models,
        processing,
        tags,
        training,
        transform,
        tuning,
    ),
    "sagemaker-runtime": (runtime,),
    "application-autoscaling": (autoscaling, scheduled_scaling),
    "service-quotas": (service_quotas,),
    "ec2": (ec2,),
    "ssm": (ssm,),
}
OPERATIONS: dict[str, dict[str, Handler]] = {
    service: {name: handler for module in modules for name, handler in module.OPERATIONS.items()}
    for service, modules in MODULES.items()
}
# What we add to MiniStack, by the name that requests are signed for, with the prefixes of X-Amz-Target.
TARGETS = {
    "sagemaker": ["SageMaker."],
    "application-autoscaling": ["AnyScaleFrontendService."],
    "servicequotas": ["ServiceQuotasV20190624."],
}
# What we do of services of MiniStack's, which does the rest of them. EC2 has no target but an Action in a form.
PARTS = {"ssm": [f"AmazonSSM.{operation}" for operation in OPERATIONS["ssm"]]}
# Botocore's name where it is not the one that requests are signed for.
MODELS = {"servicequotas": "service-quotas"}
# What is signed for the same name, and known by having no target.
RUNTIMES = {"sagemaker": "sagemaker-runtime"}


async def answer(cloud: Cloud, namespace: str, access_key_id: str, http: protocols.HttpRequest) -> protocols.Answer:
    """Do what a request to `namespace`, one of TARGETS, asks for, and write the result or the error."""
    try:
        if "x-amz-target" in http.headers:
            operation, request = protocols.read_json(http)
            service = MODELS.get(namespace, namespace)
            result = await _call(cloud, service, operation, request, access_key_id, http.body)
            return protocols.write_json(result)
        if namespace not in RUNTIMES:
            raise AwsError("UnknownOperationException", f"A call of {namespace} names its operation in X-Amz-Target.")
        service = RUNTIMES[namespace]
        runtime.check_size(http.body)
        operation, request = protocols.read_rest(service, http)
        result = await _call(cloud, service, operation, request, access_key_id, http.body)
        return protocols.write_rest(service, operation, result)
    except AwsError as error:
        return protocols.write_error(error)
    except Exception:
        log.exception("%s %s failed", http.headers.get("x-amz-target", http.method), http.path)
        return protocols.write_error(AwsError("InternalFailure", "An internal error; the server's log has it.", 500))


def is_instance_operation(http: protocols.HttpRequest) -> bool:
    """Whether a request to EC2 is for us."""
    return query.form(http).get("Action") in OPERATIONS["ec2"]


async def answer_form(cloud: Cloud, access_key_id: str, http: protocols.HttpRequest) -> protocols.Answer:
    """Do what a request to EC2 asks for, one that `is_instance_operation`, and write the result or the error."""
    members = query.form(http)
    operation = members["Action"]
    try:
        result = await _call(cloud, "ec2", operation, query.read(members), access_key_id, http.body)
        return query.write(operation, result)
    except AwsError as error:
        return query.write_error(error)
    except Exception:
        log.exception("%s failed", operation)
        return query.write_error(AwsError("InternalError", "An internal error; the server's log has it.", 500))


async def _call(
    cloud: Cloud, service: str, operation: str, request: Request, access_key_id: str, body: bytes
) -> Response:
    handler = OPERATIONS[service].get(operation)
    if handler is None:
        raise AwsError("UnknownOperationException", f"{operation} of {service} is not built.")
    problems = validate(service, operation, request)
    if problems:
        errors = "error" if len(problems) == 1 else "errors"
        code = "ValidationError" if service in RUNTIMES.values() else "ValidationException"
        raise AwsError(code, f"{len(problems)} validation {errors} detected: {'; '.join(problems)}")
    request = known(service, operation, request)
    namespace = {"sagemaker-runtime": "sagemaker", "service-quotas": "servicequotas"}.get(service, service)
    authorize(cloud, access_key_id, namespace, operation, request, body)
    awaited = asyncio.iscoroutinefunction(handler)
    outcome = handler(cloud, request) if awaited else await asyncio.to_thread(handler, cloud, request)
    result = await outcome if isinstance(outcome, Awaitable) else outcome
    if service == "sagemaker":
        _carry_tags(cloud, operation, request, result)
    return result


def _carry_tags(cloud: Cloud, operation: str, request: Request, result: Response) -> None:
    """Tags come with their resource, whichever it is, and go with it."""
    if operation.startswith("Create"):
        arn = next(value for name, value in result.items() if name.endswith("Arn"))
        tags.replace(cloud, arn, request.get("Tags", []))
    elif operation.startswith("Delete") and operation != "DeleteTags":
        for arn in resources(cloud, "sagemaker", operation, request):
            tags.forget(cloud, arn)


def recover(cloud: Cloud) -> None:
    """Bring back what ran before the last stop."""
    _each("recover", cloud)


def shutdown(cloud: Cloud) -> None:
    """Stop everything that runs."""
    _each("shutdown", cloud)


def _each(name: str, cloud: Cloud) -> None:
    for modules in MODULES.values():
        for module in modules:
            if hasattr(module, name):
                try:
                    getattr(module, name)(cloud)
                except Exception:
                    log.exception("%s of %s failed", name, module.__name__)
