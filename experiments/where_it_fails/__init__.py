"""Where dropout's uncertainty fails: away from the data, and beside an ensemble of the same cost."""
