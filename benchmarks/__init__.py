"""Benchmarks of nngio beside other bindings and C; `python -m benchmarks --help`, and README.md here."""
