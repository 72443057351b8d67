"""Runs of Kennel's DAGs, followed from outside."""

import uuid
from dataclasses import dataclass
from typing import Any

from kennel import registry
from kennel.registry import Package
from tests.operations.machine import Machine
from tests.stores import eventually

RUN_SECONDS = 300


@dataclass(frozen=True)
class Run:
    """One run of a DAG."""

    machine: Machine
    dag_id: str
    run_id: str

    @classmethod
    def started(cls, machine: Machine, dag_id: str, **conf: Any) -> "Run":
        """A run that begins now."""
        run = cls(machine, dag_id, f"run-{uuid.uuid4().hex[:8]}")
        eventually(lambda: machine.api.ready(dag_id), what=machine.logs)
        body = {"dag_run_id": run.run_id, "logical_date": None, "conf": conf}
        machine.api.send("POST", f"/dags/{dag_id}/dagRuns", body)
        return run

    @property
    def path(self) -> str:
        """Of the REST API."""
        return f"/dags/{self.dag_id}/dagRuns/{self.run_id}"

    def task(self, task_id: str) -> dict[str, Any]:
        """A task as it stands."""
        return dict(self.machine.api.get(f"{self.path}/taskInstances/{task_id}"))

    def xcom(self, task_id: str) -> Any:
        """What a task returned."""
        return self.machine.api.xcom(self.dag_id, self.run_id, task_id)

    @property
    def state(self) -> str:
        """The run's state."""
        return str(self.machine.api.run(self.dag_id, self.run_id).state)

    def ended(self) -> "Run":
        """Itself, once it has succeeded."""
        eventually(lambda: self.state in ("success", "failed"), RUN_SECONDS, self.said)
        assert self.state == "success", self.said()
        return self

    def deployment(self) -> "Run":
        """The run of `deploy` that this one's model has started."""
        found = eventually(lambda: self.machine.api.triggered_run(self.dag_id, self.run_id), what=self.said)
        return Run(self.machine, found.dag_id, found.run_id)

    def said(self) -> str:
        """Each task's state, the errors of those that have failed, and the end of every log."""
        api, lines = self.machine.api, [f"{self.dag_id} {self.run_id}"]
        for task in api.tasks(self.dag_id, self.run_id):
            lines.append(f"{task.task_id}: {task.state}, try {task.attempt}")
            if task.state in ("failed", "up_for_retry"):
                lines += api.log(self.dag_id, self.run_id, task.task_id, task.attempt, errors=True)
        return "\n".join([*lines, self.machine.logs()])


def in_service(machine: Machine) -> Package | None:
    """The registered model that the endpoint serves."""
    return registry.in_service(machine.client("sagemaker"), machine.aws.names)


def registered(machine: Machine) -> list[Package]:
    """Every registered model, the newest first."""
    return list(registry.packages(machine.client("sagemaker"), machine.aws.names.package_group))
