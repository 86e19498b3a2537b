"""AdmissionReview bytes to values and back; Kubernetes objects to workloads."""
