"""The parts of the Modal stand-in that know what a container is made of: images, files and secrets.

An image is not built here: its commands are kept for a test to read, and containers run on this machine's Python, with
those of its packages that the image's requirements name. The files that are added to it are laid out for real.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from grpclib import GRPCError, Status
from modal_proto import api_pb2

from tests.standins.modal.server import ModalStandIn

REQUIREMENTS = "/.requirements.txt"  # the SDK's name for it


class Images:
    """`commands` are a Dockerfile's lines, by image, those of its base image first; `requirements` what pip installs,
    "" for nothing."""

    def __init__(self, standin: ModalStandIn) -> None:
        self._standin = standin
        self._ids: dict[bytes, str] = {}
        self.commands: dict[str, tuple[str, ...]] = {}
        self.requirements: dict[str, str] = {}

    async def ImageGetOrCreate(self, request: api_pb2.ImageGetOrCreateRequest) -> api_pb2.ImageGetOrCreateResponse:
        key = request.image.SerializeToString(deterministic=True)
        if key not in self._ids:
            self._ids[key] = self._standin.new_id("im")
            bases = [base.image_id for base in request.image.base_images]
            below = [line for base in bases for line in self.commands[base]]
            self.commands[self._ids[key]] = (*below, *request.image.dockerfile_commands)
            given = [one.data.decode() for one in request.image.context_files if one.filename == REQUIREMENTS]
            self.requirements[self._ids[key]] = "\n".join([*(self.requirements[base] for base in bases), *given])
        built = api_pb2.GenericResult(status=api_pb2.GenericResult.GENERIC_STATUS_SUCCESS)
        metadata = api_pb2.ImageMetadata(image_builder_version=request.builder_version)
        return api_pb2.ImageGetOrCreateResponse(image_id=self._ids[key], result=built, metadata=metadata)


@dataclass
class Mounts:
    standin: ModalStandIn
    _contents: dict[str, bytes] = field(default_factory=dict)
    _files: dict[str, tuple[api_pb2.MountFile, ...]] = field(default_factory=dict)

    async def MountPutFile(self, request: api_pb2.MountPutFileRequest) -> api_pb2.MountPutFileResponse:
        if request.WhichOneof("data_oneof") is not None:
            assert hashlib.sha256(request.data).hexdigest() == request.sha256_hex
            self._contents[request.sha256_hex] = request.data
        return api_pb2.MountPutFileResponse(exists=request.sha256_hex in self._contents)

    async def MountBatchedCheckExistence(
        self, request: api_pb2.MountBatchedCheckExistenceRequest
    ) -> api_pb2.MountBatchedCheckExistenceResponse:
        missing = [sha256 for sha256 in request.sha256_hex_hashes if sha256 not in self._contents]
        return api_pb2.MountBatchedCheckExistenceResponse(missing_sha256_hex_hashes=missing)

    async def MountGetOrCreate(self, request: api_pb2.MountGetOrCreateRequest) -> api_pb2.MountGetOrCreateResponse:
        """A mount with a name is the SDK's own, which this machine has."""
        mount_id = self.standin.new_id("mo")
        self._files[mount_id] = tuple(request.files)
        return api_pb2.MountGetOrCreateResponse(mount_id=mount_id, handle_metadata=api_pb2.MountHandleMetadata())

    def lay_out(self, mount_ids: Iterable[str], root: Path) -> None:
        for mount_id in mount_ids:
            for file in self._files[mount_id]:
                path = root / file.filename.lstrip("/")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(self._contents[file.sha256_hex])


class Secrets:
    """`values` is by name."""

    def __init__(self, standin: ModalStandIn) -> None:
        self._standin = standin
        self._ids: dict[str, str] = {}
        self.values: dict[str, dict[str, str]] = {}

    async def SecretGetOrCreate(self, request: api_pb2.SecretGetOrCreateRequest) -> api_pb2.SecretGetOrCreateResponse:
        name = request.deployment_name or self._standin.new_id("nameless")
        if request.env_dict:
            if name in self.values and request.object_creation_type == FAIL_IF_EXISTS:
                raise GRPCError(Status.ALREADY_EXISTS, f"There is a secret {name} already.")
            self.values[name] = dict(request.env_dict)
        if name not in self.values:
            raise GRPCError(Status.NOT_FOUND, f"There is no secret {name}.")
        missing = [key for key in request.required_keys if key not in self.values[name]]
        if missing:
            raise GRPCError(Status.FAILED_PRECONDITION, f"Secret {name} is missing key(s): {', '.join(missing)}")
        secret_id = self._ids.setdefault(name, self._standin.new_id("st"))
        return api_pb2.SecretGetOrCreateResponse(secret_id=secret_id, metadata=api_pb2.SecretMetadata(name=name))

    def environment(self, secret_ids: Iterable[str]) -> dict[str, str]:
        names = {secret_id: name for name, secret_id in self._ids.items()}
        return {key: value for secret_id in secret_ids for key, value in self.values[names[secret_id]].items()}


FAIL_IF_EXISTS = api_pb2.OBJECT_CREATION_TYPE_CREATE_FAIL_IF_EXISTS
