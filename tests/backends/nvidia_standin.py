"""A stand-in for nvidia-smi: a real program that answers from files, which tests change as they go."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchlib.backends.cuda import NvidiaHost

L4 = "0, GPU-aaaa1111, NVIDIA L4, 570.124.06, 8.9, 00000000:3B:00.0, [N/A]"
T4 = "1, GPU-bbbb2222, Tesla T4, 570.124.06, 7.5, 00000000:AF:00.0, [N/A]"

SCRIPT = """#!/bin/sh
case "$*" in
    *"{newer_field}"*) echo "not a valid field to query"; exit 2 ;;
    *--query-compute-apps=gpu_uuid,pid,process_name*) cat {folder}/processes ;;
    *--query-gpu=index,uuid,*) cat {folder}/gpus ;;
    *--query-gpu=uuid,ecc*) cat {folder}/errors ;;
    *--query-gpu=*reasons.active*--loop-ms=*) while :; do cat {folder}/clocks; sleep 0.02; done ;;
    *--query-gpu=*reasons.active*) cat {folder}/clocks ;;
    *) echo "unknown: $*" >&2; exit 2 ;;
esac
"""


@dataclass(frozen=True)
class NvidiaStandIn:
    """Each file holds what nvidia-smi prints for one question."""

    folder: Path

    @classmethod
    def build(cls, folder: Path, *gpus: str, newest: bool = True) -> NvidiaStandIn:
        """With these rows of GPUs, all healthy and idle; ``newest``: knows today's names of the fields."""
        folder.mkdir()
        made = cls(folder)
        made.say("gpus", *gpus)
        made.say("errors", *(f"{row.split(', ')[1]}, 0" for row in gpus))
        made.say("clocks", *(f"{row.split(', ')[1]}, 2040, 0x0000000000000000" for row in gpus))
        made.say("processes")
        newer_field = "no such field" if newest else "clocks_event_reasons.active"
        smi = folder / "nvidia-smi"
        smi.write_text(SCRIPT.format(folder=folder, newer_field=newer_field))
        smi.chmod(0o755)
        return made

    def say(self, what: str, *lines: str) -> None:
        """Change an answer; the next question gets the old one or the new one, never half of it."""
        new = self.folder / f"{what}.new"
        new.write_text("".join(f"{line}\n" for line in lines))
        new.replace(self.folder / what)

    def host(self, control: Path | None = None, visible: str | None = None) -> NvidiaHost:
        """The host as the backend sees it; without the driver's device file unless ``control`` names one."""
        return NvidiaHost(
            str(self.folder / "nvidia-smi"),
            control=control or self.folder / "nvidiactl",
            pci=self.folder / "pci",
            visible=visible,
        )
