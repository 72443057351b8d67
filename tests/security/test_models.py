"""A model file is data: code that somebody has hidden in one is refused, and does not run."""

import ast
import contextlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import backbones
import embeddings
import inference
from benchmarks.photos import weights
from job import JobError
from tests.security.pickles import Code

BACKBONE = "efficientnet_lite0"
ROOT = Path(__file__).parents[2]
OURS = [path for folder in ("ml", "lambda", "localaws", "plugins", "dags") for path in (ROOT / folder).rglob("*.py")]


Write = Callable[[object, Path], None]


def raw(content: object, path: Path) -> None:
    """As older versions of torch saved."""
    path.write_bytes(pickle.dumps(content))


WRITERS: dict[str, Write] = {"a model's archive": torch.save, "a bare pickle": raw}


@pytest.fixture(params=[*WRITERS])
def write(request: pytest.FixtureRequest) -> Write:
    return WRITERS[request.param]


def hidden_in(state: dict[str, object], trace: Path) -> dict[str, object]:
    """Code where a tensor would be."""
    return state | {"weight": Code(trace)}


def test_the_code_would_run(tmp_path: Path, write: Write) -> None:
    write(hidden_in({}, tmp_path / "ran"), tmp_path / "head.pth")
    with contextlib.suppress(RuntimeError):  # it is no model: what is found out too late
        torch.load(tmp_path / "head.pth", weights_only=False)
    assert (tmp_path / "ran").exists()


def test_code_in_the_head_does_not_run(tmp_path: Path, write: Write) -> None:
    weights(BACKBONE, tmp_path).rename(tmp_path / "backbone.pth")
    (tmp_path / "classes.json").write_text('["001.Pug", "002.Boxer"]')
    (tmp_path / "model.json").write_text(json.dumps({"backbone": BACKBONE}))
    write(hidden_in({"bias": torch.zeros(2)}, tmp_path / "ran"), tmp_path / "head.pth")
    with pytest.raises(pickle.UnpicklingError):
        inference.model_fn(str(tmp_path))
    assert not (tmp_path / "ran").exists()


def test_code_in_the_backbone_does_not_run(tmp_path: Path, write: Write) -> None:
    write(hidden_in({}, tmp_path / "ran"), tmp_path / "backbone.pth")
    with pytest.raises(backbones.WeightsError, match=f"is not a state_dict of {BACKBONE}"):
        backbones.load(BACKBONE, tmp_path / "backbone.pth")
    assert not (tmp_path / "ran").exists()


def test_code_in_the_vectors_does_not_run(tmp_path: Path) -> None:
    hidden = np.array([Code(tmp_path / "ran")], dtype=object)
    for split in embeddings.SPLITS:
        (tmp_path / split).mkdir()
        np.savez(tmp_path / split / "algo-1.npz", photos=hidden, class_names=hidden, features=hidden)
    with pytest.raises(JobError, match=r"algo-1\.npz has no vectors that can be read"):
        embeddings.classes_of(tmp_path)
    assert not (tmp_path / "ran").exists()


def calls(tree: ast.AST) -> list[tuple[str, ast.Call]]:
    """Calls of a module's function, by their name with the module's."""
    return [(ast.unparse(node.func), node) for node in ast.walk(tree) if isinstance(node, ast.Call)]


@pytest.mark.parametrize("path", OURS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_of_ours_loads_anything_but_weights(path: Path) -> None:
    for name, call in calls(ast.parse(path.read_text())):
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        assert name != "torch.load" or given.get("weights_only") == "True", f"{path}:{call.lineno}"
        assert name != "np.load" or given.get("allow_pickle", "False") == "False", f"{path}:{call.lineno}"
        assert not name.startswith(("pickle.load", "joblib.", "dill.", "shelve.", "marshal.")), f"{path}:{call.lineno}"
