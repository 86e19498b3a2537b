"""What slimgate's speed is, measured beside what bounds it: ``make bench``."""
