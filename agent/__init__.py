"""Plan, check, run, write and verify: from a question to a checked chain of thought."""
