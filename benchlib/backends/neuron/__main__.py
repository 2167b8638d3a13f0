"""``python -m benchlib.backends.neuron [DIRECTORY]``: is this host ready?

Exit status 0: every check passed; 1: one did not. The directory is where the artifacts will lie.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchlib.backends.neuron.host import NeuronHost
from benchlib.backends.neuron.preflight import preflight


def main() -> int:
    """Print one line per check."""
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else Path.cwd()
    checks = preflight(NeuronHost.from_environment(), directory)
    for check in checks:
        sys.stdout.write(f"{'ok  ' if check.passed else 'FAIL'} {check.name:14} {check.advice}\n")
    return 0 if all(check.passed for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
