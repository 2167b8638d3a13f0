"""Write a report: the file appears whole or not at all."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchlib.errors import BenchError


def publish(output: Path, content: str | bytes) -> int:
    """Put the content in the place of the file, and return its size in bytes.

    Raises:
        BenchError: it cannot be written; what was there before is left as it was.
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        with tempfile.TemporaryDirectory(prefix=".bench-report-", dir=output.parent) as directory:
            path = Path(directory) / "report"
            path.write_bytes(data)
            path.replace(output)
    except OSError as error:
        raise BenchError(f"{output} could not be written: {error.strerror or error}") from error
    return len(data)
