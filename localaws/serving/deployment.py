"""An endpoint's changes, carried out in the background: each leaves it in service, failed or gone."""

import logging
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict

from localaws.cloud import Cloud, now
from localaws.serving import fleet
from localaws.serving.fleet import router
from localaws.serving.instance import Stopped
from localaws.serving.router import Pool
from localaws.serving.variant import StartError, Variant
from localaws.store import Document

KIND = "endpoint"
RUNNING = "Running"  # the member with the variants in service, resolved: what scaling and a restart go by
REASON_CHARACTERS = 1024
JOIN_SECONDS = 10

log = logging.getLogger(__name__)
_threads: list[threading.Thread] = []


def create(cloud: Cloud, document: Document) -> None:
    """Bring up a new endpoint's first fleet."""
    _in_background(cloud, document, lambda: _deploy(cloud, document), EndpointStatus="Failed")


def update(
    cloud: Cloud, document: Document, config_name: str, variants: Sequence[Variant], summaries: list[Document]
) -> None:
    """Bring up a fleet for another config beside the one that answers; that one goes on if it does not come up."""
    wanted = {
        **document,
        "EndpointConfigName": config_name,
        "ProductionVariants": summaries,
        RUNNING: [asdict(variant) for variant in variants],
    }
    _in_background(cloud, document, lambda: _deploy(cloud, wanted), EndpointStatus="InService")


def resize(cloud: Cloud, document: Document, summaries: list[Document]) -> None:
    """Give the variants their desired weights and numbers of instances."""
    _in_background(
        cloud,
        document,
        lambda: _resize(cloud, document, summaries),
        EndpointStatus="InService",
        ProductionVariants=document["ProductionVariants"],
    )


def delete(cloud: Cloud, document: Document) -> None:
    """Take an endpoint out of service and forget it."""
    _in_background(cloud, document, lambda: _delete(cloud, document), EndpointStatus="Failed")


def recover(cloud: Cloud) -> None:
    """Bring back every endpoint as its document says; an update that was under way is given up."""
    fleet.open_up()
    shutil.rmtree(cloud.home / "endpoints", ignore_errors=True)
    for document in cloud.store.all(KIND):
        status, pending = document["EndpointStatus"], document.get("PendingDeploymentSummary")
        if status == "Creating":
            create(cloud, document)
        elif status == "Deleting":
            delete(cloud, document)
        elif status != "Failed":
            reason = f"The local AWS stopped during the update to {pending['EndpointConfigName']}." if pending else None
            restored = cloud.store.update(
                KIND, document["EndpointName"], EndpointStatus="SystemUpdating", FailureReason=reason
            )
            create(cloud, restored)


def shut_down() -> None:
    """Stop all that runs; the documents stay as they are, for `recover`."""
    fleet.shut_down()
    while _threads:
        _threads.pop().join(JOIN_SECONDS)


def _deploy(cloud: Cloud, wanted: Document) -> None:
    name, summaries = wanted["EndpointName"], wanted["ProductionVariants"]
    counts = {summary["VariantName"]: summary["DesiredInstanceCount"] for summary in summaries}
    variants = [Variant(**running) for running in wanted[RUNNING]]
    wishes = [(variant, counts[variant.name]) for variant in variants]
    started = fleet.start(cloud, name, wishes, share=sum(counts.values()))
    weights = {summary["VariantName"]: summary["DesiredWeight"] for summary in summaries}
    fleet.retire(router.replace(name, {key: Pool(weights[key], pool) for key, pool in started.items()}))
    reached = {
        "EndpointConfigName": wanted["EndpointConfigName"],
        "ProductionVariants": [_reached(summary) for summary in summaries],
        RUNNING: wanted[RUNNING],
    }
    reason = wanted["FailureReason"] if wanted["EndpointStatus"] == "SystemUpdating" else None
    _settle(cloud, wanted, EndpointStatus="InService", FailureReason=reason, **reached)


def _resize(cloud: Cloud, document: Document, summaries: list[Document]) -> None:
    name = document["EndpointName"]
    variants = {running["name"]: Variant(**running) for running in document[RUNNING]}
    growth = [
        (variants[summary["VariantName"]], summary["DesiredInstanceCount"] - summary["CurrentInstanceCount"])
        for summary in summaries
    ]
    share = sum(summary["DesiredInstanceCount"] for summary in summaries)
    started = fleet.start(cloud, name, [(variant, max(0, more)) for variant, more in growth], share)
    for summary in summaries:
        variant = summary["VariantName"]
        router.weigh(name, variant, summary["DesiredWeight"])
        fleet.retire(router.resize(name, variant, started[variant], summary["DesiredInstanceCount"]))
    reached = [_reached(summary) for summary in summaries]
    _settle(cloud, document, EndpointStatus="InService", FailureReason=None, ProductionVariants=reached)


def _delete(cloud: Cloud, document: Document) -> None:
    name = document["EndpointName"]
    fleet.retire(router.replace(name, None))
    shutil.rmtree(cloud.home / "endpoints" / name, ignore_errors=True)
    cloud.store.delete(KIND, name)


def _reached(summary: Document) -> Document:
    return {
        **summary,
        "CurrentWeight": summary["DesiredWeight"],
        "CurrentInstanceCount": summary["DesiredInstanceCount"],
    }


def _settle(cloud: Cloud, document: Document, **members: object) -> None:
    name = document["EndpointName"]
    cloud.store.update(KIND, name, PendingDeploymentSummary=None, LastModifiedTime=now(), **members)


def _in_background(cloud: Cloud, document: Document, work: Callable[[], None], **failed: object) -> None:
    """Run `work` in a thread; when it fails the endpoint gets the members `failed` and the reason."""

    def run() -> None:
        try:
            work()
        except Stopped:
            log.info("%s stays %s until the next start", document["EndpointArn"], document["EndpointStatus"])
        except StartError as error:
            _settle(cloud, document, FailureReason=str(error)[:REASON_CHARACTERS], **failed)
        except Exception:
            log.exception("The change of %s failed", document["EndpointArn"])
            _settle(cloud, document, FailureReason="Internal failure: the local AWS's own log says why.", **failed)

    _threads[:] = [thread for thread in _threads if thread.is_alive()]
    _threads.append(threading.Thread(target=run, name=document["EndpointArn"], daemon=True))
    _threads[-1].start()
