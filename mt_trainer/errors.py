"""What a user can put right: every problem has a stable code, a place, what is allowed and how to mend it.

Exit codes of all commands: 0 done, 1 internal error, 2 user input, 3 diverged, 4 data or artefact corrupt,
129 / 130 / 143 stopped by SIGHUP / SIGINT / SIGTERM with a verified checkpoint, 141 nobody reads the output any more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum


class ExitCode(IntEnum):
    """The exit status of a command."""

    DONE = 0
    INTERNAL = 1
    USER_INPUT = 2
    DIVERGED = 3
    CORRUPT = 4
    HUNG_UP = 129
    INTERRUPTED = 130
    OUTPUT_CLOSED = 141
    TERMINATED = 143


@dataclass(frozen=True)
class ErrorKind:
    """One line of `docs/errors.md`: what the code means and with which status a command then ends."""

    title: str
    exit_code: ExitCode = ExitCode.USER_INPUT
    is_before_writing: bool = False
    """Whether it is always found before anything is written; the message then says so."""


ERROR_KINDS: dict[str, ErrorKind] = {
    # command line and environment
    "MT001": ErrorKind("a config file or shipped recipe was not found", is_before_writing=True),
    "MT002": ErrorKind("a setting given with --set cannot be read", is_before_writing=True),
    "MT003": ErrorKind("an optional package is missing"),
    "MT004": ErrorKind("the requested device is not available"),
    "MT005": ErrorKind("the command's options do not fit together"),
    "MT006": ErrorKind("started by a launcher in a way that does not fit"),
    "MT007": ErrorKind("the precision asked for is not supported here"),
    "MT008": ErrorKind("there is nothing to compile with"),
    # configuration
    "MT020": ErrorKind("the YAML cannot be parsed", is_before_writing=True),
    "MT021": ErrorKind("unknown key", is_before_writing=True),
    "MT022": ErrorKind("a required key is missing", is_before_writing=True),
    "MT023": ErrorKind("wrong type", is_before_writing=True),
    "MT024": ErrorKind("value out of range or not among the choices", is_before_writing=True),
    "MT025": ErrorKind("the same key stands twice", is_before_writing=True),
    "MT026": ErrorKind("settings that contradict each other", is_before_writing=True),
    "MT027": ErrorKind("`extends` points nowhere or in a circle", is_before_writing=True),
    "MT028": ErrorKind("a file that the objective reads cannot be used", is_before_writing=True),
    "MT029": ErrorKind("the training text lacks what the objective asks for"),
    "MT030": ErrorKind("the teacher does not fit the run", is_before_writing=True),
    # data
    "MT050": ErrorKind("a data file is missing or cannot be read"),
    "MT051": ErrorKind("the two sides have different numbers of lines"),
    "MT052": ErrorKind("invalid UTF-8", ExitCode.CORRUPT),
    "MT053": ErrorKind("a compressed file is truncated or damaged", ExitCode.CORRUPT),
    "MT054": ErrorKind("no pair is left after cleaning"),
    "MT055": ErrorKind("a table lacks the columns asked for"),
    "MT056": ErrorKind("a data set cannot be loaded"),
    "MT057": ErrorKind("a cached corpus is damaged", ExitCode.CORRUPT),
    "MT058": ErrorKind("too much of an evaluation set occurs in the training text"),
    # tokenizer
    "MT080": ErrorKind("the vocabulary is larger than the text supports"),
    "MT081": ErrorKind("a tokenizer file cannot be used", ExitCode.CORRUPT),
    "MT082": ErrorKind("the tokenizer does not belong to this checkpoint", ExitCode.CORRUPT),
    "MT083": ErrorKind("the vocabulary cannot hold the characters of the text"),
    "MT084": ErrorKind("subword sampling needs a unigram tokenizer"),
    # runs and checkpoints
    "MT100": ErrorKind("the run folder belongs to another config"),
    "MT101": ErrorKind("no usable checkpoint in the run folder", ExitCode.CORRUPT),
    "MT102": ErrorKind("a checkpoint is damaged", ExitCode.CORRUPT),
    "MT103": ErrorKind("a file or folder cannot be written"),
    "MT104": ErrorKind("not a run folder"),
    "MT105": ErrorKind("another process trains in the run folder"),
    "MT106": ErrorKind("a file of the run is not what was written", ExitCode.CORRUPT),
    "MT107": ErrorKind("a newer version of mt_trainer has written the checkpoint"),
    # numbers
    "MT120": ErrorKind("training diverged", ExitCode.DIVERGED),
    "MT121": ErrorKind("a capsule of a divergence cannot be used", ExitCode.CORRUPT),
    "MT122": ErrorKind("a replay gave other numbers than its capsule", ExitCode.DIVERGED),
    # evaluation
    "MT140": ErrorKind("hypotheses and references do not match"),
    # several processes
    "MT160": ErrorKind("a process of the run is lost", ExitCode.INTERNAL),
    "MT161": ErrorKind("the processes of a run do not have the same data"),
}


@dataclass(frozen=True)
class Problem:
    """One thing to put right.

    `where` is `file:line:column`, `file:line` or a key such as `model.num_heads`; `excerpt` the offending line.
    """

    code: str
    message: str
    where: str | None = None
    excerpt: str | None = None
    help: str | None = None

    def render(self) -> str:
        """The problem as the terminal shows it."""
        lines = [f"error[{self.code}]: {self.message}"]
        if self.where is not None:
            lines.append(f"  --> {self.where}")
        if self.excerpt is not None:
            lines.append(self.excerpt)
        if self.help is not None:
            lines.append(f"help: {self.help}")
        return "\n".join(lines)


class MtError(Exception):
    """Problems that a user can put right; the commands print them without a traceback.

    Attributes:
        problems: all that was found, in the order of the input.
    """

    def __init__(self, problems: Problem | Sequence[Problem]) -> None:
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        if not self.problems:
            raise ValueError("an MtError needs at least one problem")
        for problem in self.problems:
            if problem.code not in ERROR_KINDS:
                raise ValueError(f"unregistered error code {problem.code}")
        super().__init__(self.render())

    @property
    def exit_code(self) -> ExitCode:
        """The status that the command ends with: that of the first problem."""
        return ERROR_KINDS[self.problems[0].code].exit_code

    def render(self) -> str:
        """All problems as the terminal shows them; the first says how many follow, and that nothing was written."""
        first, *others = (problem.render() for problem in self.problems)
        notes = [f"{len(others)} more problem{'s follow' if len(others) > 1 else ' follows'}"] if others else []
        if all(ERROR_KINDS[problem.code].is_before_writing for problem in self.problems):
            notes.append("nothing was written")
        if notes:
            first += f"\nnote: {'; '.join(notes)}"
        return "\n\n".join([first, *others])


class ConfigError(MtError):
    """The configuration, the command line or the environment cannot be used."""


class DataError(MtError):
    """The corpus cannot be used."""


class TokenizerError(MtError):
    """The tokenizer cannot be trained or loaded."""


class CheckpointError(MtError):
    """A run folder or checkpoint cannot be used."""


class DivergedError(MtError):
    """Training or its replay came to numbers that it must not have."""
