"""config.yaml of a run folder: the resolved config, sealed by its last line.

    data: ...
    # before: 5f0c...      one line for every config that the run had before, where a harmless setting was changed
    # sha256: 9b1e...      of all lines above

The seal is the config's hash in the manifests of checkpoints: it, or one before it. For YAML the lines are comments.
"""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from mt_trainer.config import TrainConfig, load_config
from mt_trainer.config.resolved import to_yaml
from mt_trainer.config.yaml_reader import LARGEST_FILE_BYTES
from mt_trainer.errors import CheckpointError, Problem
from mt_trainer.files import write_whole

CONFIG_FILE = "config.yaml"


@dataclass(frozen=True)
class SealedConfig:
    """What config.yaml says.

    Attributes:
        path: of the file.
        seal: SHA-256, in hexadecimal, over the lines above it.
        before: the seals that the run had before, oldest first.
    """

    path: Path
    config: TrainConfig
    seal: str
    before: tuple[str, ...]

    def require_one_of_its(self, seal: str, *, checkpoint: str) -> None:
        """Hold the seal that a checkpoint names against those of the run.

        Raises:
            CheckpointError: MT106, when it is none of them.
        """
        if seal not in (*self.before, self.seal):
            message = f"this is not the config that {checkpoint} was trained with"
            raise CheckpointError(Problem("MT106", message, where=str(self.path), help="restore it from a copy"))


def require_config(run_folder: Path) -> Path:
    """The path of the config of a run, after a look at every bit of it.

    Raises:
        CheckpointError: MT104, when the folder has none; MT106, when it is not what was written.
    """
    path = run_folder / CONFIG_FILE
    if not os.path.isfile(path):
        message = "not a run folder: it has no config.yaml"
        help_ = "give the folder that mt-train names when it starts, such as `runs/demo`"
        raise CheckpointError(Problem("MT104", message, where=str(run_folder), help=help_))
    is_config = path.stat().st_size <= LARGEST_FILE_BYTES
    above, seal = _parts(path.read_bytes()) if is_config else (b"", "")
    if hashlib.sha256(above).hexdigest() != seal:
        message = "the config of the run is not what was written: its last line does not fit the lines above"
        help_ = "restore it from a copy; settings are changed with --set, or in the config file that mt-train is given"
        raise CheckpointError(Problem("MT106", message, where=str(path), help=help_))
    return path


def read_sealed_config(run_folder: Path) -> SealedConfig:
    """The config of a run and its seals.

    Raises:
        CheckpointError: MT104 or MT106, as `require_config`.
        ConfigError: it is intact, but this version of mt_trainer does not take it.
    """
    path = require_config(run_folder)
    above, seal = _parts(path.read_bytes())
    before = tuple(found.decode() for found in re.findall(rb"^# before: (\w+)$", above, re.MULTILINE))
    return SealedConfig(path, load_config(path), seal, before)


def write_sealed_config(run_folder: Path, config: TrainConfig) -> None:
    """Write the config of a run, unless it is there already.

    Raises:
        OSError: the disk does not take it; then the file is as it was.
        CheckpointError: MT106, when the one that is there is not what was written.
    """
    before: tuple[str, ...] = ()
    if (run_folder / CONFIG_FILE).exists():
        stored = read_sealed_config(run_folder)
        if stored.config == config:
            return
        before = (*stored.before, stored.seal)
    above = (to_yaml(config) + "".join(f"# before: {seal}\n" for seal in before)).encode()
    line = f"# sha256: {hashlib.sha256(above).hexdigest()}\n"
    write_whole(run_folder / CONFIG_FILE, above + line.encode())


def _parts(content: bytes) -> tuple[bytes, str]:
    """The lines above the seal, and the seal; nothing, where the last line is none."""
    found = re.fullmatch(rb"(.*\n)# sha256: ([0-9a-f]{64})\n", content, re.DOTALL)
    return (found[1], found[2].decode()) if found else (content, "")
