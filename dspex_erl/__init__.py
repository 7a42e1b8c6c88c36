"""Python, and DSPy above all, for Erlang and Elixir over ports."""

__version__ = "0.1.0"
