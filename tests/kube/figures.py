"""What was measured while a test ran. No test depends on it; it is told at the end."""

import time
from contextlib import contextmanager


class Figures:
    """The figures of a run."""

    def __init__(self):
        self.lines: list[str] = []

    def tell(self, what: str, **values) -> None:
        """Notes some numbers."""
        told = ", ".join(
            f"{name} {value:.1f}" if isinstance(value, float) else f"{name} {value}" for name, value in values.items()
        )
        self.lines.append(f"{what}: {told}")

    @contextmanager
    def seconds(self, what: str):
        """Notes how long something takes."""
        begin = time.monotonic()
        yield
        self.tell(what, seconds=time.monotonic() - begin)
