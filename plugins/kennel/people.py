"""The logins of docker-compose.yaml's Airflow: `python -m kennel.people` makes those that are missing.

`admin` may do everything. `trigger` may read, and start or pause the two DAGs that retrain; Airflow has no right to
start a DAG without the right to pause it. `viewer` may only read. These are roles of Airflow's own FAB auth manager:
Admin, Trigger (which is made here) and Viewer; more people get one of them under *Security* in the UI. Passwords come
from AIRFLOW_ADMIN_PASSWORD, AIRFLOW_TRIGGER_PASSWORD and AIRFLOW_VIEWER_PASSWORD, once: a login that is there keeps the
one it has.
"""

import os
from typing import Any

from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
from airflow.utils.providers_configuration_loader import providers_configuration_loaded

LOGINS = {"admin": "Admin", "trigger": "Trigger", "viewer": "Viewer"}
STARTED = ("retrain", "retrain_on_ec2")


@providers_configuration_loaded
def main() -> None:
    """Make the role and the logins in the database that Airflow is set up with. KeyError for a missing password."""
    with get_application_builder() as airflow:
        manager: Any = airflow.sm
        starting = [("can_create", "DAG Runs"), *(("can_edit", f"DAG:{dag_id}") for dag_id in STARTED)]
        manager.bulk_sync_roles([{"role": "Trigger", "perms": [*manager.VIEWER_PERMISSIONS, *starting]}])
        for name, role in LOGINS.items():
            if not manager.find_user(name):
                password = os.environ[f"AIRFLOW_{name.upper()}_PASSWORD"]
                manager.add_user(name, "Kennel", role, f"{name}@localhost", manager.find_role(role), password)


if __name__ == "__main__":
    main()
