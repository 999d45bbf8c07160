"""The places of a transformer encoder where dropout is published, and rates for them."""

from typing import NamedTuple


class EncoderRates(NamedTuple):
    """Rates of a transformer encoder by place; numbers in [0, 1], all but `attention` also scalar arrays.

    Attributes:
      embedding: On the sum of token and position embeddings (Vaswani et al. 2017, section 5.4).
      residual: On the output of each sub-layer, before it is added (the same).
      attention: On the attention weights, after the softmax (tensor2tensor).
      feed_forward: On the hidden units of the feed-forward sub-layer (tensor2tensor, T5).
      stochastic_depth: On whole sub-layers of each example, rising linearly to this rate in the last layer.
      layer_drop: Skipping each layer for the batch.

    References:
      Vaswani et al., `Attention is all you need <https://arxiv.org/abs/1706.03762>`_, 2017
    """

    embedding: float = 0.0
    residual: float = 0.0
    attention: float = 0.0
    feed_forward: float = 0.0
    stochastic_depth: float = 0.0
    layer_drop: float = 0.0


NO_DROPOUT = EncoderRates()

# hidden_dropout_prob and attention_probs_dropout_prob of google-research/bert, for pre-training and fine-tuning.
BERT = EncoderRates(embedding=0.1, residual=0.1, attention=0.1)

# "Dropout was turned off in pre-training (quality win). Dropout should be re-enabled during fine-tuning": release notes
# of T5 1.1, in google-research/text-to-text-transfer-transformer.
T5_PRE_TRAINING = NO_DROPOUT
T5_FINE_TUNING = EncoderRates(embedding=0.1, residual=0.1, attention=0.1, feed_forward=0.1)
