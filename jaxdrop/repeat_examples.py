"""Several draws of the noise for each example of a batch."""

from typing import TypeVar

import jax
import jax.numpy as jnp

from jaxdrop import _checks

Batch = TypeVar("Batch")


def repeat_examples(batch: Batch, num_repeats: int) -> Batch:
    r"""Shows each example of a batch several times, to be seen under as many masks.

    .. math:: \frac{1}{B S} \sum_{b=1}^B \sum_{s=1}^S L(x_b, m_{bs})

    is the mean loss of the repeated batch: any loss that is a mean over examples becomes one over draws of the noise
    too, in linen and nnx alike. Its gradient has the same mean, and a variance of

    .. math:: \frac{1}{B} \mathrm{Var}_x\big[E_m[g]\big] + \frac{1}{B S} E_x\big[\mathrm{Var}_m[g]\big]

    of which only the part that is due to the noise falls. A step costs S times as much. It pays where examples and not
    computing are scarce: a high rate, few examples, more steps than data call for, a batch for which the accelerator
    is too large (Hoffer et al.). At the same cost, with B / S examples in place of B, a gradient is the noisier one,
    and yet Fort et al. find test errors of large image models lower by it, for random augmentations as the noise, if
    training is long enough.

    It is for noise that differs between examples. Methods that draw once for a batch, such as `weight_drop` or
    `stochastic_depth` by batch, show all copies the same mask; so does `masksembles`, whose masks go to consecutive
    parts of a batch: use `jnp.tile` there.

    Args:
      batch: Pytree of arrays (batch, ...), inputs, labels and whatever else there is for each example.
      num_repeats: Number S of times that each example is there; a Python integer.

    Returns:
      The batch of (batch * num_repeats, ...). Copies of an example follow one another, so that a batch that is sharded
      over examples stays where it is, and `losses.reshape(-1, num_repeats)` has the draws of each.

    Raises:
      ValueError: If `num_repeats` is below 1, or the arrays have no axis of examples or another number of them.
      TypeError: If `num_repeats` is not an integer, or a leaf holds PRNG keys, whose copies would draw the same noise.

    Examples:
      >>> x, labels = jaxdrop.repeat_examples((jnp.array([[1.0], [2.0]]), jnp.array([7, 8])), num_repeats=3)
      >>> x[:, 0].tolist(), labels.tolist()
      ([1.0, 1.0, 1.0, 2.0, 2.0, 2.0], [7, 7, 7, 8, 8, 8])
      >>> y = jaxdrop.dropout(jax.random.key(0), x, 0.5)  # three masks for each of two examples

    References:
      Hoffer et al., `Augment your batch: better training with larger batches <https://arxiv.org/abs/1901.09335>`_,
      2019; Fort et al., `Drawing multiple augmentation samples per image during training efficiently decreases test
      error <https://arxiv.org/abs/2105.13343>`_, 2021
    """
    _checks.integer_between("num_repeats", num_repeats, 1, 2**31 - 1)
    _checks.examples("batch", jax.tree.leaves(batch))
    return jax.tree.map(lambda leaf: jnp.repeat(jnp.asarray(leaf), num_repeats, axis=0), batch)
