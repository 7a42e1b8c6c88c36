"""Language models: what a session asks for (``spec``), how it is built (``build``), the clients, and what their errors mean.

``spec`` is data and knows no DSPy. The engines answer one request each: DSPy keeps the cache, the retries and the adapters.
"""
