"""What the tests share: forged images, a registry that can misbehave, a real API server."""
