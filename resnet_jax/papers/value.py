"""A published number with everything needed to compare a run with it fairly."""

from dataclasses import dataclass
from typing import Literal

# Short names, as the values' keys begin, and what they stand for.
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
    "hara2018": "Hara et al. 2018, Can Spatiotemporal 3D CNNs Retrace the History of "
    "2D CNNs and ImageNet?, arXiv 1711.09577",
}

# Where numbers stand that no numbered table holds.
PLACES = {
    "text": "running text",
    "README": "README of the released code",
    "results": "results in the released code",
    "jpeg": "results on JPEG images in the released code",
}

Statistic = Literal["single", "best", "median", "mean"]
Selection = Literal["last", "best_val"]
Certainty = Literal["code", "text", "known", "derived"]

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
    are what the paper prints beside it. `above` is the bound the paper calls a failure
    ("fail" in He et al. 2016b, Table 1), and then there is no error. `selection` is the
    checkpoint that was tested; `origin` is "quoted" where the paper repeats the number
    of another one. `params_m` is in millions, as printed.
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
    protocol: str
    certainty: Certainty = "text"
    origin: Literal["own", "quoted"] = "own"
    params_m: float | None = None
    note: str = ""

    @property
    def key(self) -> str:
        """The name an experiment file uses, e.g. `he2016a/T6/ResNet-110`."""
        parts = (self.paper, self.table, self.row, self.column)
        return "/".join(part for part in parts if part)

    @property
    def source(self) -> str:
        """The paper and the place in it, for people."""
        numbered = f"Table {self.table.removeprefix('T')}"
        place = PLACES.get(self.table, numbered)
        return f"{PAPERS[self.paper]}, {place}"


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
