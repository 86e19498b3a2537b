"""What an image is: bytes in, facts out. No socket, no clock, no Kubernetes."""
