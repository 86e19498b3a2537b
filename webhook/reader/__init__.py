"""Layers are read in processes of their own, which have nothing that is worth stealing.

``client`` brings a job and the layer's bytes, ``server`` forks a process for each job, ``sandbox``
takes from that process what it does not need, ``job`` does it, and ``messages`` is what passes
between. Docs: docs/adr/012-readers.md.
"""
