"""A small file system of its own, to be filled without harm to anything else."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SIZE_BYTES = 64 << 20
# Users other than root mostly do not have this directory on their path.
_MAKE_EXT4 = shutil.which("mkfs.ext4") or "/usr/sbin/mkfs.ext4"


class SmallDisk:
    """A mounted file system of 64 MiB with some ballast on it."""

    def __init__(self, kind: str, directory: Path):
        """`kind` is `tmpfs`, or `ext4` on a loop device."""
        self.kind, self.directory = kind, directory
        self.image = directory.with_suffix(".image")
        self.ballast = directory / "ballast"

    def mount(self) -> None:
        """Makes and mounts it; skips the test where that is not allowed."""
        self.directory.mkdir(parents=True)
        if self.kind == "tmpfs":
            command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_BYTES},mode=0777", "fjord-tests", str(self.directory)]
        else:
            with open(self.image, "wb") as image:
                image.truncate(SIZE_BYTES)
            subprocess.run([_MAKE_EXT4, "-q", "-m", "0", str(self.image)], check=True)
            command = ["mount", "-o", "loop", str(self.image), str(self.directory)]
        self._as_root(command)
        if self.kind != "tmpfs":
            self._as_root(["chmod", "0777", str(self.directory)])

    def unmount(self) -> None:
        """Throws it away."""
        self._as_root(["umount", str(self.directory)])
        self.image.unlink(missing_ok=True)

    def put_ballast(self, size: int) -> None:
        """Uses up so many bytes with a file that has nothing to do with the broker."""
        with open(self.ballast, "wb") as ballast:
            os.posix_fallocate(ballast.fileno(), 0, size)

    def drop_ballast(self) -> None:
        """Gives them back."""
        self.ballast.unlink()

    def free_bytes(self) -> int:
        """What is left."""
        return shutil.disk_usage(self.directory).free

    @staticmethod
    def _as_root(command: list[str]) -> None:
        prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
        done = subprocess.run([*prefix, *command], capture_output=True, text=True)
        if done.returncode != 0 and command[0] == "mount":
            said = (done.stdout + done.stderr).strip()
            pytest.skip(f"no file system can be mounted; be root, or use unshare --map-root-user --mount: {said}")
        done.check_returncode()
