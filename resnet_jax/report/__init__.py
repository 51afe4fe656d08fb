"""Tables and figures from logs, without jax.

`runs` reads the folders of an experiment, `identity` finds copies among them, `line`
summarises a row (`statistics`), `pairs` compares rows, `table` joins them, `notes`
explains them, `slopes_table` summarises learned slopes. `cells` turns these into text,
`records` into numbers. `audit_table` and `init_table` serve other commands. `render`
writes tables, `figure` figures (`plots`, `slopes_figure`, `init_figure`,
`saliency_figure`).
"""
