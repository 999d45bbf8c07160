"""Pure functions `f(key, x, rate, *, ...)`, one family of methods to a file."""

from jaxdrop.functional.dropout import dropout as dropout
from jaxdrop.functional.gaussian_dropout import gaussian_dropout as gaussian_dropout
