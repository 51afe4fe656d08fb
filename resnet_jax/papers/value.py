"""Published numbers with their statistic, protocol, certainty and source."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

# Full references by short name, the first part of a value's key.
PAPERS = {
    "he2015": "He et al. 2015, Delving Deep into Rectifiers, arXiv 1502.01852",
    "he2016a": "He et al. 2016, Deep Residual Learning, arXiv 1512.03385",
    "he2016b": "He et al. 2016, Identity Mappings, arXiv 1603.05027",
    "huang2016": "Huang et al. 2016, Stochastic Depth, arXiv 1603.09382",
    "zagoruyko2016": "Zagoruyko & Komodakis 2016, Wide Residual Networks, "
    "arXiv 1605.07146",
    "xie2017": "Xie et al. 2017, Aggregated Residual Transformations, arXiv 1611.05431",
    "hu2018": "Hu et al. 2018, Squeeze-and-Excitation, arXiv 1709.01507",
    "huang2017": "Huang et al. 2017, Densely Connected Convolutional Networks, "
    "arXiv 1608.06993",
    "pleiss2017": "Pleiss et al. 2017, Memory-Efficient DenseNets, arXiv 1707.06990",
    "lin2014": "Lin et al. 2014, Network in Network, arXiv 1312.4400",
    "he2014": "He et al. 2014, Spatial Pyramid Pooling, arXiv 1406.4729",
    "springenberg2015": "Springenberg et al. 2015, Striving for Simplicity, "
    "arXiv 1412.6806",
    "simonyan2015": "Simonyan & Zisserman 2015, Very Deep Convolutional Networks, "
    "arXiv 1409.1556",
    "liu2017": "Liu et al. 2017, Network Slimming, arXiv 1708.06519",
    "han2020": "Han et al. 2020, GhostNet, arXiv 1911.11907",
    "han2022": "Han et al. 2022, GhostNets on Heterogeneous Devices, IJCV",
    "rastegari2016": "Rastegari et al. 2016, XNOR-Net, arXiv 1603.05279",
    "gruening2021": "Gruening & Barth 2021, Min-Nets, SVRHM workshop at NeurIPS",
    "zhu2022": "Zhu et al. 2022, RKCNN, arXiv 1802.08831",
    "eliasof2023": "Eliasof et al. 2023, MGIC, SIAM J. Sci. Comput.",
    "shen2016": "Shen et al. 2016, Relay Backpropagation, ECCV",
    "he2017": "He et al. 2017, Channel Pruning, arXiv 1707.06168",
    "chollet2017": "Chollet 2017, Xception, arXiv 1610.02357",
    "hara2018": "Hara et al. 2018, Can Spatiotemporal 3D CNNs Retrace the History of "
    "2D CNNs and ImageNet?, arXiv 1711.09577",
}

# Places of numbers outside the numbered tables.
PLACES = {
    "text": "running text",
    "README": "README of the released code",
    "results": "results in the released code",
    "jpeg": "results on JPEG images in the released code",
}

Statistic = Literal["single", "best", "median", "mean"]
Selection = Literal["last", "best_val"]
Params = Literal["last", "ema"]
Certainty = Literal["code", "text", "known", "derived"]
Origin = Literal["own", "quoted"]
# Views of an image, whose scores are averaged. "dense": fully convolutional at the five
# scales of He et al. 2016a; "other": not stated, or a protocol without a word here.
Views = Literal[
    "1crop", "10crop", "dense", "320crop", "299crop", "clips", "ensemble", "other"
]
Error = float | None  # in percent; None where the paper prints none


def error(accuracy: float) -> float:
    """Error of an accuracy that a paper prints, both in percent."""
    return round(100 - accuracy, 2)


CERTAINTY = {
    "code": "read in the authors' released code",
    "text": "read in a transcription of the paper",
    "known": "from memory, not checked",
    "derived": "computed, not printed in the paper",
}


@dataclass(frozen=True, kw_only=True)
class Value:
    """One cell of a paper's table; errors in percent.

    `top1_err` is the statistic named by `statistic` over `runs` runs; `mean` and `std`
    are printed beside it. `above` is the error from which on the paper reports failure
    instead of a number ("fail" in He et al. 2016b, Table 1). `selection` is the
    checkpoint that was tested, `params` its parameters or their moving average;
    `origin` is "quoted" where the paper repeats the number
    of another one. `protocol` is for people, `views` for comparisons. `params_m` is in
    millions, as printed.
    """

    paper: str
    table: str
    row: str
    column: str = ""
    top1_err: float | None = None
    top5_err: float | None = None
    mean: float | None = None
    std: float | None = None
    above: float | None = None
    statistic: Statistic = "single"
    runs: int = 1
    selection: Selection = "last"
    params: Params = "last"
    protocol: str
    views: Views
    certainty: Certainty = "text"
    origin: Origin = "own"
    params_m: float | None = None
    note: str = ""

    @property
    def key(self) -> str:
        """Name of the value in experiment files, e.g. `he2016a/T6/ResNet-110`."""
        parts = (self.paper, self.table, self.row, self.column)
        return "/".join(part for part in parts if part)

    @property
    def source(self) -> str:
        """Reference of the paper and the table, as printed below our tables."""
        numbered = f"Table {self.table.removeprefix('T')}"
        place = PLACES.get(self.table, numbered)
        return f"{PAPERS[self.paper]}, {place}"


@dataclass(frozen=True, kw_only=True)
class Table:
    """Fields shared by the cells of a published table, and constructors of cells."""

    paper: str
    table: str
    protocol: str
    views: Views = "1crop"
    column: str = ""
    statistic: Statistic = "single"
    runs: int = 1
    selection: Selection = "last"
    certainty: Certainty = "text"
    origin: Origin = "own"

    @property
    def quoted(self) -> "Table":
        """Table for the numbers that are quoted from other papers."""
        return replace(self, origin="quoted")

    def cell(
        self, row: str, top1_err: Error = None, top5_err: Error = None, **fields: Any
    ) -> Value:
        """Value of one row; `fields` add to those of the table, or replace them."""
        own = {"row": row, "top1_err": top1_err, "top5_err": top5_err}
        return Value(**vars(self) | own | fields)

    def cells(
        self, *rows: tuple[str, Error] | tuple[str, Error, Error]
    ) -> tuple[Value, ...]:
        """Values of one column, from (row, top-1 error[, top-5 error])."""
        return tuple(self.cell(row, *errors) for row, *errors in rows)

    def grid(
        self,
        columns: Sequence[str],
        rows: Mapping[str, Sequence[Error]],
        **fields: Any,
    ) -> tuple[Value, ...]:
        """Values row by row, from the errors of each row in the order of `columns`.

        `{column}` in the protocol stands for the name of the column.
        """
        tables = [
            replace(self, column=name, protocol=self.protocol.replace("{column}", name))
            for name in columns
        ]
        return tuple(
            table.cell(row, error, **fields)
            for row, errors in rows.items()
            for table, error in zip(tables, errors, strict=True)
        )


@dataclass(frozen=True, kw_only=True)
class Slope:
    """Learned PReLU slopes of one layer (He et al. 2015, Table 1).

    `shared` is the layer's one slope in the channel-shared net, `channel` the mean over
    channels in the channel-wise net.
    """

    layer: str
    shared: float
    channel: float
    certainty: Certainty = "text"
