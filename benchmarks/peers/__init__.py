"""Tools that say whether an image runs as root, side by side: ``python -m benchmarks.peers``."""
