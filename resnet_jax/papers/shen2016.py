"""Relay back-propagation (Shen et al. 2016): the released net."""

from resnet_jax.papers.facts import Facts, counted, said, silent
from resnet_jax.papers.value import Table

_CODE = "lishen-shirley/Places2-CNNs"

VALUES = (
    Table(
        paper="shen2016",
        table="README",
        protocol="Places2 val, 401 scenes, one crop",
        certainty="code",
    ).cell("Model B", 49.74, 17.83),
)

NETWORKS: dict[str, Facts] = {
    "shen2016/README/Model B": said(
        f"{_CODE}, prototxt",
        {
            "form": "places2",
            "size": "imagenet",
            "width": 1.0,
            "classes": 401,
            "BatchNorm": "no",
        },
        certainty="code",
    )
    | counted(f"{_CODE}, prototxt", params=171_252_113, certainty="code")
    | said(
        "Shen et al. 2016",
        {"losses inside": "behind some stages, for upper ones; which is unknown"},
        certainty="unsure",
    )
}

RECIPES: dict[str, Facts] = {
    "shen2016/places2": said(
        f"README of {_CODE}", {"data set": "places2"}, certainty="code"
    )
    | said(f"README of {_CODE}", {"evaluation": "one crop"}, certainty="unsure")
    | silent(
        "batch",
        "learning rate",
        "drops at",
        "iterations",
        "momentum",
        "weight decay",
        "augmentation",
        "initialisation",
        "weight of those inside",
        source="not in what was released",
    )
}
