"""How much of the machine one sandbox may use."""

from dataclasses import dataclass, replace

GIB = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxLimits:
    """What holds each number on Linux; 0 means no limit.

    memory_bytes: all processes together. By a memory cgroup where the bot may make one (the kernel then ends the
        biggest process at once); always by a look every 0.2 s that ends the command; and per process by RLIMIT_DATA,
        which leaves address space alone that is only reserved, as V8, Java and Go do (RLIMIT_AS breaks them).
    pids: processes and threads, by RLIMIT_NPROC (holds because the sandbox never runs as root).
    disk_bytes, tmp_bytes: the work tree; each of /tmp, home and /dev/shm. Memory file systems of that size.
    files_bytes: what is in all of them together, by the same look and one at each command's end: past it no file may
        grow. With memory_bytes it makes the cgroup's limit; where there is no cgroup see `apart`.
    inodes: files and directories in all of them, by the same look every 0.2 s.
    file_bytes, open_files, cpu_s: one file, one process, by RLIMIT_FSIZE, RLIMIT_NOFILE, RLIMIT_CPU.
    wall_clock_s: the sandbox's whole life; the host ends it.
    """

    memory_bytes: int = 4 * GIB
    pids: int = 512
    disk_bytes: int = 7 * GIB
    tmp_bytes: int = 7 * GIB
    files_bytes: int = 7 * GIB
    inodes: int = 500_000
    file_bytes: int = 2 * GIB
    open_files: int = 4_096
    cpu_s: int = 3_600
    wall_clock_s: float = 7_200.0

    def together(self) -> int:
        """What processes and files may take of the machine's memory."""
        return self.memory_bytes + self.files_bytes

    def apart(self) -> "SandboxLimits":
        """For where no cgroup holds all files together: file systems that do by their own sizes."""
        share = self.files_bytes // 7
        sizes = replace(self, disk_bytes=min(self.disk_bytes, 4 * share), tmp_bytes=min(self.tmp_bytes, share))
        return sizes if share else self

    def inside(self) -> dict[str, int]:
        """The part that holds inside, under the names the helper knows."""
        return {
            "memory": self.memory_bytes,
            "inodes": self.inodes,
            "files": self.files_bytes,
            "NPROC": self.pids,
            "DATA": self.memory_bytes,
            "FSIZE": self.file_bytes,
            "NOFILE": self.open_files,
            "CPU": self.cpu_s,
        }
