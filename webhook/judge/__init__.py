"""Policy documents to policies; findings and policies to a decision."""
