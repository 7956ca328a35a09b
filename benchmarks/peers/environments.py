"""The peers' environments: one virtual environment each, made once from the package index, versions pinned here."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

TORCH = "torch==2.13.0"
ENVIRONMENTS: dict[str, tuple[str, ...]] = {
    # JoeyNMT 2.3.0 imports importlib_metadata, which it does not declare, and asks for this sentencepiece
    "joeynmt": (TORCH, "joeynmt==2.3.0", "sentencepiece==0.2.0", "importlib_metadata==10.2.0"),
    # the trainer of transformers 5.23.0 asks for accelerate
    "marian": (TORCH, "transformers==5.23.0", "accelerate==1.15.0", "numpy==2.4.6"),
    # the commands of Eole 0.6.4 import aiohttp, which it does not declare; what is called here does not
    "eole": (TORCH, "eole==0.6.4"),
    "ctranslate2": ("ctranslate2==4.8.5", "numpy==2.4.6"),
}
LOG_LINES = 3
"""Last lines of pip's output that stand in the reason of a failure."""


class Unavailable(Exception):
    """A candidate cannot be measured here; the text says why."""


@dataclass(frozen=True)
class Environments:
    """Where the environments lie, and what pip is told beside the requirements."""

    folder: Path
    pip_arguments: tuple[str, ...]

    def python(self, name: str) -> Path:
        """The interpreter of an environment, which is installed if it is not there as pinned.

        Raises:
            Unavailable: when it cannot be installed.
        """
        home = self.folder / name
        python, stamp = home / "bin" / "python", home / "requirements.txt"
        requirements = "\n".join(ENVIRONMENTS[name]) + "\n"
        if stamp.exists() and stamp.read_text(encoding="utf-8") == requirements:
            return python
        print(f"installing {name} into {home}: {', '.join(ENVIRONMENTS[name])}", flush=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        _run([sys.executable, "-m", "venv", "--clear", str(home)], name)
        _run([str(python), "-m", "pip", "install", "-q", *self.pip_arguments, *ENVIRONMENTS[name]], name)
        stamp.write_text(requirements, encoding="utf-8")
        return python


def _run(command: list[str], name: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise Unavailable(f"{name} cannot be installed: {error}") from error
    if done.returncode:
        lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")] or lines
        raise Unavailable(f"{name} cannot be installed: " + " / ".join(errors[-LOG_LINES:]))
