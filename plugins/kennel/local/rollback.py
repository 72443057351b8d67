"""Going back to a version of the model that a person names, by the DAG `deploy`."""

from rich.console import Console

from kennel import registry
from kennel.local.api import Airflow
from kennel.local.aws import LocalAws
from kennel.local.demo import follow
from kennel.local.errors import KennelError
from kennel.local.progress import Progress
from kennel.local.state import Home


def run(home: Home, version: int, console: Console) -> str:
    """Deploy a version and follow it to its end; what the run has come to.

    Raises KennelError for a version that there is not or that is not approved, before anything is started, and
    RunFailedError when the deploy fails.
    """
    aws = LocalAws.running(home)
    api = Airflow.running(home)
    try:
        registry.named(aws.client("sagemaker"), aws.names, version)
    except LookupError as error:
        raise KennelError(f"{error}.") from error
    with Progress(console) as progress:
        deploy = follow(api, aws, api.run("deploy", api.trigger("deploy", {"version": version})), progress)
    return str(api.xcom(deploy.dag_id, deploy.run_id, "smoke_test"))
