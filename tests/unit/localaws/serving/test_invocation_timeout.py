"""An invocation that outlasts SageMaker's patience."""

import asyncio
import socket
from pathlib import Path

import pytest

from localaws.cloud import Cloud, Credentials
from localaws.errors import AwsError
from localaws.sagemaker import runtime
from localaws.serving.fleet import router
from localaws.serving.instance import Instance
from localaws.serving.router import Pool
from localaws.serving.variant import Variant
from localaws.store import Store


def test_a_container_that_does_not_answer_is_a_model_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "TIMEOUT_SECONDS", 0.2)
    store = Store(tmp_path / "store.db")
    cloud = Cloud(store, tmp_path, "http://127.0.0.1", "000000000000", "us-east-1", Credentials("A", "s"))
    variant = Variant("AllTraffic", "ml.m5.large", "image", "", {}, "role", 1)
    instance = Instance(cloud, "silent", variant, 1)

    async def invoke() -> None:
        try:
            await runtime.invoke_endpoint(cloud, {"EndpointName": "silent", "Body": b"{}"})
        finally:
            for session in runtime._sessions.values():
                await session.close()
            runtime._sessions.clear()

    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and never answers
        instance.port, instance.ready = silent.getsockname()[1], True
        router.replace("silent", {"AllTraffic": Pool(1.0, [instance])})
        try:
            with pytest.raises(AwsError) as refused:
                asyncio.run(invoke())
        finally:
            router.replace("silent", None)
            instance.stop()
            store.close()

    error = refused.value
    assert (error.code, error.status, error.members["OriginalStatusCode"]) == ("ModelError", 424, 0)
    assert "Your invocation timed out while waiting for a response from container primary" in error.message
    assert instance.in_flight == 0
