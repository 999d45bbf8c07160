"""MC dropout on pictures of digits."""
