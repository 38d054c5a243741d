"""The broker as the crash tests start it: refused starts, starts that are cut short, and figures."""

import re
import subprocess
import time
import urllib.request

from harness.broker import Broker
from harness.server import READY_TIMEOUT_S, ServerFailed


class CrashBroker(Broker):
    """A broker that may be killed while it starts, and may refuse to start."""

    def start_and_kill(self, after_s: float) -> None:
        """Starts the broker and ends it with SIGKILL after so long, ready or not."""
        process = self.spawn()
        time.sleep(after_s)
        process.kill()
        process.wait()

    def refused_start(self) -> str:
        """Starts the broker, which must end by itself with an error; returns what it logged."""
        logged = self.log_path.stat().st_size if self.log_path.exists() else 0
        process = self.spawn()
        try:
            code = process.wait(READY_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise ServerFailed(f"{self.name} started where it should have refused\n{self.log_tail()}") from None
        assert code > 0, f"{self.name} ended with {code} where it should have refused\n{self.log_tail()}"
        with open(self.log_path, "rb") as log:
            log.seek(logged)
            return log.read().decode(errors="replace")

    def log_text(self) -> str:
        """Everything that was logged so far."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def figure(self, name: str) -> float:
        """The value of a metric without labels."""
        with urllib.request.urlopen(f"{self.http}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        found = re.search(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
        assert found, f"there is no metric {name}"
        return float(found[1])

    def skip_log(self) -> None:
        """Leaves what was logged so far out of the next check."""
        self._log_checked_to = self.log_path.stat().st_size
