"""``python -m tests.fuzz``: every fuzzer that measures coverage; today that is the codec's."""

from tests.fuzz.atheris_codec import main

main()
