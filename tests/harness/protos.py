"""The stubs of the gRPC API, generated from `proto/` when they are first needed.

`pb` has every message, enum value and stub of package `fjord.v1` under its own name, such as `pb.Record`.
"""

import hashlib
import importlib
import os
import shutil
import sys
import tempfile
from pathlib import Path
from types import ModuleType, SimpleNamespace

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc

from .paths import CACHE, REPOSITORY

PROTOS = REPOSITORY / "proto"
PACKAGE = "fjord.v1"
DESCRIPTORS = "descriptors.binpb"


def sources() -> list[Path]:
    """The proto files of the package, by name; what brokers say to each other is no part of it."""
    return sorted(PROTOS.joinpath(*PACKAGE.split(".")).glob("*.proto"))


def generated() -> Path:
    """The folder with the stubs of the protos as they are now; made if it is not there."""
    digest = hashlib.sha256()
    for path in sources():
        digest.update(f"{path.relative_to(PROTOS)}\0".encode() + path.read_bytes() + b"\0")
    folder = CACHE / "stubs" / digest.hexdigest()[:16]
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = tempfile.mkdtemp(dir=folder.parent)
    try:
        options = [f"--python_out={unfinished}", f"--grpc_python_out={unfinished}"]
        described = [f"--descriptor_set_out={unfinished}/{DESCRIPTORS}", "--include_source_info", "--include_imports"]
        code = protoc.main(["protoc", f"-I{PROTOS}", *options, *described, *map(str, sources())])
        if code != 0:
            raise RuntimeError(f"protoc ended with {code}")
        os.rename(unfinished, folder)
    except OSError:
        # Somebody else was faster.
        if not folder.exists():
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def descriptors() -> FileDescriptorSet:
    """All files as they were compiled, with their comments."""
    return FileDescriptorSet.FromString((generated() / DESCRIPTORS).read_bytes())


def _modules() -> list[ModuleType]:
    sys.path.insert(0, str(generated()))
    try:
        stems = [".".join(path.relative_to(PROTOS).with_suffix("").parts) for path in sources()]
        return [importlib.import_module(stem + kind) for stem in stems for kind in ("_pb2", "_pb2_grpc")]
    finally:
        sys.path.pop(0)


pb = SimpleNamespace(
    **{name: found for module in _modules() for name, found in vars(module).items() if not name.startswith("_")}
)
