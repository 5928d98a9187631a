"""The contracts every part of Streamgauge meets at.

Records, topics, identities, evaluator names, stage protocols, configuration, manifests and rule
files. Nothing here does I/O; nothing here imports another package of the product.
"""
