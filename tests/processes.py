"""Other Python processes, which import the tests' modules as this one does."""

import os
import subprocess
import sys
from pathlib import Path


def in_python(code, *arguments, **environment):
    """A new process; OpenMP gets one thread, because with more of them it hangs in a forked child."""
    start = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
    command = [sys.executable, "-W", "ignore", "-c", start + code, *map(str, arguments)]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        **{k: str(v) for k, v in environment.items()},
    }
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)  # fmt: skip


def output(process):
    out, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors[-3000:]
    return out
