"""The optional C coder; everything else about the package is in setup.cfg.

Three variables of the environment:

* ``DSPEX_ERL_PURE=1``: build no C at all.
* ``DSPEX_ERL_REQUIRE_C=1``: fail when the C coder does not build. Without it the package is installed with the pure coder alone.
* ``DSPEX_ERL_SANITIZE=1``: build it with AddressSanitizer and UndefinedBehaviorSanitizer, for the tests.
"""

import os
import sysconfig

from setuptools import Extension, setup

SOURCES = "dspex_erl/etf/_speedups"
PARTS = ("module", "reader", "names", "decoder", "writer", "encoder", "text", "fast", "wire")
OLDEST = "0x030A0000"


def _wanted(name: str) -> bool:
    return os.environ.get(name, "") not in ("", "0")


def _extension(limited: bool) -> Extension:
    flags = ["-std=c11", "-Wall", "-Wextra", "-fvisibility=hidden", "-fno-strict-aliasing"]
    links = []
    if _wanted("DSPEX_ERL_SANITIZE"):
        sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
        flags += [*sanitizers, "-fno-omit-frame-pointer", "-g", "-O1"]
        links += sanitizers
    else:
        flags.append("-O3")
    if os.name != "posix":
        flags, links = [], []
    return Extension(
        "dspex_erl.etf._speedups",
        sources=[f"{SOURCES}/{name}.c" for name in PARTS],
        depends=[f"{SOURCES}/{name}.h" for name in ("common", "reader", "writer")],
        define_macros=[("Py_LIMITED_API", OLDEST)] if limited else [],
        extra_compile_args=flags,
        extra_link_args=links,
        py_limited_api=limited,
        optional=not _wanted("DSPEX_ERL_REQUIRE_C"),
    )


if _wanted("DSPEX_ERL_PURE"):
    setup()
else:
    # A free-threaded interpreter has no limited API yet: it gets an extension of its own.
    LIMITED = not sysconfig.get_config_var("Py_GIL_DISABLED")
    setup(
        ext_modules=[_extension(LIMITED)],
        options={"bdist_wheel": {"py_limited_api": "cp310"}} if LIMITED else {},
    )
