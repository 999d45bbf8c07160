"""Noise whose size is learned by variational inference, and the pruning that comes of it."""

from jaxdrop.variational.divergences import Divergence as Divergence
from jaxdrop.variational.divergences import kl_ard as kl_ard
from jaxdrop.variational.divergences import kl_kingma as kl_kingma
from jaxdrop.variational.divergences import kl_log_uniform as kl_log_uniform
from jaxdrop.variational.divergences import kl_log_uniform_exact as kl_log_uniform_exact
from jaxdrop.variational.elbo import elbo as elbo
from jaxdrop.variational.elbo import kl_warm_up as kl_warm_up
from jaxdrop.variational.layers import gaussian_noise as gaussian_noise
from jaxdrop.variational.layers import noisy_conv as noisy_conv
from jaxdrop.variational.layers import noisy_dense as noisy_dense
from jaxdrop.variational.layers import noisy_embed as noisy_embed
from jaxdrop.variational.prune import LayerReport as LayerReport
from jaxdrop.variational.prune import Pruned as Pruned
from jaxdrop.variational.prune import PruningReport as PruningReport
from jaxdrop.variational.prune import prune as prune
from jaxdrop.variational.weights import AdditiveWeights as AdditiveWeights
from jaxdrop.variational.weights import MultiplicativeWeights as MultiplicativeWeights
from jaxdrop.variational.weights import NoisyWeights as NoisyWeights
from jaxdrop.variational.weights import additive_weights as additive_weights
from jaxdrop.variational.weights import kl_divergence as kl_divergence
from jaxdrop.variational.weights import multiplicative_weights as multiplicative_weights
from jaxdrop.variational.weights import pruned as pruned
