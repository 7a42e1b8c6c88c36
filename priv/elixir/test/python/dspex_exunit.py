"""Functions that the tests of the Elixir client call."""

import os
import signal
import time


def echo(value):
    return value


def sleep(seconds):
    time.sleep(seconds)
    return seconds


def die(status):
    os._exit(status)


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def busy():
    while True:
        pass


def say(text):
    print(text)


def call_erlang(module, function, args):
    from erlport import erlang
    from erlport.erlterms import Atom

    return erlang.call(Atom(module.encode()), Atom(function.encode()), args)


def tell(pid, message):
    from erlport import erlang

    erlang.cast(pid, message)


class OddError(Exception):
    pass


def fail(text):
    raise OddError(text)


def atom(name):
    from dspex_erl.terms import Atom

    return Atom(name)
