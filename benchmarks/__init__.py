"""Figures that anyone can repeat: one table each, the reference beside ours in the same run."""
