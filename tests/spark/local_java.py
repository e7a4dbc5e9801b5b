"""Which Java is here."""

import re
import shutil
import subprocess


def java_version():
    """17 for "17.0.15", 8 for "1.8.0"; 0 without Java."""
    if shutil.which("java") is None:
        return 0
    said = subprocess.run(["java", "-version"], capture_output=True, text=True).stderr
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    return int(found[1]) if found else 0
