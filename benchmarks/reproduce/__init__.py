"""The papers' tables: ``python -m benchmarks.reproduce TABLE [--rows ...] [--seeds N]``."""
