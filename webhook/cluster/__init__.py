"""The only rooms that speak to the Kubernetes API."""
