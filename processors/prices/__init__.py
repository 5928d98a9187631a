"""What calls cost: ``rates`` multiplies, ``bundled`` and ``overrides`` find rates, ``table`` asks
them in order. Never the network; what has no known price has no cost, which is not zero.
"""
