"""The table of tags against the characters that the format's description gives for some of them."""

from dspex_erl.etf import _tags as tags


def test_no_tag_twice() -> None:
    values = [value for name, value in vars(tags).items() if name.isupper() and isinstance(value, int)]
    assert len(values) == len(set(values)) > 25


def test_identifiers_are_tags() -> None:
    values = {value for name, value in vars(tags).items() if name.isupper() and isinstance(value, int)}
    assert values > tags.IDENTIFIERS
    assert bytes(sorted(tags.IDENTIFIERS)) == b"XYZefgpqrux"


def test_letters() -> None:
    assert (
        bytes([tags.NEW_FLOAT, tags.SMALL_INTEGER, tags.NIL, tags.LIST, tags.BINARY, tags.MAP, tags.SMALL_ATOM_UTF8]) == b"Fajlmtw"
    )
