"""The worker: what touches descriptors, threads, signals and the clock.

The lines from a frame to its answer: ``channel`` reads it, a scheduler (``serial`` or ``concurrent``) takes the call, ``calls`` runs
it, and the channel writes what came of it. ``worker`` puts these together; ``process`` sees to the process around them.
"""
