"""The part of the Modal stand-in that runs functions: each container is a process of Modal's own container runtime.

A container has a folder for its root, with the function's files laid out in it, the packages that its image installs
and no other, an environment of nothing but what Modal gives and the function's secrets, and a server of its own to talk
to, so that it is known who asks.
"""

import asyncio
import os
import signal
import socket
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

from google.protobuf.empty_pb2 import Empty
from grpclib.server import Server
from modal_proto import api_pb2
from modal_proto.api_grpc import ModalClientBase
from modal_proto.task_command_router_grpc import TaskCommandRouterBase

from tests.standins.modal.apps import Apps
from tests.standins.modal.functions import TERMINATED, Call, Functions
from tests.standins.modal.images import Images, Mounts, Secrets
from tests.standins.modal.packages import installed
from tests.standins.modal.server import ModalStandIn, served

HEARTBEAT_S = 10.0
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
LEAVE_S = 30.0  # what a container may take to end when it is told to
MOST_DEATHS = 5  # of one function's containers that took nothing: it cannot start


@dataclass
class Container:
    """What the stand-in does for one container: every call in here is that container's.

    `environment` is the process's; `root` its files; `log` what it wrote; `has` the inputs it works on.
    """

    task_id: str
    function_id: str
    slots: int
    root: Path
    environment: dict[str, str]
    functions: Functions
    process: asyncio.subprocess.Process | None = None
    server: Server | None = None
    has: list[Call] = field(default_factory=list)
    took: int = 0
    result: api_pb2.GenericResult | None = None
    leaving: bool = False

    @property
    def lives(self) -> bool:
        return self.process is not None and self.process.returncode is None and not self.leaving

    @property
    def log(self) -> str:
        return (self.root / "log").read_text()

    async def ContainerHello(self, request: Empty) -> Empty:
        return Empty()

    async def ContainerHeartbeat(
        self, request: api_pb2.ContainerHeartbeatRequest
    ) -> api_pb2.ContainerHeartbeatResponse:
        try:
            async with asyncio.timeout(HEARTBEAT_S):
                await self.functions.until(lambda: any(call.cancelled for call in self.has))
        except TimeoutError:
            return api_pb2.ContainerHeartbeatResponse()
        inputs = [call.input_id for call in self.has if call.cancelled]
        return api_pb2.ContainerHeartbeatResponse(cancel_input_event=api_pb2.CancelInputEvent(input_ids=inputs))

    async def FunctionGetInputs(self, request: api_pb2.FunctionGetInputsRequest) -> api_pb2.FunctionGetInputsResponse:
        call = await self.functions.take(self.function_id, self.task_id, lambda: self.lives)
        if call is None:
            return api_pb2.FunctionGetInputsResponse(inputs=[api_pb2.FunctionGetInputsItem(kill_switch=True)])
        self.has.append(call)
        self.took += 1
        item = api_pb2.FunctionGetInputsItem(
            input_id=call.input_id,
            input=call.input,
            function_call_id=call.id,
            function_call_invocation_type=call.kind,
            retry_count=call.retry_count,
        )
        return api_pb2.FunctionGetInputsResponse(inputs=[item])

    async def FunctionPutOutputs(self, request: api_pb2.FunctionPutOutputsRequest) -> Empty:
        done = {item.input_id for item in request.outputs}
        self.has = [call for call in self.has if call.input_id not in done]
        await self.functions.put_outputs(request.outputs)
        return Empty()

    async def FunctionGetDynamicConcurrency(
        self, request: api_pb2.FunctionGetDynamicConcurrencyRequest
    ) -> api_pb2.FunctionGetDynamicConcurrencyResponse:
        return api_pb2.FunctionGetDynamicConcurrencyResponse(concurrency=request.max_concurrency)

    async def TaskResult(self, request: api_pb2.TaskResultRequest) -> Empty:
        self.result = request.result
        return Empty()


class Containers:
    """`all` are those that run and ran, in the order they were started."""

    def __init__(self, standin: ModalStandIn) -> None:
        self._standin = standin
        self._watching: set[asyncio.Task[None]] = set()
        self._starting = asyncio.Lock()
        self._over = False
        self.all: list[Container] = []

    def of(self, name: str) -> list[Container]:
        """The containers of the function of this name that run."""
        functions = self._standin.part(Functions)
        return [c for c in self._live() if functions.definitions[c.function_id].name == name]

    def _live(self) -> list[Container]:
        return [container for container in self.all if container.lives]

    async def keep_warm(self, function_id: str) -> None:
        async with self._starting:
            settings = self._standin.part(Functions).definitions[function_id].function.autoscaler_settings
            while len([c for c in self._live() if c.function_id == function_id]) < settings.min_containers:
                await self._start(function_id)

    async def wanted(self, function_id: str) -> None:
        """As many as the inputs that wait need, and the function allows."""
        async with self._starting:
            functions = self._standin.part(Functions)
            most = functions.definitions[function_id].function.autoscaler_settings.max_containers or 100
            while True:
                live = [c for c in self._live() if c.function_id == function_id]
                if (
                    self._over
                    or functions.backlog(function_id) <= sum(c.slots - len(c.has) for c in live)
                    or len(live) >= most
                ):
                    return
                await self._start(function_id)

    async def _start(self, function_id: str) -> None:
        functions, task_id = self._standin.part(Functions), self._standin.new_id("ta")
        definition = functions.definitions[function_id]
        root = self._standin.home / "containers" / task_id
        (root / "tmp").mkdir(parents=True)
        (root / "root").mkdir()
        self._standin.part(Mounts).lay_out(definition.function.mount_ids, root)
        requirements = self._standin.part(Images).requirements.get(definition.function.image_id)
        packages = installed(requirements, root / "packages") if requirements else None
        listener = socket.create_server(("127.0.0.1", 0))
        arguments = api_pb2.ContainerArguments(
            task_id=task_id,
            function_id=function_id,
            app_id=definition.app_id,
            function_def=definition.function,
            app_layout=self._standin.part(Apps).layouts[definition.app_id],
        )
        (root / "arguments").write_bytes(arguments.SerializeToString())
        environment = {
            "PATH": PATH,
            "HOME": str(root / "root"),
            "TMPDIR": str(root / "tmp"),
            "PYTHONPATH": os.pathsep.join(map(str, filter(None, (root / "root", packages)))),
            "MODAL_IS_REMOTE": "1",
            "MODAL_SERVER_URL": f"http://127.0.0.1:{listener.getsockname()[1]}",
            "MODAL_TASK_ID": task_id,
            "MODAL_IMAGE_ID": definition.function.image_id,
            "MODAL_CONTAINER_ARGUMENTS_PATH": str(root / "arguments"),
            **self._standin.part(Secrets).environment(definition.function.secret_ids),
        }
        slots = definition.function.max_concurrent_inputs or 1
        container = Container(task_id, function_id, slots, root, environment, functions)
        own = replace(self._standin, parts={Container: container, **self._standin.parts})
        container.server = Server([served(ModalClientBase, own), served(TaskCommandRouterBase, own)])
        await container.server.start(sock=listener)
        with (root / "log").open("wb") as log:
            container.process = await asyncio.create_subprocess_exec(
                *(sys.executable, *(["-S"] if packages else []), "-m", "modal._container_entrypoint"),
                cwd=root / "root",
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.all.append(container)
        watching = asyncio.create_task(self._watch(container))
        self._watching.add(watching)
        watching.add_done_callback(self._watching.discard)

    async def _watch(self, container: Container) -> None:
        """What a container had in hand when it ended goes to another, as it was."""
        assert container.process is not None
        assert container.server is not None
        await container.process.wait()
        container.server.close()
        functions = self._standin.part(Functions)
        left, container.has = container.has, []
        for call in left:
            if self._over:
                call.result = api_pb2.GenericResult(status=TERMINATED)
            elif call.result is None:
                await functions.again(call)
        await functions.tell()
        if not left and not container.leaving and functions.backlog(container.function_id):
            idle = [c for c in self.all if c.function_id == container.function_id and not c.took]
            if len(idle) >= MOST_DEATHS:
                self._standin.faults.append(f"{container.task_id} and others before it ended at once:\n{container.log}")
                return
            await self.wanted(container.function_id)

    # ------------------------------------------------------------ what may happen to a container

    async def kill(self, container: Container) -> None:
        """Without a word, as when its machine is gone: the process and all it started."""
        assert container.process is not None
        os.killpg(container.process.pid, signal.SIGKILL)

    async def take_away(self, container: Container) -> None:
        """As Modal does when it needs the machine: asked first, then killed. From any other thread."""
        await asyncio.wrap_future(container.functions.elsewhere(self._take_away(container)))

    async def _take_away(self, container: Container) -> None:
        assert container.process is not None
        container.leaving = True
        container.process.send_signal(signal.SIGINT)
        try:
            async with asyncio.timeout(LEAVE_S):
                await container.process.wait()
        except TimeoutError:
            await self.kill(container)

    async def replace(self, app_id: str) -> None:
        """What runs of an app gets no more inputs, and leaves when it has answered those it has."""
        functions = self._standin.part(Functions)
        for container in self._live():
            if functions.definitions[container.function_id].app_id == app_id:
                container.leaving = True
        await functions.tell()

    async def stop_app(self, app_id: str) -> None:
        functions = self._standin.part(Functions)
        for container in self._live():
            if functions.definitions[container.function_id].app_id == app_id:
                container.leaving = True
                await self.kill(container)

    async def aclose(self) -> None:
        self._over = True
        for container in self._live():
            container.leaving = True
            await self.kill(container)
        while self._watching:
            await asyncio.wait(self._watching)
