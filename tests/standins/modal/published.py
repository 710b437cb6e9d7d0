"""The part of the Modal stand-in that knows image names and file system snapshots: an image is a directory."""

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path

from grpclib import GRPCError, Status
from modal_proto import api_pb2

from tests.standins.modal.machine import copy_root, make_root
from tests.standins.modal.server import ModalStandIn


@dataclass
class Image:
    """`root` is None for an image that was built rather than saved: it holds what every one holds."""

    root: Path | None = None
    ttl_s: int | None = None
    made_at: float = field(default_factory=time.time)

    @property
    def expired(self) -> bool:
        return self.ttl_s is not None and time.time() > self.made_at + self.ttl_s


class Published:
    """`names` gives the image id of a published name such as `base:latest`."""

    def __init__(self, standin: ModalStandIn) -> None:
        self._standin = standin
        self.names: dict[str, str] = {}
        self.images: dict[str, Image] = {}

    def publish(self, name: str) -> None:
        """As if a small image had been built and published."""
        id = self._standin.new_id("im")
        self.images[id] = Image()
        self.names[name if ":" in name else f"{name}:latest"] = id

    def saved_at(self, ttl_s: int) -> tuple[str, Path]:
        """A new image id and where its files go; it is there for so many seconds, or for ever when that is negative."""
        id = self._standin.new_id("im")
        root = self._standin.home / id
        self.images[id] = Image(root, ttl_s if ttl_s > 0 else None)
        return id, root

    async def unpack(self, image_id: str, root: Path) -> None:
        image = self.images.get(image_id, Image())
        if image.expired:
            raise GRPCError(Status.NOT_FOUND, f"The image {image_id} is gone.")
        if image.root is None:
            make_root(root)
        else:
            await asyncio.to_thread(copy_root, image.root, root)

    async def ImageGetByTag(self, request: api_pb2.ImageGetByTagRequest) -> api_pb2.ImageGetByTagResponse:
        id = self.names.get(request.tag.rsplit("/", 1)[-1], "")
        if not id or (id in self.images and self.images[id].expired):
            raise GRPCError(Status.NOT_FOUND, f"There is no image {request.tag}.")
        return api_pb2.ImageGetByTagResponse(image_id=id)

    async def ImagePublish(self, request: api_pb2.ImagePublishRequest) -> api_pb2.ImagePublishResponse:
        self.names[request.tag.rsplit("/", 1)[-1]] = request.image_id
        return api_pb2.ImagePublishResponse(image_id=request.image_id)
