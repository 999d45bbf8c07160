"""MC dropout on the UCI regression sets: error and likelihood by the published protocol, beside other methods."""
