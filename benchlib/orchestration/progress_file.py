"""The steps of one run as JSON lines in a file, for whoever follows the run from another process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from benchlib.progress import Progress

PROGRESS_FILE_VARIABLE = "BENCH_PROGRESS_FILE"


def tell(progress: Progress) -> None:
    """Append one step to the file that the environment names, if it names one."""
    path = os.environ.get(PROGRESS_FILE_VARIABLE)
    if path:
        with Path(path).open("a") as file:
            file.write(progress.model_dump_json(exclude_none=True) + "\n")


class ProgressReader:
    """Reads what was appended since the last look; the file need not exist yet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def news(self) -> Iterator[Progress]:
        """The steps that are complete in the file and were not given out before."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                try:
                    yield Progress.model_validate_json(line)
                except ValidationError:
                    continue
