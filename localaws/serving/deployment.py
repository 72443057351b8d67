"""An endpoint's changes, carried out in the background: each leaves it in service, failed or gone."""

import logging
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict

from localaws.cloud import Cloud, now
from localaws.jobs.clients import client
from localaws.serving import fleet, shifting
from localaws.serving.fleet import router
from localaws.serving.instance import Stopped
from localaws.serving.router import Fleet, Pool
from localaws.serving.shifting import RolledBackError
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


def update(cloud: Cloud, document: Document, variants: Sequence[Variant], summaries: list[Document]) -> None:
    """Carry out an endpoint's PendingDeploymentSummary as its LastDeploymentConfig says.

    The fleet that answers goes on if the new one does not come up, or an alarm calls it back.
    """
    wanted = {
        **document,
        "EndpointConfigName": document["PendingDeploymentSummary"]["EndpointConfigName"],
        "ProductionVariants": summaries,
        RUNNING: [asdict(variant) for variant in variants],
    }
    _in_background(cloud, document, lambda: _replace(cloud, wanted), EndpointStatus="InService")


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


def pending(config_name: str, summaries: Sequence[Document], status: str, began: float) -> Document:
    """A PendingDeploymentSummary whose variants all have this VariantStatus."""
    variants = [{**summary, "VariantStatus": [{"Status": status, "StartTime": now()}]} for summary in summaries]
    return {"EndpointConfigName": config_name, "ProductionVariants": variants, "StartTime": began}


def _deploy(cloud: Cloud, wanted: Document) -> None:
    """A fleet where there is none."""
    _serve(cloud, wanted, _fleet(cloud, wanted))


def _replace(cloud: Cloud, wanted: Document) -> None:
    """A fleet beside the one there is, which goes when the traffic has come over."""
    name, reached = wanted["EndpointName"], [_reached(summary) for summary in wanted["ProductionVariants"]]
    began = wanted["PendingDeploymentSummary"]["StartTime"]

    def report(status: str) -> None:
        summary = pending(wanted["EndpointConfigName"], reached, status, began)
        cloud.store.update(KIND, name, PendingDeploymentSummary=summary)

    watching = Variant(**wanted[RUNNING][0]).credentials(cloud, f"{name}-update")
    new = _fleet(cloud, wanted)
    try:
        cloudwatch = client(cloud, "cloudwatch", watching)
        shifting.shift(cloudwatch, name, new, wanted["LastDeploymentConfig"], began, report)
    except RolledBackError:
        cloud.store.update(KIND, name, EndpointStatus="RollingBack")
        fleet.retire([instance for pool in new.values() for instance in pool.instances])
        raise
    _serve(cloud, wanted, new)


def _fleet(cloud: Cloud, wanted: Document) -> Fleet:
    """Bring up the instances that a document wants."""
    summaries = {summary["VariantName"]: summary for summary in wanted["ProductionVariants"]}
    variants = [Variant(**running) for running in wanted[RUNNING]]
    wishes = [(variant, summaries[variant.name]["DesiredInstanceCount"]) for variant in variants]
    started = fleet.start(cloud, wanted["EndpointName"], wishes, share=sum(count for _, count in wishes))
    return {name: Pool(summaries[name]["DesiredWeight"], instances) for name, instances in started.items()}


def _serve(cloud: Cloud, wanted: Document, new: Fleet) -> None:
    """Let a fleet answer alone, and write down that it does."""
    fleet.retire(router.replace(wanted["EndpointName"], new))
    reached = {
        "EndpointConfigName": wanted["EndpointConfigName"],
        "ProductionVariants": [_reached(summary) for summary in wanted["ProductionVariants"]],
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
        except (StartError, RolledBackError) as error:
            _settle(cloud, document, FailureReason=str(error)[:REASON_CHARACTERS], **failed)
        except Exception:
            log.exception("The change of %s failed", document["EndpointArn"])
            _settle(cloud, document, FailureReason="Internal failure: the local AWS's own log says why.", **failed)

    _threads[:] = [thread for thread in _threads if thread.is_alive()]
    _threads.append(threading.Thread(target=run, name=document["EndpointArn"], daemon=True))
    _threads[-1].start()
