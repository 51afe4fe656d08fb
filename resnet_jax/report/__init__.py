"""From logs to tables and figures. Reads files only; imports no jax.

An experiment: `runs` reads its folders, `line` has a row's statistics (`statistics`),
`table` all rows and their differences, `notes` what is said below, `slopes_table`
learned slopes. `cells` and `records` make text and numbers of them. `audit_table` and
`init_table` are of other commands. `render` writes every table, `figure` every figure
(`plots`, `slopes_figure`, `init_figure`, `saliency_figure`).
"""
