"""Published numbers: complete, consistent with each other, honest about certainty."""

import re

import pytest

from resnet_jax import papers as paper
from resnet_jax.errors import ConfigError
from resnet_jax.report.statistics import as_paper, summarise

# Cells of each table that the papers' own experiments fill, and quoted ones.
TABLES = {
    ("he2015", "T2"): 3,
    ("he2015", "T4"): 8,
    ("he2015", "T5"): 7,
    ("he2015", "T6"): 4,
    ("he2015", "T7"): 6,
    ("he2016a", "T2"): 4,
    ("he2016a", "T3"): 10,
    ("he2016a", "T4"): 8,
    ("he2016a", "T5"): 6,
    ("he2016a", "T6"): 12,
    ("he2016b", "T1"): 11,
    ("he2016b", "T2"): 10,
    ("he2016b", "T3"): 12,
    ("he2016b", "T4"): 21,
    ("he2016b", "T5"): 7,
    ("huang2016", "T1"): 4,
    ("hu2018", "T2"): 9,
    ("hu2018", "T4"): 4,
    ("hu2018", "T5"): 4,
    ("zagoruyko2016", "T2"): 6,
    ("zagoruyko2016", "T3"): 4,
    ("zagoruyko2016", "T5"): 6,
    ("zagoruyko2016", "T6"): 12,
    ("xie2017", "T3"): 10,
    ("xie2017", "T7"): 4,
    ("huang2017", "T2"): 51,
    ("huang2017", "T3"): 10,
    ("huang2017", "README"): 6,
    ("pleiss2017", "README"): 3,
    ("lin2014", "T1"): 2,
    ("lin2014", "T2"): 1,
    ("he2014", "T2"): 12,
    ("springenberg2015", "T3"): 12,
    ("springenberg2015", "text"): 3,
    ("liu2017", "T1"): 16,
    ("he2017", "text"): 6,
    ("chollet2017", "T1"): 1,
    ("han2020", "T3"): 4,
    ("han2020", "T4"): 4,
    ("han2020", "T5"): 4,
    ("han2020", "T6"): 3,
    ("han2020", "T7"): 3,
    ("han2022", "README"): 4,
    ("rastegari2016", "T1"): 5,
    ("rastegari2016", "T2"): 5,
    ("rastegari2016", "T3"): 4,
    ("rastegari2016", "text"): 2,
    ("gruening2021", "results"): 14,
    ("gruening2021", "jpeg"): 12,
    ("hara2018", "T2"): 11,
    ("shen2016", "README"): 1,
}


@pytest.mark.parametrize("table", TABLES)
def test_every_table_is_whole(table):
    cells = [v for v in paper.VALUES.values() if (v.paper, v.table) == table]
    assert len(cells) == TABLES[table]


def test_keys_are_unique_and_lead_to_their_values():
    assert sum(len(table.VALUES) for table in paper.TABLES) == len(paper.VALUES)
    for key, cell in paper.VALUES.items():
        assert paper.value(key) is cell and cell.key == key


def test_every_value_says_something_and_where_it_is_from():
    for cell in paper.VALUES.values():
        assert {cell.top1_err, cell.top5_err, cell.above} != {None}
        assert cell.protocol and cell.paper in paper.PAPERS
        assert (cell.runs == 1) == (cell.statistic == "single")
        assert (cell.mean is None) == (cell.std is None)
        if cell.top1_err is not None and cell.top5_err is not None:
            assert cell.top5_err < cell.top1_err


VIEWS = {  # found in the text of a protocol; the first that fits
    "other": "JPEG|dense|BinaryConnect|SVHN",
    "10crop": "10-crop|10-view",
    "dense": r"fully convolutional, \{224,256,384,480,640\}",
    "320crop": "single crop 320",
    "299crop": "single crop 299",
    "clips": "over clips",
    "ensemble": "ensemble",
    "1crop": r"one (32x32 )?view|(single|centre) crop( 224)?|one crop",
}


def test_views_are_those_of_the_protocol():
    for key, cell in paper.VALUES.items():
        fits = (
            views for views, text in VIEWS.items() if re.search(text, cell.protocol)
        )
        assert cell.views == next(fits), key


def test_numbers_that_two_tables_share_agree():
    def same(one, other):
        a, b = paper.value(one), paper.value(other)
        assert (a.top1_err, a.top5_err) == (b.top1_err, b.top5_err)

    same("he2015/T2/ReLU", "he2015/text/14 layers/He")
    same("he2015/T4/multi-scale/PReLU", "he2015/T6/A PReLU")
    same("he2015/T6/C PReLU", "he2016a/T4/PReLU-net C")
    same("he2015/T5/C PReLU", "he2016a/T3/PReLU-net C")
    same("he2016b/T2/full pre-activation/ResNet-164", "he2016b/T4/ResNet-164/CIFAR-10")
    same("he2016b/T1/original", "he2016b/T2/original/ResNet-110")
    same(
        "he2016b/T3/ResNet-1001 C100/pre-activation", "he2016b/T4/ResNet-1001/CIFAR-100"
    )
    same("huang2016/text/ResNet-110 C10/constant", "huang2017/T2/ResNet-110/C10")
    same("huang2016/text/ResNet-110 C100/constant", "huang2017/T2/ResNet-110/C100")
    same("han2020/T3/d=3", "han2020/T4/s=2")
    same("han2020/T3/d=3", "han2020/T5/Ghost-VGG-16")
    same("rastegari2016/T1/BWN/AlexNet", "rastegari2016/T3/alpha by Eq. 6/AlexNet")
    same(
        "rastegari2016/T1/XNOR-Net/AlexNet",
        "rastegari2016/T3/norm sign conv pool/AlexNet",
    )
    assert paper.value("he2016a/T6/ResNet-110").mean == 6.61


def test_accuracies_are_kept_as_errors():
    ghost = paper.value("han2020/T7/GhostNet 1.0x")
    assert (ghost.top1_err, ghost.top5_err, ghost.params_m) == (26.1, 8.6, 5.2)
    xnor = paper.value("rastegari2016/T2/XNOR-Net/ResNet-18")
    assert (xnor.top1_err, xnor.top5_err) == (48.8, 26.8)
    clips = paper.value("hara2018/T2/ResNeXt-101")
    assert (clips.top1_err, clips.top5_err, clips.certainty) == (34.9, 14.3, "known")


@pytest.mark.parametrize(
    "key, place",
    [
        ("he2016a/T6/ResNet-110", "Table 6"),
        ("he2015/text/14 layers/He", "running text"),
        ("huang2017/README/BC 40 k=36/C10+", "README of the released code"),
        ("gruening2021/results/Min-Net N=9", "results in the released code"),
    ],
)
def test_where_a_number_is_from(key, place):
    cell = paper.value(key)
    assert cell.source == f"{paper.PAPERS[cell.paper]}, {place}"


def test_the_papers_statistics():
    best = paper.value("he2016a/T6/ResNet-110")
    assert (best.top1_err, best.statistic, best.runs) == (6.43, "best", 5)
    median = paper.value("he2016b/T2/full pre-activation/ResNet-110")
    assert (median.top1_err, median.statistic, median.runs) == (6.37, "median", 5)
    single = paper.value("he2016a/T6/ResNet-20")
    assert (single.top1_err, single.statistic, single.runs) == (8.75, "single", 1)
    depth = paper.value("huang2016/T1/ResNet-110 C10+/stochastic")
    assert (depth.top1_err, depth.selection) == (5.25, "best_val")
    assert paper.value("he2016b/T1/dropout shortcut").above == 20.0


def test_learned_slopes_of_the_fourteen_layer_net():
    assert len(paper.SLOPES) == 13
    assert paper.SLOPES[0] == paper.Slope(layer="conv1", shared=0.681, channel=0.596)


def test_an_unknown_key_is_answered_with_near_ones():
    with pytest.raises(ConfigError, match=r"did you mean 'he2016a/T6/ResNet-20'"):
        paper.value("he2016a/T6/ResNet20")


def test_summary_of_errors():
    summary = summarise([7.0, 9.0, 8.0])
    assert (summary.n, summary.mean, summary.std) == (3, 8.0, 1.0)
    assert (summary.median, summary.best) == (8.0, 7.0)
    assert summarise([7.0, 9.0]).std == pytest.approx(2**0.5)
    assert summarise([7.0]).std is None and summarise([]) is None


def test_our_counterpart_of_the_papers_statistic():
    errors = [9.0, 8.0, 7.0, 6.5, 7.5, 1.0]
    best = as_paper(paper.value("he2016a/T6/ResNet-110"), errors)
    assert (best.value, best.statistic, best.n) == (6.5, "best", 5)
    median = as_paper(paper.value("he2016b/T1/original"), errors)
    assert (median.value, median.statistic, median.n) == (7.5, "median", 5)
    mean = as_paper(paper.value("he2016a/T6/ResNet-20"), errors)
    assert (mean.value, mean.statistic, mean.n) == (6.5, "mean", 6)
    assert as_paper(paper.value("he2016a/T6/ResNet-20"), []) is None
