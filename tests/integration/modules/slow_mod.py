"""A module whose body takes its time, so that several calls find it half imported."""

import time

time.sleep(0.05)


def answer():
    return 42
