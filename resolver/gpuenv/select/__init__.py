"""The decision: (machine, profile, catalog, facts, request, knowledge) -> which wheels, and why. Pure.

``settle`` finds it out, ``decide`` is one try; what explains an answer or a refusal is imported where it is asked for:
``about``, ``alternatives``, ``present``.
"""
