"""The numbers of tailr_oracle.py as markdown for docs/results.md, and as a figure."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from bootstrap import Estimate
from figures import BLACK, BLUE, GREEN, ORANGE, PINK, SKY, VERMILION, new_figure
from finished_runs import FinishedRun
from markdown_tables import markdown_table, settings_block
from tailr_oracle_scores import LEVELS, ORACLE, Scores

DIGITS = {"PPL_oracle": 2, "PPL_test": 2, "BLEU-4": 2, "SelfBLEU-4": 2, "TVD": 4}
"""The measures, and how many places of each are shown."""

SHOWN_LEVELS = (0, 4, 10, 20)

ABOUT_SAMPLES = f"""\
PPL_oracle: the oracle's perplexity on the model's samples; PPL_test: the model's on text of the oracle; BLEU-4 and
SelfBLEU-4: of the samples, against text of the oracle and against each other; TVD: mean total variation distance to the
oracle's next word, after its own prefixes. The row `{ORACLE}` is of more samples from it: what a perfect student would
have.

Every number has a 95 % interval over resamples of the sentences. Differences of PPL_test and TVD are paired; the others
are not, for each model has samples of its own. (They are drawn with the same random numbers: where students are alike,
those intervals are rather too wide.) There is one seed of training for each student, and what another would give is in
no interval. The intervals of BLEU-4 and SelfBLEU-4 hold the references fixed. TaiLr takes its weights from the training
pass, with dropout; the paper's came from an evaluation pass."""

ABOUT_CORRUPTION = """\
Log-likelihood of corrupted text in nats per token, after so many edits of each sentence: the oracle's, by how much the
students' lies above it, and by how much the students differ. All edits are in the figure."""


def report(
    runs: Mapping[str, FinishedRun],
    measures: Mapping[str, Mapping[str, Estimate]],
    found: Mapping[str, Sequence[Scores]],
    *,
    settings: Mapping[str, str],
) -> str:
    """All tables.

    Args:
        runs: the oracle, then the students.
        measures: of each of them.
        found: what they make of corrupted text, by corruption and level.
        settings: lines about the text.
    """
    seconds = sum(run.seconds for run in runs.values())
    lines = {**settings, **runs[ORACLE].describe_environment(), "Time": f"{seconds / 60:.1f} min of training in all"}
    tables = [sample_table(measures), ABOUT_SAMPLES, corruption_table(found), ABOUT_CORRUPTION]
    return "\n\n".join([settings_block(lines), run_table(runs), *tables])


def run_table(runs: Mapping[str, FinishedRun]) -> str:
    """How each model was trained."""
    titles = ["run", "steps", "best step", "dev NLL, nats", "mean weight at the end", "minutes"]
    rows = [
        [
            name,
            f"{run.step:,}",
            f"{int(run.checkpoint.rpartition('_')[2]):,}",
            f"{run.dev['nll']:.4f}",
            f"{run.train['mean_weight']:.4f}" if "mean_weight" in run.train else "-",
            f"{run.seconds / 60:.1f}",
        ]
        for name, run in runs.items()
    ]
    return markdown_table(titles, rows)


def sample_table(measures: Mapping[str, Mapping[str, Estimate]]) -> str:
    """The measures of all models, and by how much the other students differ from the first.

    Differences over the same text are paired, others not (`bootstrap`).
    """
    rows = [[name, *(row[key].show(places) for key, places in DIGITS.items())] for name, row in measures.items()]
    _, first, *others = measures
    for name in others:
        changes = {key: measures[name][key] - measures[first][key] for key in DIGITS}
        rows.append([f"{name} - {first}", *(changes[key].show(places, sign="+") for key, places in DIGITS.items())])
    return markdown_table(["model", *DIGITS], rows)


def corruption_table(found: Mapping[str, Sequence[Scores]]) -> str:
    """The oracle's log-likelihood of corrupted text, that of the students above it, and how students differ."""
    first, *others = (name for name in next(iter(found.values()))[0].nll if name != ORACLE)
    titles = ["corruption", "edits", ORACLE, *(f"{name} - {ORACLE}" for name in (first, *others))]
    titles += [f"{name} - {first}" for name in others]
    rows = []
    for corruption, levels in found.items():
        for level, scores in zip(LEVELS, levels, strict=True):
            if level in SHOWN_LEVELS:
                excess = {name: scores.excess(name) for name in (first, *others)}
                row = [corruption, str(level), f"{-scores.nll_per_token(ORACLE).value:.3f}"]
                row += [each.show(3, sign="+") for each in excess.values()]
                rows.append([*row, *((excess[name] - excess[first]).show(3, sign="+") for name in others)])
    return markdown_table(titles, rows)


def draw(found: Mapping[str, Sequence[Scores]], path: Path) -> None:
    """The log-likelihood of corrupted text by the number of edits, and below it the students' excess with intervals."""
    students = [name for name in next(iter(found.values()))[0].nll if name != ORACLE]
    figure, axes = new_figure(2, len(found), width=10, height=5.4)
    looks = list(zip((BLUE, VERMILION, GREEN, ORANGE, PINK, SKY), "osD^vP", ("-", "--", ":") * 2, strict=True))
    for column, (name, levels) in enumerate(found.items()):
        upper, lower = axes[:, column]
        truth = [-scores.nll_per_token(ORACLE).value for scores in levels]
        upper.plot(LEVELS, truth, color=BLACK, linestyle="--", label=ORACLE, zorder=3)
        lower.axhline(0, color=BLACK, linestyle="--", linewidth=1)
        for i, student in enumerate(students):
            colour, marker, line = looks[i % len(looks)]
            style = {"color": colour, "marker": marker, "markersize": 6 - min(i, 3), "linestyle": line}
            likelihood = [-scores.nll_per_token(student).value for scores in levels]
            upper.plot(LEVELS, likelihood, label=student, **style)
            above = [scores.excess(student) for scores in levels]
            lower.plot(LEVELS, [each.value for each in above], **style)
            low, high = zip(*(each.interval for each in above), strict=True)
            lower.fill_between(LEVELS, low, high, color=colour, alpha=0.2, linewidth=0)
        upper.set(title=name)
        lower.set(xlabel="edits of each sentence")
    axes[0, 0].set(ylabel="log-likelihood\n(nats per token)")
    axes[1, 0].set(ylabel="student - oracle\n(nats per token)")
    axes[0, 0].legend(frameon=False, fontsize=9)
    figure.savefig(path, dpi=110)
