"""The layout of every text file, where no formatter of its own looks after it. Exit status 1 and a list if something is off."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CHECKED = {".c", ".cfg", ".css", ".h", ".ini", ".md", ".py", ".pyi", ".sh", ".toml", ".txt", ".ex", ".exs", ".erl"}
CHECKED_NAMES = {".gitignore", ".python-version", "MANIFEST.in", "run"}
LONGEST_LINE_OF_C = 132


def files() -> list[Path]:
    """What git tracks or would, so that nothing built is looked at; links are followed elsewhere."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout.decode().split("\0")
    paths = (ROOT / name for name in names if name)
    return sorted(
        path
        for path in paths
        if path.is_file() and not path.is_symlink() and (path.suffix in CHECKED or path.name in CHECKED_NAMES)
    )


def faults(path: Path) -> list[str]:
    data = path.read_bytes()
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        return [f"byte {error.start}: not UTF-8"]
    found = []
    if b"\r" in data:
        found.append("carriage returns")
    if data and not data.endswith(b"\n"):
        found.append("no newline at the end")
    if data.endswith(b"\n\n"):
        found.append("blank lines at the end")
    for number, line in enumerate(text.split("\n"), 1):
        if line != line.rstrip():
            found.append(f"line {number}: white space at the end")
        if "\t" in line:
            found.append(f"line {number}: a tab")
        if path.suffix in {".c", ".h"} and len(line) > LONGEST_LINE_OF_C:
            found.append(f"line {number}: {len(line)} characters, at most {LONGEST_LINE_OF_C}")
    return found


def main() -> int:
    checked = files()
    report = [f"{path.relative_to(ROOT)}: {fault}" for path in checked for fault in faults(path)]
    print(*report, f"{len(checked)} text files checked, {len(report)} faults found", sep="\n")
    return 1 if report else 0


if __name__ == "__main__":
    sys.exit(main())
