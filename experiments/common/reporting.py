"""What the sections of the report share."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

# What we think of a difference from a paper's number, by experiment and stem of the result file.
REASONS: dict[str, str] = {
    "sparse_vd/lenet300": (
        "The error is 0.12 percentage points above the paper's, about the sampling error of 10 000 examples, with "
        "fewer weights left: kernels start from another initializer, and the noise of weights whose means are set "
        "to zero stays on. Pruning by magnitude, step by step, has a sparsity of each layer that was found by its "
        "rival, and a quarter of its epochs; with more, and a sparsity of its own, it should come closer."
    ),
    "sparse_vd/lenet5_short": (
        "A sixteenth of the authors' epochs prunes most of what theirs prune; the first layer, of 500 weights, is the "
        "furthest behind. Pruning by magnitude to the same sparsity is as good within the sampling error of 10 000 "
        "examples, some 0.1 percentage points: as published comparisons find at scale."
    ),
    "sparse_vd/random_labels": (
        "As in the paper: dropout at 0.2 learns all 5000 permuted labels by heart, sparse variational dropout prunes "
        "every weight and predicts one class. Pruned by magnitude to that sparsity the dense network is constant too."
    ),
    "estimators/mnist": (
        "Moments by default take units for independent, which a trained network's are not after its first noise. "
        "Following the noise with covariance=True repairs it for a fourth of the time of 100 samples, not a twentieth."
    ),
    "estimators/mnist_cnn": (
        "Antithetic masks bring nothing here and balanced ones as much as elsewhere, over ten repetitions: errors of "
        "the gains were not estimated."
    ),
    "estimators/digits": (
        "Masks are balanced within each of ten blocks: with 10 samples not at all, with 100 in tens. Neither kind of "
        "masks changes the mutual information's error much, whose larger part, we think, is that of the entropies. The "
        "jackknife trades bias for a little variance."
    ),
    "uci/boston": (
        "Networks without noise, alone or five, over-fit in 4000 passes, we think, for there is hardly any weight "
        "decay. So do those of concrete dropout, whose rates fell to nearly 0."
    ),
    "uci/yacht": (
        "Without noise the precision is not bound to the published grid, whose highest value all splits choose here: "
        "that is the larger part of the better likelihood, we think."
    ),
    "sbp/lenet500_300": (
        "The error is lower than the paper's, with more units left: 100 579 of 545 810 weights, where theirs leave "
        "some 49 000. Their number still falls, slowly, when the step size begins to: 396-267-128 after 100 of the 200 "
        "epochs. We think that theirs start from a network that was trained longer, or otherwise; ours, which begins "
        "with an error of 1.45 % after 20 epochs, is not theirs, which is not to be had. "
        "Milliseconds were taken beside other work."
    ),
    "sbp/lenet500_300_short": (
        "A fifth of the authors' epochs: the step size reaches zero long before signal-to-noise ratios have fallen as "
        "far as they would, as the run with all epochs shows."
    ),
    "gradient_variance/mnist": (
        "In each row the order is Kingma's: local < separate < single. That the variance falls as 1/M for local "
        "samples alone shows only where the noise outweighs the choice of the batch, whose part falls so in any "
        "case: in the last layer after ten epochs, 10 instead of 100 examples have 8.2 times the variance with local "
        "samples, 7.2 with separate and 6.5 with single ones. Larger batches, where it should show best, were not "
        "run: a sample of the weights for each example takes too long."
    ),
    "concrete/synthetic": (
        "Rates fall and the epistemic uncertainty with them, as in the notebook, and to nearly its numbers. From 10 "
        "to 100 examples that is as much the number of updates, which falls from 2000 to 1000, as of the examples: "
        "Adam moves the logit of a rate by 0.001 at most in one. With 10 000 examples our rates end lower, and the "
        "aleatoric deviation is too large throughout, by 0.4 to 0.6 (theirs by 0.2 to 0.35): a thousand updates are "
        "few, so that what the mean misses counts as noise. One network of three with 10 examples has not fitted "
        "them."
    ),
    "language_model/shakespeare_half": (
        "At one half all are worse than dropout on what is not recurrent alone, 8.137 above, and recurrent dropout is "
        "worse than no noise at all: too much for so small a network, which still learns when training ends. That "
        "variational dropout does not beat the naive one is not as published; see above."
    ),
    "language_model/shakespeare": (
        "Every kind of noise beats none, which overfits. All recurrent methods are within two standard errors of "
        "dropout on what is not recurrent: the published order, in which naive recurrent dropout hurts and the others "
        "help, does not show. Its papers model words, with larger networks, at rates tuned for each method; we think "
        "that characters in one layer need a shorter memory, so that noise on it does less harm. Rates here are the "
        "same for all and were not tuned."
    ),
    "compare/mnist": (
        "Twelve epochs are too few for noise to pay: the networks with most of it still fit the training examples "
        "worst. Curriculum dropout, which begins without noise, and standout, which drops least, come closest to "
        "the network without any; in likelihood all with noise are better than it. Forty epochs restore the "
        "paper's order: see the next table. DropConnect has one mask for a batch here, where the paper has one for "
        "each example."
    ),
    "compare/mnist_long": (
        "The order is the paper's; the gaps are not. Our network without noise is better than theirs, of logistic "
        "units: it has ReLUs, Adam and a learning rate that falls to zero. With dropout it is 0.07 percentage "
        "points better than theirs, with constrained norms as much worse: theirs have a third hidden layer and a "
        "million updates, ours 18 720."
    ),
}


def reason(path: Path) -> list[str]:
    """What we think of the numbers in a result file, as a paragraph, or nothing."""
    text = REASONS.get(f"{path.parent.name}/{path.stem}")
    return [f"{text}\n"] if text else []


def provenance(path: Path, run: dict[str, Any], link: str) -> str:
    """Which file a table is made from, and where and in what time that was."""
    device, versions = run["device"], run["versions"]
    return (
        f"[{path.name}]({link}{path.name}): seed {run['seed']}, "
        f"{run['wall_seconds'] / 60:.0f} min on {device['kind']}, jax {versions['jax']}."
    )


def with_error(column: Mapping[str, float], name: str, digits: int, factor: float = 1) -> str:
    """A mean and its standard error, as `means_and_errors` names them, or nothing where there is none."""
    if name not in column:
        return ""
    return f"{factor * column[name]:.{digits}f} ± {factor * column[f'{name}, error']:.{digits}f}"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
