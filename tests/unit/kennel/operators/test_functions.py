import io
import os
import shutil
import zipfile
from pathlib import Path

from kennel.config import ROOT
from kennel.operators.functions import archive

PACKAGE = ROOT / "lambda" / "invoke_endpoint"


def test_equal_sources_make_an_equal_archive_whenever_and_wherever(tmp_path: Path) -> None:
    copy = shutil.copytree(PACKAGE, tmp_path / "invoke_endpoint")
    for file in copy.rglob("*"):
        os.utime(file, (10**9, 10**9))
    assert archive(copy) == archive(PACKAGE)


def test_the_archive_holds_the_package_and_nothing_else() -> None:
    names = zipfile.ZipFile(io.BytesIO(archive(PACKAGE))).namelist()
    assert "invoke_endpoint/handler.py" in names
    assert all(name.startswith("invoke_endpoint/") and name.endswith(".py") for name in names)
