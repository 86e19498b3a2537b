"""Fuzzing with atheris (libFuzzer): the parsers that read what strangers wrote.

A target is a module in ``targets``: ``check(data)`` with its invariants as assertions, and what
helps the fuzzer (``WORDS``, ``SEEDS``, ``repaired``). ``run`` runs one, ``seeds`` writes the
committed seeds, ``test_fuzz`` is CI's share. What was found once is in ``found``.
"""
