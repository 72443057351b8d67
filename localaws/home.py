"""The directory in which a local AWS keeps all it has: held by one server at a time, with the root key in it."""

import configparser
import fcntl
import io
import os
import secrets
import string
import time
from pathlib import Path

from localaws.cloud import Credentials

CREDENTIALS = "credentials"
KEY_ID_ALPHABET = string.ascii_uppercase + "234567"
# What a killed server had forked ends with it, but a moment later, and until then shares its lock.
PATIENCE_SECONDS = 5
SECRET_ALPHABET = string.ascii_letters + string.digits + "+/"


class StartError(Exception):
    """Why the server cannot start, and what to do about it, in one line."""


def hold(home: Path) -> int:
    """Make the directory, for its owner only, and keep other servers out of it until this process ends.

    Returns the open lock file's descriptor. Raises StartError when a server is using the directory.
    """
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(home / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StartError(f"cannot write in {home} ({error.strerror}); name another directory with --home") from error
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise StartError(f"{home} is in use by a running localaws; stop it or name another --home") from error
            time.sleep(0.1)


def root_key(home: Path) -> Credentials:
    """The root key kept in the directory, made on the first call. StartError for a file that holds none."""
    path = home / CREDENTIALS
    if not path.exists():
        _write_new_key(path)
    file = configparser.RawConfigParser()
    try:
        file.read_string(path.read_text())
        return Credentials(file["default"]["aws_access_key_id"], file["default"]["aws_secret_access_key"])
    except (configparser.Error, KeyError, UnicodeDecodeError) as error:
        raise StartError(f"{path} holds no key under [default]; delete it to have a new one made") from error


def _write_new_key(path: Path) -> None:
    file = configparser.RawConfigParser()
    file["default"] = {
        "aws_access_key_id": "AKIA" + "".join(secrets.choice(KEY_ID_ALPHABET) for _ in range(16)),
        "aws_secret_access_key": "".join(secrets.choice(SECRET_ALPHABET) for _ in range(40)),
    }
    text = io.StringIO()
    file.write(text)
    # Whole or not at all: a server killed here must not leave half a key.
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as new:
        new.write(text.getvalue())
    draft.rename(path)
