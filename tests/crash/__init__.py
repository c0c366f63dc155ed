"""Proof under failure: kills, power cuts, failing system calls, and many processes at once.

The quick versions are a part of every run; the full ones (a thousand kills, thousands of power cuts, each call of each
kind of write failing in every way, minutes of many processes) take about half an hour::

    python -m pytest -m long tests/crash

Each part also takes the safeguards out, one by one (tests named ``test_planted_…``), and must then fail.
"""
