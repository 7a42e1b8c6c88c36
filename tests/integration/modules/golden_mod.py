"""Functions that the recorded conversations with stock ErlPort call."""

from erlport import Atom, erlang


class Point:
    @staticmethod
    def sum(a, b):
        return a + b


def echo(x):
    return x


def add(a, b):
    return a + b


def nothing():
    return None


def atom():
    return Atom(b"ok")


def text():
    return "caf\u00e9"


def pair():
    return ("a", b"b")


def mapping():
    return {Atom(b"k"): 1, b"b": [1, 2], "s": 2.5}


def big():
    return 2**200


def boom():
    raise ValueError("no such thing: \u2603")


def shout():
    print("hello")
    return True


def back(n):
    return erlang.call(Atom(b"erlang"), Atom(b"abs"), [n])


def back_error():
    try:
        erlang.call(Atom(b"erlang"), Atom(b"error"), [Atom(b"oops")])
    except erlang.CallError as error:
        return (error.language, error.type, error.value)


def nested(pid_mod, n):
    if n == 0:
        return 0
    return 1 + erlang.call(Atom(b"golden"), Atom(b"again"), [n - 1])


def me():
    return erlang.self()


def ref():
    return erlang.make_ref()


def tell(pid, message):
    erlang.cast(pid, message)
    return Atom(b"sent")


seen = []


def on_message(message):
    seen.append(message)


def install():
    erlang.set_message_handler(on_message)
    return True


def drain():
    found = list(seen)
    seen.clear()
    return found


def enc(value):
    return (Atom(b"enc"), value)


def dec(value):
    return (Atom(b"dec"), value) if not isinstance(value, bytes) else value


def install_codec():
    erlang.set_encoder(enc)
    erlang.set_decoder(dec)
    return Atom(b"on")


def remove_codec():
    erlang.set_default_encoder()
    erlang.set_default_decoder()
    return Atom(b"off")


class Custom:
    def __init__(self, v):
        self.v = v

    def __eq__(self, other):
        return isinstance(other, Custom) and other.v == self.v

    __hash__ = None


def custom(v):
    return Custom(v)


def custom_value(c):
    return c.v
