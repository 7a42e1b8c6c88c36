"""``erlport``: what ErlPort's package offers at its top."""

from dspex_erl.terms import ByteAtom as Atom

__all__ = ["Atom"]
