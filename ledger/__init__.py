"""What became of every page: the one component that remembers."""
