"""From logs to the papers' tables and figures. Reads files only; imports no jax.

`paper` holds the published numbers, `claim` an experiment file, `rows` its runs,
`summary` the statistics, `tables` the report of errors, `slopes` that of learned
slopes, `cells` and `records` their text and numbers, `markup` the four formats and
`plots` the figures. `python -m resnet_jax.report --help` is the way in.
"""
