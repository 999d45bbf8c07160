"""The one place that raises on the values of arguments.

Every message names the argument, the condition that it breaks and the value that was given.
"""

from jaxdrop._checks.arrays import axes as axes
from jaxdrop._checks.arrays import booleans as booleans
from jaxdrop._checks.arrays import examples as examples
from jaxdrop._checks.arrays import inexact as inexact
from jaxdrop._checks.arrays import integers as integers
from jaxdrop._checks.arrays import not_empty as not_empty
from jaxdrop._checks.arrays import one_shape as one_shape
from jaxdrop._checks.arrays import pads as pads
from jaxdrop._checks.arrays import pictures as pictures
from jaxdrop._checks.arrays import prng_key as prng_key
from jaxdrop._checks.arrays import real as real
from jaxdrop._checks.arrays import same_dtype as same_dtype
from jaxdrop._checks.arrays import same_shape as same_shape
from jaxdrop._checks.arrays import sizes as sizes
from jaxdrop._checks.arrays import spatial_axes as spatial_axes
from jaxdrop._checks.arrays import vector as vector
from jaxdrop._checks.layers import kernel as kernel
from jaxdrop._checks.layers import kernel_of_layer as kernel_of_layer
from jaxdrop._checks.layers import params_given as params_given
from jaxdrop._checks.layers import some_chosen as some_chosen
from jaxdrop._checks.layers import weights as weights
from jaxdrop._checks.numeric import at_least as at_least
from jaxdrop._checks.numeric import finite as finite
from jaxdrop._checks.numeric import inside_unit_interval as inside_unit_interval
from jaxdrop._checks.numeric import integer_between as integer_between
from jaxdrop._checks.numeric import interval as interval
from jaxdrop._checks.numeric import kind as kind
from jaxdrop._checks.numeric import one_of as one_of
from jaxdrop._checks.numeric import positive as positive
from jaxdrop._checks.numeric import unused as unused
from jaxdrop._checks.predictions import class_labels as class_labels
from jaxdrop._checks.predictions import class_samples as class_samples
from jaxdrop._checks.predictions import labels_of_logits as labels_of_logits
from jaxdrop._checks.predictions import sample_targets as sample_targets
from jaxdrop._checks.predictions import samples as samples
from jaxdrop._checks.predictions import samples_of_logits as samples_of_logits
from jaxdrop._checks.predictions import to_rank as to_rank
from jaxdrop._checks.rates import Masked as Masked
from jaxdrop._checks.rates import known_rate as known_rate
from jaxdrop._checks.rates import masked as masked
from jaxdrop._checks.rates import random_bits as random_bits
from jaxdrop._checks.rates import rate_shape as rate_shape
from jaxdrop._checks.rates import static_rate as static_rate
