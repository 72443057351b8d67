"""Serves one model, as SageMaker's PyTorch inference images do: `GET /ping` and `POST /invocations`.

Usage: `python -P serving.py`; it listens on `SAGEMAKER_BIND_TO_PORT` once the model is loaded. The model is in
`/opt/ml/model` (`SAGEMAKER_BASE_DIR` stands in for `/opt/ml`), the user's functions in `code/$SAGEMAKER_PROGRAM` there
(`inference.py` unless said otherwise):

    model_fn(model_dir) -> model              once, before the first request is accepted
    input_fn(body, content_type) -> data      body: str for application/json and text/csv, else bytearray
    predict_fn(data, model) -> prediction
    output_fn(prediction, accept) -> str or bytes, or (str or bytes, content type)
    transform_fn(model, body, content_type, accept)   in place of the last three

Each may take one argument more, the context, and each has a default but `transform_fn`. An exception answers with its
`status_code` attribute, 500 without one. Calls are made one at a time, as by one worker of the image's model server,
and by the thread that loaded the model: OpenMP's threads belong to the thread that calls it, and those of several would
wait for each other's processors.
`code/requirements.txt` is installed before this starts (see requirements.py).

The contract is that of https://github.com/aws/sagemaker-pytorch-inference-toolkit. Standard library only, and torch or
NumPy only where a default needs them: nothing here adds to the seconds that importing torch takes.
"""

import importlib
import io
import json
import os
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler
from inspect import signature
from pathlib import Path
from queue import SimpleQueue
from socketserver import ThreadingTCPServer
from types import ModuleType
from typing import Any

PLAIN = {"Content-Type": "text/plain"}
JSON, CSV, NPY = "application/json", "text/csv", "application/x-npy"
TEXT = (JSON, CSV)
NAMES = ("model_fn", "input_fn", "predict_fn", "output_fn", "transform_fn")

Transform = Callable[[bytearray, str, str], tuple[bytes, str]]
Answer = tuple[int, bytes, Mapping[str, str]]  # status, content, headers


class BaseInferenceToolkitError(Exception):
    """The base of the package's own errors, which scripts derive theirs from to be answered with a status."""

    def __init__(self, status_code: int, message: str, phrase: str) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.message = message
        self.phrase = phrase


class RequestError(BaseInferenceToolkitError):
    """A request that the default functions cannot read or answer."""

    def __init__(self, status_code: int, message: str) -> None:
        super().__init__(status_code, message, message)


class UnsupportedFormatError(RequestError):
    """A content type that is not known here."""

    def __init__(self, content_type: str) -> None:
        super().__init__(415, f"Content type {content_type} is not supported; define input_fn to read it")


class Context:
    """What the functions are told of the one request in progress, and tell of its answer, as by the image's server.

    There a batch holds several requests, so its methods take the number of one; here it is always 0.
    """

    def __init__(self, model_dir: str) -> None:
        self.system_properties = {"model_dir": model_dir}
        self.begin({})

    def begin(self, headers: Mapping[str, str]) -> None:
        """Another request."""
        self._request = {name.lower(): value for name, value in headers.items()}
        self.status = 200
        self.response: dict[str, str] = {}

    def get_request_header(self, idx: int, key: str) -> str | None:
        """A header of the request, or None."""
        return self._request.get(key.lower())

    def get_all_request_header(self, idx: int) -> dict[str, str]:
        """All headers of the request, their names in lower case."""
        return dict(self._request)

    def set_response_header(self, idx: int, key: str, value: str) -> None:
        """Give the answer a header."""
        self.response[key] = value

    def set_response_content_type(self, idx: int, value: str) -> None:
        """Give the answer another type than the one that output_fn returns."""
        self.response["Content-Type"] = value

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:
        """Give the answer a status."""
        self.status = code


def default_model_fn(model_dir: str) -> Any:
    """The TorchScript model `model.pt`."""
    path = Path(model_dir, "model.pt")
    if not path.exists():
        raise FileNotFoundError("there is no model_fn, and no TorchScript model.pt for the default one to load")
    import torch

    load_script: Any = torch.jit.load
    return load_script(path, map_location="cuda" if torch.cuda.is_available() else "cpu").eval()


def decode(body: str | bytes | bytearray, content_type: str) -> Any:
    """A NumPy array from JSON, CSV or NPY. UnsupportedFormatError for any other type, ValueError for what is none."""
    import numpy as np

    text = body if isinstance(body, str) else body.decode() if content_type in TEXT else ""
    if content_type == JSON:
        return np.array(json.loads(text))
    if content_type == CSV:
        return np.genfromtxt(io.StringIO(text), delimiter=",")
    if content_type == NPY and not isinstance(body, str):
        return np.load(io.BytesIO(body), allow_pickle=False)
    raise UnsupportedFormatError(content_type)


def encode(values: Any, content_type: str) -> str | bytes:
    """An array or nested lists as JSON, CSV or NPY. UnsupportedFormatError for another type."""
    if content_type == JSON:
        return json.dumps(values, default=lambda array: array.tolist())
    if content_type not in (CSV, NPY):
        raise UnsupportedFormatError(content_type)
    import numpy as np

    buffer = io.BytesIO()
    np.savetxt(buffer, values, delimiter=",", fmt="%s") if content_type == CSV else np.save(buffer, values)
    return buffer.getvalue()


def default_input_fn(body: str | bytearray, content_type: str) -> Any:
    """A tensor from JSON, CSV or NPY."""
    import torch

    try:
        array = decode(body, content_type)
        tensor = torch.from_numpy(array.astype("float32") if content_type in TEXT else array)
    except (ValueError, TypeError, EOFError) as error:
        raise RequestError(400, f"The body is not readable as {content_type}: {error}") from error
    return tensor.to("cuda" if torch.cuda.is_available() else "cpu")


def default_predict_fn(data: Any, model: Any) -> Any:
    """The model called on the data, without gradients where it is torch's."""
    torch = sys.modules.get("torch")
    if torch is None:
        return model(data)
    with torch.no_grad():
        return model(data)


def default_output_fn(prediction: Any, accept: str) -> tuple[str | bytes, str]:
    """The prediction (a tensor, an array or nested lists) as the first type of `accept` that is JSON, CSV or NPY."""
    if hasattr(prediction, "detach"):
        prediction = prediction.detach().cpu().numpy()
    for choice in (part.split(";")[0].strip() for part in accept.split(",")):
        if choice in (JSON, CSV, NPY):
            return encode(prediction, choice), choice
    raise RequestError(406, f"Accept {accept} is not supported; define output_fn to write it")


def provide_toolkit() -> None:
    """What scripts import of sagemaker_inference, a package that the images have: types, decoder, encoder, errors."""
    toolkit = sys.modules["sagemaker_inference"] = ModuleType("sagemaker_inference")
    types = {"JSON": JSON, "CSV": CSV, "NPY": NPY, "OCTET_STREAM": "application/octet-stream", "ANY": "*/*"}
    parts: dict[str, dict[str, Any]] = {
        "content_types": {**types, "UTF8_TYPES": list(TEXT)},
        "decoder": {"decode": decode},
        "encoder": {"encode": encode},
        "errors": {one.__name__: one for one in (BaseInferenceToolkitError, UnsupportedFormatError)},
    }
    for name, members in parts.items():
        module = sys.modules[f"{toolkit.__name__}.{name}"] = ModuleType(f"{toolkit.__name__}.{name}")
        module.__dict__.update(members)
        setattr(toolkit, name, module)


def user_module(code: Path, program: str) -> ModuleType | None:
    """The user's module, or None when there is none; its directory goes first on `sys.path`."""
    path = code / program
    sys.path.insert(0, str(path.parent))
    return importlib.import_module(path.stem) if path.exists() else None


def with_context(function: Callable[..., Any], arguments: int, context: Context) -> Callable[..., Any]:
    """`function`, given the context too where it takes one argument more. TypeError where it takes another number."""
    takes = len(signature(function).parameters)
    if takes == arguments + 1:
        return lambda *values: function(*values, context)
    if takes != arguments:
        raise TypeError(f"{function.__name__} takes {takes} arguments, not {arguments} (or one more, the context)")
    return function


def text(body: bytearray, content_type: str) -> str:
    """The body as text. RequestError when it is none, which the image's own server answers with 500."""
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise RequestError(400, f"The body is not readable as {content_type}: {error}") from error


def load(base: Path, program: str) -> tuple[Transform, Context]:
    """Load the model. Returns what turns a request's body, content type and accept into a response and its type.

    With it goes the context that the user's functions see.
    """
    model_dir = base / "model"
    provide_toolkit()
    module = user_module(model_dir / "code", program)
    context = Context(str(model_dir))
    own = {name: getattr(module, name, None) for name in NAMES}
    if own["transform_fn"] and (own["input_fn"] or own["predict_fn"] or own["output_fn"]):
        raise ValueError(f"{program} defines transform_fn, so it must not define input_fn, predict_fn or output_fn")
    if module is None and not (model_dir / "model.pt").exists():
        raise FileNotFoundError(f"model.tar.gz holds neither code/{program} nor a TorchScript model.pt")

    model = with_context(own["model_fn"] or default_model_fn, 1, context)(str(model_dir))
    input_fn = with_context(own["input_fn"] or default_input_fn, 2, context)
    predict_fn = with_context(own["predict_fn"] or default_predict_fn, 2, context)
    output_fn = with_context(own["output_fn"] or default_output_fn, 2, context)
    transform_fn = with_context(own["transform_fn"], 4, context) if own["transform_fn"] else None

    def transform(body: bytearray, content_type: str, accept: str) -> tuple[bytes, str]:
        data = text(body, content_type) if content_type in TEXT else body
        if transform_fn:
            result = transform_fn(model, data, content_type, accept)
        else:
            result = output_fn(predict_fn(input_fn(data, content_type), model), accept)
        content, content_type = result if isinstance(result, tuple) else (result, accept)
        return content.encode() if isinstance(content, str) else bytes(content), content_type

    return transform, context


class InferenceServer(ThreadingTCPServer):
    """Listens on a loopback port. (http.server's own class would look up the host's name first.)"""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), InferenceHandler)
        self.waiting: SimpleQueue[tuple[bytearray, Mapping[str, str], Future[Answer]]] = SimpleQueue()

    def work(self, transform: Transform, context: Context) -> None:
        """Answer what is waiting, one after another, until killed."""
        while True:
            body, headers, answer = self.waiting.get()
            answer.set_result(answered(transform, context, body, headers))


def answered(transform: Transform, context: Context, body: bytearray, headers: Mapping[str, str]) -> Answer:
    """What the user's functions make of one request."""
    content_type, accept = headers.get("content-type", JSON), headers.get("accept", "*/*")
    context.begin(headers)
    try:
        content, answer_type = transform(
            body, content_type.partition(";")[0].strip().lower(), JSON if accept == "*/*" else accept
        )
        return context.status, content, {"Content-Type": answer_type} | context.response
    except Exception as error:  # the edge: whatever the user's code raises is an answer
        trace = traceback.format_exc()
        sys.stderr.write(trace)
        return getattr(error, "status_code", 500), f"{error}\n{trace}".encode(), PLAIN


class InferenceHandler(BaseHTTPRequestHandler):
    """One connection, kept alive between requests."""

    server: InferenceServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body leave in one packet

    def do_GET(self) -> None:
        """The health check: the model is loaded, so all is well."""
        self._answer(200 if self.path == "/ping" else 404, b"", PLAIN)

    def do_POST(self) -> None:
        """One invocation."""
        length = self.headers.get("Content-Length", "0")
        if not (length.isascii() and length.isdigit()):
            self.close_connection = True  # where the body ends is not known
            self._answer(400, b"Content-Length must be a number of bytes", PLAIN)
            return
        body = bytearray(self.rfile.read(int(length)))
        if self.path != "/invocations":
            self._answer(404, b"", PLAIN)
            return
        answer: Future[Answer] = Future()
        self.server.waiting.put((body, {name.lower(): value for name, value in self.headers.items()}, answer))
        self._answer(*answer.result())

    def log_request(self, *_: Any) -> None:
        """Nothing: the log is the user's code's."""

    def _answer(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def main() -> None:
    """Load the model, then serve until killed."""
    base = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
    transform, context = load(base, os.environ.get("SAGEMAKER_PROGRAM", "inference.py"))
    server = InferenceServer(int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.work(transform, context)


if __name__ == "__main__":
    main()
