"""How good is it: metrics and evaluations."""
