"""What is needed of images, from a source or from what is known already, before the deadline."""
