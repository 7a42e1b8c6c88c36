"""Sessions: who owns which programs, with which language model, and what became of them.

This layer keeps records. It knows neither DSPy nor bytes: a program's specification, the model and whatever was built from
them are values that it stores for the layer above, and a clock is something that it is given.
"""

from dspex_erl.sessions.clock import Clock
from dspex_erl.sessions.ids import check_id
from dspex_erl.sessions.registry import Registry
from dspex_erl.sessions.session import Program, Session, Statistics

__all__ = ["Clock", "Program", "Registry", "Session", "Statistics", "check_id"]
