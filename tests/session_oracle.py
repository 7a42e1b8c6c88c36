"""What a session does when it has a process to itself: the oracle of isolation.

``python -m tests.session_oracle`` reads one line of JSON for each session, ``[[command, arguments…], …]``, runs it in a fork of its own that has imported
DSPy and done nothing else, and writes the replies as a line.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

VOLATILE = {"created_at", "last_activity", "duration_ms", "worker_id", "traceback"}
"""What differs between two runs of the same commands."""


def observed(reply: Any) -> Any:
    """A reply without what may differ, as JSON has it."""
    if isinstance(reply, dict):
        return {str(observed(key)): observed(value) for key, value in reply.items() if observed(key) not in VOLATILE}
    if isinstance(reply, (list, tuple)):
        return [observed(item) for item in reply]
    if type(reply) is bytes:
        return reply.decode()
    return str(reply) if isinstance(reply, str) else reply


def run(session: str, commands: list[list[Any]]) -> list[Any]:
    """The replies to ``commands``, each with ``session`` as its first argument. A snapshot is kept and put in for ``"$snapshot"``."""
    import dspex_erl

    snapshot: Any = None
    replies = []
    for name, *arguments in commands:
        given = [snapshot if argument == "$snapshot" else argument for argument in arguments]
        reply = dspex_erl.invoke(name, [session, *given], {})
        if name == "export_session" and reply["status"] == b"ok":
            snapshot = reply["value"]["snapshot"]
        replies.append(observed(reply))
    return replies


def main() -> None:
    """Serves until the end of standard input."""
    from dspex_erl.programs.ready import dspy_module

    dspy_module()
    for line in sys.stdin:
        session, commands = json.loads(line)
        sys.stdout.flush()
        if os.fork() == 0:
            print(json.dumps(run(session, commands)), flush=True)
            os._exit(0)
        os.wait()


if __name__ == "__main__":
    main()
