"""Batch of examples: arrays by name, one row per example.

    image  [b *t h w c]        pixels as stored, uint8, uint16, or float32 in 0..1; t
                               frames where an example is a clip
    label  int32 [b]
    mask   float32 [b]         0 in rows that only fill up a last batch; absent: all 1
    row    int32 [b]           position in the global batch; random draws depend on it,
                               not on the device or process that holds the row
    index  int32 [b]           position in the split, in place of image and label where
                               a device holds the whole split

Several batches are stacked on a leading axis, [k b ...]; batches of several seeds on
another one, [seeds k b ...].
"""

from collections.abc import Iterable, Mapping

import numpy as np

Batch = dict[str, np.ndarray]
# A whole split: "image" [n *t h w c] and "label" [n].
Arrays = Mapping[str, np.ndarray]


def stacked(batches: Iterable[Batch]) -> Batch:
    """Stack batches of equal shapes along a new first axis."""
    batches = list(batches)
    return {name: np.stack([b[name] for b in batches]) for name in batches[0]}
