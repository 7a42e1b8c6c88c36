"""Programs: DSPy behind plain descriptions, and nothing of DSPy before the first of them is built."""
