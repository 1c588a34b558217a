"""Which curves a report shows, by section: a table of metrics, and the few that need more."""

import dataclasses

from spo_jax.evaluation import mean_pass_at_k, scores_of
from spo_jax.reporting.calibration import q_calibration
from spo_jax.reporting.charts import Series, calibration_chart, line_chart, stacked_chart
from spo_jax.reporting.records import RunRecord, budgets


@dataclasses.dataclass(frozen=True)
class Curve:
    """One chart of training metrics.

    Attributes:
      title, caption: of the figure.
      unit: of the y axis.
      lines: metric to its name in the legend.
      include: values that the y axis must show.
    """

    title: str
    caption: str
    unit: str
    lines: dict[str, str]
    include: tuple[float, ...] = ()


def _by_source(metric: str) -> dict[str, str]:
    return {metric: "all", f"{metric}_online": "online", f"{metric}_offline": "offline"}


LEARNING = (
    Curve(
        "Reward",
        "Mean reward of the answers in the batch, by source. Offline reward is a property of the "
        "data; online reward is what the policy earns on training problems.",
        "reward",
        {"reward/online_mean": "online", "reward/offline_mean": "offline"},
    ),
    Curve(
        "Fresh samples",
        "Of the answers sampled for this update: share that was accepted, and share cut off at "
        "the length limit.",
        "share",
        {"sampling/accepted_fraction": "accepted", "sampling/truncated_fraction": "cut off"},
        (0.0,),
    ),
    Curve(
        "Loss",
        "The regression loss itself. The target moves with the data, so it need not fall steadily.",
        "loss",
        {"loss/true": "true loss"},
        (0.0,),
    ),
    Curve(
        "Surrogate loss",
        "What is differentiated: its gradient is that of the loss, its value is not.",
        "loss",
        {"loss/total": "total"},
    ),
    Curve(
        "Q residual, mean",
        "Final Q minus reward. Away from 0: the policy values that source too high or too low. "
        "With a group baseline the mean over all is 0 by construction.",
        "reward",
        _by_source("q/residual_mean"),
        (0.0,),
    ),
    Curve(
        "Q residual, absolute",
        "Mean distance of the final Q from the reward: the error of the regression.",
        "reward",
        _by_source("q/residual_abs"),
        (0.0,),
    ),
    Curve(
        "Final Q by outcome",
        "Mean final Q of right and of wrong answers. They move apart as the policy learns to tell "
        "them apart; Q₀ is where both start.",
        "reward",
        {
            "q/final_right": "right answers",
            "q/final_wrong": "wrong answers",
            "q/initial_value": "Q₀",
        },
    ),
)

POLICY = (
    Curve(
        "Distance to the reference",
        "Summed log-ratio of an answer. Its mean over online answers estimates the KL divergence "
        "from the reference.",
        "nats an answer",
        {
            "policy/kl_to_reference": "online (KL)",
            "policy/log_ratio_offline": "offline",
            "policy/log_ratio_abs": "absolute",
        },
        (0.0,),
    ),
    Curve(
        "Entropy",
        "Mean entropy of the next-token distribution over the tokens that were chosen.",
        "nats a token",
        _by_source("policy/entropy"),
        (0.0,),
    ),
    Curve(
        "Completion length",
        "Mean number of tokens of the answers in the batch.",
        "tokens",
        _by_source("data/completion_tokens"),
    ),
    Curve(
        "Gradient norm",
        "Global norm before clipping.",
        "norm",
        {"optimizer/grad_norm": "gradient"},
        (0.0,),
    ),
    Curve(
        "Learning rate",
        "As scheduled.",
        "",
        {"optimizer/learning_rate": "learning rate"},
        (0.0,),
    ),
)

DATA = (
    Curve(
        "Data mix",
        "Share of offline answers in the batch.",
        "share",
        {"data/offline_fraction": "offline"},
        (0.0, 1.0),
    ),
    Curve(
        "Staleness",
        "Age of the online answers in the batch: updates since the policy that sampled them.",
        "updates",
        {"data/staleness_updates": "mean", "data/staleness_max": "largest"},
        (0.0,),
    ),
    Curve(
        "Uses",
        "How often an answer in the batch had been drawn before, on average.",
        "times",
        {"data/uses": "earlier draws"},
        (0.0,),
    ),
    Curve(
        "Shortfalls",
        "Rows that stand in for the other source, and groups with fewer answers than asked for.",
        "count",
        {
            "data/num_filled_offline": "offline for online",
            "data/num_filled_online": "online for offline",
            "data/num_short_groups": "short groups",
        },
        (0.0,),
    ),
    Curve(
        "Padding",
        "Share of computed row positions that hold nothing.",
        "share",
        {"data/padding_fraction": "padding"},
        (0.0,),
    ),
)


def curve_figures(record: RunRecord, curves: tuple[Curve, ...], missing: list[str]) -> list[str]:
    """Figures of the curves that have a value; titles of the others are added to `missing`."""
    figures = []
    for curve in curves:
        series = [Series(label, record.points(metric)) for metric, label in curve.lines.items()]
        if any(one.values for one in series):
            figures.append(
                line_chart(
                    curve.title, curve.caption, series, y_label=curve.unit, include=curve.include
                )
            )
        else:
            missing.append(curve.title)
    return figures


def pass_figure(record: RunRecord, missing: list[str]) -> list[str]:
    """pass@k of held-out problems by number of updates."""
    if not record.evaluations:
        missing.append("pass@k over training")
        return []
    scores = {step: scores_of(samples) for step, samples in record.evaluations.items()}
    series = [
        Series(f"pass@{k}", tuple((step, mean_pass_at_k(each, k)) for step, each in scores.items()))
        for k in budgets(record.evaluations, record.evals)
    ]
    return [
        line_chart(
            "pass@k over training",
            "Chance that at least one of k samples solves a held-out problem, mean over problems.",
            series,
            y_label="pass@k",
            include=(0.0,),
        )
    ]


def calibration_figure(record: RunRecord, missing: list[str]) -> list[str]:
    """Predicted against observed reward of online answers, if the store has enough of them."""
    beta = record.setting("beta")
    bins = q_calibration(record.path, float(beta)) if beta else {}
    if not bins:
        missing.append("Calibration of Q")
        return []
    return [
        calibration_chart(
            "Calibration of Q",
            "Online answers, binned by their Q when they were sampled, relative to the other "
            "answers of their group. A flat line: Q says nothing yet. Bars: one standard error.",
            bins,
            x_label="predicted: Q − group mean",
            y_label="reward − group mean",
        )
    ]


def time_figure(record: RunRecord, missing: list[str]) -> list[str]:
    """Seconds by phase, stacked over updates. Evaluations are left out: they dwarf the rest."""
    names = sorted({name for each in record.train for name in each if name.startswith("time/")})
    phases = [name for name in names if name != "time/evaluation_secs"]
    if not phases:
        missing.append("Time per phase")
        return []
    parts = {_phase(name): record.points(name) for name in phases}
    largest_first = sorted(parts, key=lambda name: -sum(y or 0 for _, y in parts[name]))
    return [
        stacked_chart(
            "Time per phase",
            "Wall time of an update by phase; the legend gives shares of the total. Evaluations "
            "are not counted.",
            {name: parts[name] for name in largest_first},
            y_label="seconds",
        )
    ]


def actors_figure(record: RunRecord) -> list[str]:
    """Seconds of the actors by activity, where a run had some beside the learner."""
    names = {
        name
        for each in record.train
        for name in each
        if name.startswith("actors/") and name.endswith("_secs") and name.count("/") == 1
    }
    parts = {_phase(name): record.points(name) for name in names - {"actors/wait_secs"}}
    if not parts:
        return []
    largest_first = sorted(parts, key=lambda name: -sum(y or 0 for _, y in parts[name]))
    return [
        stacked_chart(
            "Time of the actors",
            "Seconds of all actors together between two updates, by activity; 'waiting' is for the "
            "learner, which had enough samples; 'judging' is for verdicts with nothing left to do.",
            {name: parts[name] for name in largest_first},
            y_label="seconds",
        )
    ]


def _phase(metric: str) -> str:
    return metric.removeprefix("time/").removeprefix("actors/").removesuffix("_secs")
