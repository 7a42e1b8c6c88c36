"""Between what a caller sends and the records of sessions and programs: terms made plain, options checked, commands carried out.

:mod:`~dspex_erl.bridge.commands` is the heart: one method for each command. :mod:`~dspex_erl.bridge.dialect` is the only place that knows atoms
from binaries, :mod:`~dspex_erl.bridge.settings` what a session can be made with, :mod:`~dspex_erl.bridge.snapshot` how one is written down.
"""
