"""The benchmarks: ``python -m tests.benchmarks`` prints one table and writes one JSON file.

Every number that matters is a ratio: something of ours against a yardstick that was measured in the same run, a moment before or
after, round by round. A row shows the median over the rounds and, in brackets, the least and the greatest; means are not used.

* :mod:`codec` and :mod:`growth`: the two coders against msgspec, orjson, pickle and marshal, and against ten times the input.
* :mod:`ports`: workers behind a real Erlang port, against ``cat`` and against a plain serial loop (:mod:`serial_worker`).

The targets stand beside the rows, in the functions that make them.
"""
