"""What an objective is, for those who compute it: a function, what it needs, and how it is written."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from torch import Tensor

from mt_trainer.objectives.logit_statistics import LogitStatistics, Statistic
from mt_trainer.objectives.token_inputs import Constants

TokenFunction = Callable[[LogitStatistics], Tensor]
"""Statistics of N tokens -> one number each, [N]. It treats every token alone: it is called on any part of a batch."""


class Source(StrEnum):
    """Where the inputs of an objective come from, beside the labels."""

    LABELS = "labels"
    """Nowhere else."""
    PREVIOUS_TARGETS = "previous_targets"
    """`ids` are the pieces before the token in its own sentence, each once and its own label not among them;
    `id_weights` are 1, and 0 where an id only fills the row."""
    EVALUATION_PASS = "evaluation_pass"
    """`weight_nll` is that of the model in evaluation mode, without dropout; without it, that of the pass itself."""
    TEACHER = "teacher"
    """`ids` and `id_weights` are pieces of the teacher's distribution, see `TeacherPieces`."""


@dataclass(frozen=True)
class TokenWeight:
    """The weights of an objective that counts some labels less, for the log.

    Attributes:
        function: the weight of each token [N], without gradient.
        floor: the least weight possible.
    """

    function: TokenFunction
    floor: float


@dataclass(frozen=True)
class Truncation:
    """Leaves out the worst `fraction` of tokens or sentences, as judged by those seen in the steps before.

    Attributes:
        unit: what is left out as a whole; the score of a sentence is the mean of its tokens'.
        score: of each token [N], without gradient; the higher, the worse.
        fraction: share left out; 0 where nothing is left out yet and scores are only gathered.
        window: how many of the newest scores the quantile is taken over.
        min_count: nothing is left out before so many scores are known.
    """

    unit: Literal["token", "sentence"]
    score: TokenFunction
    fraction: float
    window: int
    min_count: int


@dataclass(frozen=True)
class TeacherPieces:
    """How a teacher's distribution is cut down to some pieces: its `num_pieces` best, or as many draws."""

    num_pieces: int
    method: Literal["top", "sample"]


@dataclass(frozen=True, eq=False)
class Objective:
    """An objective with its numbers filled in, a function of each token's logit statistics.

    Attributes:
        function: the loss of each token, in nats.
        needs: the statistics that it reads beside those always present.
        formula: one line for people, for example `(1 - 0.1) nll + 0.1 mean_v(-log p_v)`. What it says of its names
            stands behind two spaces: a term can be added before them.
        constants: what it holds fixed.
        weight: the token weights inside the function, if it has any.
        source: where its inputs come from.
        embeds_with_output: whether `constants.embedding` is to be the output projection's rows, normed and without
            gradient.
        truncation: which tokens or sentences are left out, if any are.
        teacher_pieces: set where `source` is the teacher.
        parameters: the numbers that change with training, as they stand, for the log.
        varies: the objective at a step, counted from 1; None where it stays as it is.
    """

    function: TokenFunction
    needs: frozenset[Statistic]
    formula: str
    constants: Constants = field(default_factory=Constants)
    weight: TokenWeight | None = None
    source: Source = Source.LABELS
    embeds_with_output: bool = False
    truncation: Truncation | None = None
    teacher_pieces: TeacherPieces | None = None
    parameters: Mapping[str, float] = field(default_factory=dict)
    varies: "Callable[[int], AnyObjective] | None" = None

    def at(self, step: int) -> "AnyObjective":
        """The objective as it stands at a step, counted from 1."""
        return self if self.varies is None else self.varies(step)


@dataclass(frozen=True, eq=False)
class LogitPair:
    """Two distributions over the vocabulary for each of n tokens.

    Attributes:
        logits: [n, V], of the model.
        other: [n, V], of its second pass or of the teacher (then without gradient).
        labels: [n] int64.
    """

    logits: Tensor
    other: Tensor
    labels: Tensor


PairFunction = Callable[[LogitPair], Tensor]
"""Two distributions for n tokens -> one number each, [n]. It treats every token alone."""


@dataclass(frozen=True, eq=False)
class PairObjective:
    """An objective over two distributions for each token, with its numbers filled in.

    Attributes:
        function: the loss of each token, in nats.
        other: whose the second distribution is: the model's own with other dropout, or a teacher's.
        formula: one line for people.
        parameters, varies: as for `Objective`.
    """

    function: PairFunction
    other: Literal["dropout", "teacher"]
    formula: str
    parameters: Mapping[str, float] = field(default_factory=dict)
    varies: "Callable[[int], AnyObjective] | None" = None

    def at(self, step: int) -> "AnyObjective":
        """The objective as it stands at a step, counted from 1."""
        return self if self.varies is None else self.varies(step)


AnyObjective = Objective | PairObjective
