"""`kennel teardown`: what will be deleted, the question, and then the deleting."""

import sys

from kennel import teardown
from kennel.local import accounts
from kennel.local.errors import KennelError, RunFailedError
from kennel.local.state import Home

POLL_SECONDS = 2


def run(home: Home, *, models: bool, data: bool, confirmed: bool) -> None:
    """List what there is, ask unless `confirmed`, delete it and look again.

    Raises KennelError when nobody says yes, RunFailedError when something is left.
    """
    account = accounts.find(home)
    place = teardown.Account(account.client, account.names, say=print, poll_seconds=POLL_SECONDS)
    with accounts.refusals(account.names):
        found = teardown.found(place, models=models, data=data)
        if not found:
            print(f"There is nothing of {account.names.classifier} to delete.")
        else:
            print(f"In account {account.names.account_id}, {account.names.region}:")
            print("\n".join(f"  {line}" for line in found))
            _ask(confirmed)
            try:
                teardown.delete(place, models=models, data=data)
                teardown.check(place, models=models, data=data)
            except teardown.TeardownError as error:
                raise RunFailedError(str(error)) from error
    print(teardown.what_stays(account.names))


def _ask(confirmed: bool) -> None:
    if confirmed:
        return
    if not sys.stdin.isatty():
        raise KennelError("Nothing was deleted, as there is nobody to ask: give --yes to delete all of this.")
    if input("Delete all of this? It cannot be brought back. [y/N] ").strip().lower() not in ("y", "yes"):
        raise KennelError("Nothing was deleted.")
