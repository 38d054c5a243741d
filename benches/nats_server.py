"""NATS with JetStream, which the suite `kafka` has as a second peer."""

import re
import urllib.error
import urllib.request
from pathlib import Path

from harness.paths import CACHE, free_port
from harness.server import Server

PROGRAM = CACHE / "bin" / "nats-server"


class Nats(Server):
    """One `nats-server` with file storage. Its settings are those of the block `jetstream`."""

    name = "nats-server"
    forbidden_in_log = re.compile(r"\[FTL\]|panic:")
    # It reports the signal that it obeyed.
    clean_exit_codes = (0, 1)

    def __init__(self, directory: Path, settings: dict[str, str] | None = None):
        super().__init__(directory, settings)
        self.port, self.http_port = free_port(), free_port()

    @property
    def bootstrap(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        settings = {"store_dir": f'"{self.directory / "data"}"', **self.settings}
        block = "".join(f"  {name}: {value}\n" for name, value in settings.items())
        config = self.directory / "nats.conf"
        config.write_text(f"listen: 127.0.0.1:{self.port}\nhttp: 127.0.0.1:{self.http_port}\njetstream {{\n{block}}}\n")
        return [str(PROGRAM), "--config", str(config)]

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}/healthz", timeout=2) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False
