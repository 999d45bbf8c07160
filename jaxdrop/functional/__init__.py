"""Pure functions `f(key, x, rate, *, ...)`, one family of methods to a file."""

from jaxdrop.functional.dropout import dropout as dropout
