"""The wire: frames and ErlPort's protocol, without I/O, clock or thread.

:class:`Connection` is what a worker, a test or another transport drives; :class:`FrameReader` and :func:`frame_header` are its lower half.
"""

from dspex_erl.wire.events import Call, Event, Failure, HandlerFailure, Invalid, Message, Output, Result, Send
from dspex_erl.wire.framing import BUFFER_SIZE, MAX_FRAME, NEED_DATA, FrameReader, NeedData, frame_header
from dspex_erl.wire.protocol import CLOSED, ERLANG, OPEN, PYTHON, SHAPES, STEPS, STOPPING, Connection

__all__ = [
    "BUFFER_SIZE",
    "CLOSED",
    "ERLANG",
    "MAX_FRAME",
    "NEED_DATA",
    "OPEN",
    "PYTHON",
    "SHAPES",
    "STEPS",
    "STOPPING",
    "Call",
    "Connection",
    "Event",
    "Failure",
    "FrameReader",
    "HandlerFailure",
    "Invalid",
    "Message",
    "NeedData",
    "Output",
    "Result",
    "Send",
    "frame_header",
]
