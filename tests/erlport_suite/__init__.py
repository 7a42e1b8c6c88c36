"""ErlPort's own tests of its Python side, run against the modules that take the place of ErlPort's: ``tox -e erlport``.

The tests themselves come from PyPI, in the package ``emqx-erlport``, which has them under ErlPort's own module names. Of that
package nothing but the tests is ever imported. It holds no Erlang, so ErlPort's tests of the Erlang side are not among them.
"""
