"""Images that a real containerd starts, with a probe in each: who it is, and what is a shell."""
