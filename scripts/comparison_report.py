"""The runs of compare_objectives.py as a section of docs/results.md: settings, a table, and what is significant."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from finished_runs import FinishedRun
from markdown_tables import markdown_table, settings_block
from mt_trainer.config import load_config
from mt_trainer.data.evaluation_sets import evaluation_text, read_evaluation_set

Runs = Mapping[str, Mapping[int, FinishedRun]]
"""By objective, the first to compare with, and by seed."""

TIME_TOLERANCE = 0.05
"""By how much the training time of an objective may differ from the others' before the report warns."""

TITLES = {"bleu": "BLEU", "chrf": "chrF", "bleu_moses_lowercase": "BLEU, published convention"}


def report(runs: Runs, *, title: str, settings: Mapping[str, str], speeds: Mapping[str, float] | None) -> str:
    """Markdown.

    Args:
        runs: at least one of each objective.
        title: of the section.
        settings: what was done, by the words that start the lines of an entry in docs/results.md.
        speeds: seconds a step of each objective in the short runs beforehand; None where there were none.
    """
    first = next(run for by_seed in runs.values() for run in by_seed.values())
    lines = {**settings, **first.describe_environment()}
    signatures = "\n".join(f"- {TITLES[name]}: `{signature}`" for name, signature in first.signatures.items())
    warning = [] if speeds is None else time_warning(runs)
    return "\n\n".join([f"### {title}", settings_block(lines), table(runs, speeds), *warning, NOTES, signatures])


NOTES = """\
Mean ± sample standard deviation over seeds. nll: in nats per token, never smoothed. ms a step: in the short runs
beforehand, where a budget of minutes was counted by it. training minutes: wall time of the steps alone, whatever else
ran on the machine; minutes: validations included. BLEU - that of the first objective: mean of the differences between
runs of the same seed ± their sample standard deviation. p: how often a difference in BLEU as large as this comes about
when the translations of the two systems are exchanged at random (paired approximate randomisation, 10,000 trials,
sacreBLEU), for each seed by itself. It says nothing of other seeds, and is not corrected for there being several
comparisons."""


def time_warning(runs: Runs) -> list[str]:
    """A paragraph that names the objectives whose runs trained longer or shorter than the others', if any."""
    known = {name: training_minutes(by_seed.values()) for name, by_seed in runs.items()}
    minutes = {name: statistics.mean(each) for name, each in known.items() if each}
    found = []
    for name, own in minutes.items():
        others = [each for other, each in minutes.items() if other != name]
        change = own / statistics.mean(others) - 1 if others else 0.0
        if abs(change) > TIME_TOLERANCE:
            found.append(f"{name} {own:.1f} minutes, {change:+.0%} against the others")
    return [f"**Warning: the times are not equal.** A run trained in the mean: {'; '.join(found)}."] if found else []


def training_minutes(runs: Iterable[FinishedRun]) -> list[float]:
    """Of the steps alone of each run for which they are known."""
    return [run.training_seconds / 60 for run in runs if not math.isnan(run.training_seconds)]


def table(runs: Runs, speeds: Mapping[str, float] | None) -> str:
    """A row for each objective: scores on the test sets (on dev, where there is none), NLL, time, significance.

    Args:
        runs: at least one of each objective.
        speeds: seconds a step of each objective; None leaves the column out.
    """
    baseline, *_ = runs
    first = next(iter(runs[baseline].values()))
    sets = [name for name in first.scores if name != "dev"] or ["dev"]
    scores = [(name, metric) for name in sets for metric in first.scores[name] if metric != "chrf"]
    likelihoods = [name for name in sets if name != "dev" and has_nll(runs, name)]
    titles = ["objective"]
    titles += [f"{name} {TITLES[metric]}" for name, metric in scores]
    titles += [f"{name} nll" for name in likelihoods]
    titles += ["dev BLEU", "dev nll", "steps", *([] if speeds is None else ["ms a step"])]
    titles += ["training minutes", "minutes"]
    for name in sets:
        titles += [f"{name} BLEU - {baseline}", f"p, {name}, against {baseline}"]
    p_values = {name: chance(runs, name) for name in sets}
    rows = []
    for objective, by_seed in runs.items():
        each = list(by_seed.values())
        cells = [objective]
        cells += [spread([run.scores[name][metric] for run in each], 2) for name, metric in scores]
        cells += [spread([run.nll[name] for run in each], 4) for name in likelihoods]
        cells += [spread([run.dev["bleu"] for run in each], 2), spread([run.dev["nll"] for run in each], 4)]
        cells += [f"{statistics.mean(run.step for run in each):,.0f}"]
        cells += [] if speeds is None else [f"{1000 * speeds[objective]:.0f}"]
        cells += [spread(training_minutes(each), 1), spread([run.seconds / 60 for run in each], 1)]
        for name in sets:
            changes = [] if objective == baseline else differences(runs, objective, name)
            cells += [spread(changes, 2, sign="+")]
            cells += [", ".join(f"{p:.4f}" for p in p_values[name].get(objective, [])) or "-"]
        rows.append(cells)
    return markdown_table(titles, rows)


def has_nll(runs: Runs, set_name: str) -> bool:
    """Whether all runs tell their NLL on a set; those that an older version has scored do not."""
    return all(set_name in run.nll for by_seed in runs.values() for run in by_seed.values())


def differences(runs: Runs, objective: str, set_name: str) -> list[float]:
    """By how much the BLEU of an objective's runs lies above that of the first's of the same seed, by seed."""
    baseline, *_ = runs.values()
    return [
        run.scores[set_name]["bleu"] - baseline[seed].scores[set_name]["bleu"]
        for seed, run in runs[objective].items()
        if seed in baseline
    ]


def spread(values: Sequence[float], digits: int, *, sign: str = "") -> str:
    """Mean and sample standard deviation, such as `40.13 ± 0.21`; of one value itself; `-` of none."""
    if not values:
        return "-"
    mean = f"{statistics.mean(values):{sign}.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


def chance(runs: Runs, set_name: str) -> dict[str, list[float]]:
    """For each objective but the first, the p-values of its runs against the first's of the same seed, by seed."""
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.significance import PairedTest, Result

    baseline, *others = runs
    found: dict[str, list[float]] = {name: [] for name in others}
    config = load_config(next(iter(runs[baseline].values())).folder / "config.yaml")
    source = config.data.dev if set_name == "dev" else config.data.test[set_name]
    text = evaluation_text(source, src_lang=config.data.src_lang, tgt_lang=config.data.tgt_lang)
    references = read_evaluation_set(set_name, text).tgt_texts
    metric = BLEU(tokenize=config.evaluation.tokenize, lowercase=config.evaluation.lowercase, force=True)
    for seed in runs[baseline]:
        names = [name for name in runs if seed in runs[name]]
        if len(names) < 2:
            continue
        systems = [(name, hypotheses(runs[name][seed].folder, set_name)) for name in names]
        _, columns = PairedTest(systems, {"BLEU": metric}, [references], test_type="ar")()
        first, *rest = (each for each in columns["BLEU"] if isinstance(each, Result))
        for name, result in zip(names[1:], rest, strict=True):
            assert result.p_value is not None
            # Of two equal scores sacreBLEU says that they differ: it counts the trials that differ more.
            found[name].append(result.p_value if result.score != first.score else 1.0)
    return found


def hypotheses(folder: Path, set_name: str) -> Sequence[str]:
    """The translations that a run was scored with."""
    return (folder / "evaluation" / f"{set_name}.hyp.txt").read_text(encoding="utf-8").split("\n")[:-1]
