"""What the integration tests call in a worker: plain functions, and every way to misbehave that a worker must survive."""

import asyncio
import ctypes
import enum
import os
import re
import subprocess
import sys
import threading
import time

from erlport import Atom, erlang
from erlport.erlterms import List, OpaqueObject

import dspex_erl

# -- values ----------------------------------------------------------------------------------------------------------------------


def echo(value):
    return value


def echo_all(*values):
    return list(values)


def add(a, b):
    return a + b


def kind(value):
    return type(value).__name__.encode()


def bools():
    return [True, False, True]


def floats():
    return [float("nan"), float("inf"), float("-inf"), 1.5]


def not_a_number():
    return float("nan")


def deep(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


def depth_of(value):
    depth = 0
    while value:
        value = value[0]
        depth += 1
    return depth


def zeros(count):
    return bytes(count)


def size(value):
    return len(value)


def surrogate():
    return "a\ud800b"


def nothing_like_it():
    return object()


def lock_inside():
    return [1, {b"key": threading.Lock()}]


class Settings(dict):
    """A subclass of dict, as libraries like to return."""


def subclass_of_dict():
    return Settings(a=1)


class Number(enum.IntEnum):
    TWO = 2


def numbers_in_disguise():
    return [Number.TWO, True, 2]


def change_the_arguments(values):
    values.append(1)
    return values


def copy_and_change_the_arguments(values):
    changed = list(values)
    changed.append(1)
    return changed


class Shelf:
    """Something to reach through a dotted name."""

    label = "shelf"

    class Inner:
        @staticmethod
        def double(number):
            return 2 * number

    @classmethod
    def name(cls):
        return cls.label.encode()


# -- errors ----------------------------------------------------------------------------------------------------------------------


class Custom(Exception):
    pass


class BrokenStr(Exception):
    def __str__(self):
        raise RuntimeError("no text for you")


class ExitingStr(Exception):
    def __str__(self):
        raise SystemExit(3)


class NumberStr(Exception):
    def __str__(self):
        return 5


LongName = type("L" * 300, (Exception,), {})
WideName = type("名" * 300, (Exception,), {})
SurrogateName = type("Odd", (Exception,), {"__module__": "a\ud800b"})
NoModule = type("Odd", (Exception,), {"__module__": None})

ERRORS = {
    b"value": lambda: ValueError("no such thing: \u2603"),
    b"custom": lambda: Custom("mine"),
    b"exit": lambda: SystemExit(3),
    b"interrupt": KeyboardInterrupt,
    b"generator_exit": GeneratorExit,
    b"base": lambda: BaseException("base"),
    b"broken_str": BrokenStr,
    b"exiting_str": ExitingStr,
    b"number_str": NumberStr,
    b"long_name": lambda: LongName("long"),
    b"wide_name": lambda: WideName("wide"),
    b"surrogate_name": lambda: SurrogateName("odd"),
    b"no_module": lambda: NoModule("odd"),
    b"surrogate_text": lambda: ValueError("a\ud800b"),
    b"long_text": lambda: ValueError("x" * 10_000_000),
    b"eof": EOFError,
    b"stop_iteration": StopIteration,
    b"memory": MemoryError,
}


def fail(name):
    raise ERRORS[name]()


async def fail_later(name):
    await asyncio.sleep(0)
    raise ERRORS[name]()


def fail_at_depth(levels):
    if levels == 0:
        raise ValueError("down here")
    fail_at_depth(levels - 1)


def recurse_for_ever():
    return recurse_for_ever()


def leave():
    sys.exit(7)


# -- printing --------------------------------------------------------------------------------------------------------------------


def say(text):
    print(text.decode() if isinstance(text, bytes) else "".join(map(chr, text)))
    return True


def say_times(text, times):
    print(text.decode() * times)
    return True


def say_without_end(text):
    print(text.decode(), end="")
    return True


def say_surrogate():
    print("a\ud800b")
    return True


def say_a_lot(lines):
    for number in range(lines):
        print("line", number)
    return lines


def say_in_bytes():
    sys.stdout.buffer.write(b"bytes \xe2\x98\x83 and \xff\n")
    sys.stdout.flush()
    return True


def write_behind_the_back():
    """Everything that writes to descriptor 1 without asking Python's ``print``."""
    os.write(1, b"from os.write\n")
    libc = ctypes.CDLL(None)
    libc.puts(b"from C")
    libc.fflush(None)
    subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
    sys.__stdout__.write("from __stdout__\n")
    sys.__stdout__.flush()
    os.system("echo from a shell")
    return True


def read_behind_the_back():
    """Everything that reads from descriptor 0, and would swallow frames if they came that way."""
    taken = os.read(0, 100)
    child = subprocess.run(["cat"], check=True, capture_output=True).stdout
    return [taken, child]


def about_stdout():
    return [sys.stdout.isatty(), sys.stdout.write(""), hasattr(sys.stdout, "buffer"), sys.stdout.encoding.encode()]


def read_input():
    return input()


# -- calls back into Erlang ------------------------------------------------------------------------------------------------------


def call_erlang(module, function, args):
    return erlang.call(module, function, args)


def call_erlang_and_catch(module, function, args):
    try:
        return erlang.call(module, function, args)
    except erlang.CallError as error:
        return (error.language, error.type, error.value)


def call_erlang_from_threads(count):
    """``erlang.call`` from ``count`` threads at once, and then one from this thread."""
    found = [None] * count

    def ask(number):
        found[number] = erlang.call(Atom(b"erlang"), Atom(b"abs"), [-number])

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [*found, erlang.call(Atom(b"erlang"), Atom(b"abs"), [-count])]


background = []


def call_erlang_in_the_background(number):
    """Returns at once; a thread then calls Erlang while nothing else runs here."""
    done = threading.Event()

    def ask():
        try:
            background.append(erlang.call(Atom(b"erlang"), Atom(b"abs"), [number]))
        finally:
            done.set()

    threading.Thread(target=ask, daemon=True).start()
    call_erlang_in_the_background.done = done
    return True


def background_result():
    call_erlang_in_the_background.done.wait()
    return background.pop()


def nest(module, function, args, levels):
    """Calls Erlang, which is expected to call this again with one level less."""
    if levels == 0:
        return 0
    return 1 + erlang.call(module, function, [*args, levels - 1])


async def nest_async(levels):
    return levels


def me():
    return erlang.self()


def start_background_prints(count):
    """Threads that print while other calls run."""
    threads = [threading.Thread(target=print, args=(f"thread {number}",)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return True


def unpickled(path):
    """For a pickle to call, were it ever loaded."""
    with open(path, "w") as file:
        file.write("unpickled")


def end_later():
    """Begins, and ends by itself once the wire is gone."""
    erlang.cast(Atom(b"test"), Atom(b"busy"))
    try:
        erlang.call(Atom(b"test"), Atom(b"never"), [])
    except BaseException as error:
        sys.stderr.write(f"ended by {type(error).__name__}\n")
        raise


def print_for_ever():
    erlang.cast(Atom(b"test"), Atom(b"busy"))
    while True:
        print("x" * 1000)


def reference():
    return erlang.make_ref()


def tell(destination, message):
    erlang.cast(destination, message)
    return Atom(b"sent")


def tell_from_threads(destination, count):
    threads = [threading.Thread(target=erlang.cast, args=(destination, number)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return count


# -- messages and hooks ----------------------------------------------------------------------------------------------------------

messages = []
came = threading.Condition()


def keep(message):
    with came:
        messages.append(message)
        came.notify_all()


class Keeper:
    def handle(self, message):
        keep((Atom(b"kept"), message))


def on_messages(how):
    handler = {
        b"function": keep,
        b"method": Keeper().handle,
        b"lambda": lambda message: keep(message),
        b"more parameters": lambda message, more=None: keep(message),
        b"builtin": messages.append,
    }[how]
    erlang.set_message_handler(handler)
    return True


def forward_messages(destination):
    erlang.set_message_handler(lambda message: erlang.cast(destination, (Atom(b"forwarded"), message)))
    return True


def answer_messages_by_call(destination):
    def handler(message):
        erlang.cast(destination, (Atom(b"called"), erlang.call(Atom(b"erlang"), Atom(b"abs"), [message])))

    erlang.set_message_handler(handler)
    return True


def fail_on_messages():
    def handler(message):
        raise Custom("the handler failed")

    erlang.set_message_handler(handler)
    return True


def ignore_messages():
    erlang.set_default_message_handler()
    return True


def take_messages(count):
    """The first ``count`` messages, once they are there. Only for workers that read while a call runs its course."""
    with came:
        if not came.wait_for(lambda: len(messages) >= count, timeout=60):
            raise TimeoutError(f"{len(messages)} of {count} messages came")
        found = messages[:count]
        del messages[:count]
    return found


def set_bad_handler(which):
    setter = {b"message": erlang.set_message_handler, b"encoder": erlang.set_encoder, b"decoder": erlang.set_decoder}[which]
    for bad in (5, lambda: None, lambda a, b: None):
        try:
            setter(bad)
        except (TypeError, ValueError):
            continue
        return False
    return True


class Box:
    def __init__(self, value):
        self.value = value


def box(value):
    return Box(value)


def encode_boxes():
    erlang.set_encoder(lambda value: (Atom(b"box"), value.value) if isinstance(value, Box) else value)
    return True


def decode_boxes():
    erlang.set_decoder(lambda value: Box(value[1]) if isinstance(value, tuple) and value[0] == b"box" else value)
    return True


def fail_to_encode():
    def encoder(value):
        raise Custom("the encoder failed")

    erlang.set_encoder(encoder)
    return True


def fail_to_decode():
    def decoder(value):
        raise Custom("the decoder failed")

    erlang.set_decoder(decoder)
    return True


def no_hooks():
    erlang.set_default_encoder()
    erlang.set_default_decoder()
    return True


# -- taking one's time -----------------------------------------------------------------------------------------------------------


def spin(*_):
    while True:
        pass


def take_about(seconds):
    """Computes for a while; the worker's housekeeping wakes once in such a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    return True


def begin_and_take_about(seconds):
    """Says that it has begun, and is done after a while."""
    erlang.cast(Atom(b"test"), Atom(b"busy"))
    time.sleep(seconds)
    return True


def busy(how):
    """Says that it has begun, and then never ends."""
    erlang.cast(Atom(b"test"), Atom(b"busy"))
    BUSY[how]()


def _lock_for_ever():
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def _swallow_everything():
    while True:
        try:
            time.sleep(1000)
        except BaseException:
            continue


def _wait_for_child():
    subprocess.run(["sleep", "1000"], check=False)


def _wait_for_erlang():
    erlang.call(Atom(b"test"), Atom(b"never"), [])


def _start_threads():
    for _ in range(5):
        threading.Thread(target=spin).start()
    threading.Thread(target=time.sleep, args=(1000,)).start()
    spin()


BUSY = {
    b"python": spin,
    b"sum": lambda: sum(range(10**12)),
    b"sleep": lambda: time.sleep(1000),
    b"regex": lambda: re.match(r"(a|aa)+$", "a" * 200 + "b"),
    b"power": lambda: 7 ** (7**11),
    b"lock": _lock_for_ever,
    b"stubborn": _swallow_everything,
    b"child": _wait_for_child,
    b"erlang": _wait_for_erlang,
    b"threads": _start_threads,
}


def start_children():
    """Children of every sort, none of which would end by itself. Returns their pids once they run."""
    plain = subprocess.Popen(["sleep", "1000"])
    session = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    group = subprocess.Popen(["sh", "-c", "sleep 1000 & sleep 1000 & wait"], start_new_session=True)
    stubborn = subprocess.Popen(
        [sys.executable, "-c", "import signal; [signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15)]; signal.pause()"]
    )
    return [child.pid for child in (plain, session, group, stubborn)]


def start_hard_children():
    """Children that are not easily found once this process is gone. Returns their pids once they run."""
    forked = os.fork()
    if not forked:
        # It has this process's descriptors, all of them.
        time.sleep(1000)
        os._exit(0)
    # A daemon: a session of its own, and a parent that is gone.
    daemon = subprocess.run(["setsid", "sh", "-c", "sleep 1000 > /dev/null 2>&1 & echo $!"], check=True, capture_output=True).stdout
    nameless = subprocess.run(["sh", "-c", "sleep 1000 > /dev/null 2>&1 & echo $!"], check=True, capture_output=True, env={}).stdout
    return [forked, int(daemon), int(nameless)]


def linger():
    """A thread that is not a daemon, which keeps an ordinary Python program from ending."""
    threading.Thread(target=time.sleep, args=(1000,)).start()
    return True


def pid():
    return os.getpid()


gate = threading.Event()
order = []


def wait_at_the_gate(number=0):
    """Tells that it has begun, and waits until somebody opens the gate."""
    erlang.cast(Atom(b"test"), (Atom(b"waiting"), number))
    gate.wait()
    return number


async def wait_at_the_gate_async(number=0):
    erlang.cast(Atom(b"test"), (Atom(b"waiting"), number))
    while not gate.is_set():
        await asyncio.sleep(0.001)
    return number


def open_the_gate():
    gate.set()
    return True


def note(number):
    order.append(number)
    return number


def noted():
    found = list(order)
    order.clear()
    return found


def thread_is_main():
    return threading.current_thread() is threading.main_thread()


opened = threading.Event()


def wait_for_a_message(number):
    """Ends when a message comes."""
    erlang.set_message_handler(lambda message: opened.set())
    erlang.cast(Atom(b"test"), (Atom(b"waiting"), number))
    opened.wait()
    return number


async def wait_for_a_message_async(number):
    erlang.set_message_handler(lambda message: opened.set())
    erlang.cast(Atom(b"test"), (Atom(b"waiting"), number))
    await asyncio.to_thread(opened.wait)
    return number


def shut_down_and_call_erlang(number):
    dspex_erl.shutdown()
    return erlang.call(Atom(b"erlang"), Atom(b"abs"), [number])


inside = 0
inside_lock = threading.Lock()


def count_in():
    """How many calls are in here, this one included."""
    global inside
    with inside_lock:
        inside += 1
    time.sleep(0.002)
    with inside_lock:
        seen = inside
        inside -= 1
    return seen


def descriptors_of_a_child():
    program = "import os\nfor fd in os.listdir('/proc/self/fd'):\n  try: print(os.readlink('/proc/self/fd/' + fd))\n  except OSError: pass"
    run = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, close_fds=False)
    return run.stdout.split(b"\n")


barriers = {}
barriers_lock = threading.Lock()


def meet(parties):
    """Returns when ``parties`` calls are in here at once."""
    with barriers_lock:
        barrier = barriers.setdefault(parties, threading.Barrier(parties))
    barrier.wait(timeout=60)
    time.sleep(0.01)
    return True


meetings = {}


async def meet_async(parties):
    count, event = meetings.setdefault(parties, ([], asyncio.Event()))
    count.append(None)
    if len(count) == parties:
        event.set()
    await asyncio.wait_for(event.wait(), 60)
    return True


async def echo_async(value):
    await asyncio.sleep(0)
    return value


async def print_async(text):
    await asyncio.sleep(0)
    print(text.decode())
    return True


async def call_erlang_async(number):
    return await asyncio.to_thread(erlang.call, Atom(b"erlang"), Atom(b"abs"), [number])


def opaque_language(value):
    return value.language if isinstance(value, OpaqueObject) else None


def is_list(value):
    return isinstance(value, List)
