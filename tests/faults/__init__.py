"""Fault runs: Wasl as it runs, under load, while something goes wrong; one checker says whether the promise held.

`python -m tests.faults` lists the runs and runs them; each has a short tier in the suite (`tests/test_faults_*.py`).
"""
