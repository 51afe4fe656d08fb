"""The audit: every experiment passes, and what differs from its paper is named."""

import contextlib
import functools
import json
from pathlib import Path

import counted
import pytest

from resnet_jax import audit, papers
from resnet_jax.analysis import audit_compare, audit_values
from resnet_jax.analysis.audit_values import ConfigValues
from resnet_jax.config import experiment_file
from resnet_jax.config.merge import hints, leaves, slot
from resnet_jax.config.resolve import configured, validated
from resnet_jax.config.schema import Config
from resnet_jax.errors import ConfigError
from resnet_jax.models import complexity
from resnet_jax.models.layers.activations import PRelu
from resnet_jax.models.units import branch as branches
from resnet_jax.models.units import gate as gates
from resnet_jax.models.units import shortcut as shortcuts
from resnet_jax.models.zoo import resnets
from resnet_jax.papers.facts import Fact, said

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
PATHS = {path.stem: str(path) for path in sorted(EXPERIMENTS.glob("*.py"))}
OWN_IMAGES = PATHS.pop("finetune_folder")  # no paper's
load = functools.cache(experiment_file.load)


class Uncounted(ConfigValues):
    """A row whose net is not counted, as that takes seconds."""

    def counts(self):
        return {}


@pytest.fixture
def uncounted(monkeypatch):
    """The audit reads fields alone."""
    monkeypatch.setattr(audit_compare, "ConfigValues", Uncounted)


def run(capsys, *argv):
    """(exit code, stdout, stderr) of the command."""
    code = audit.main(["audit", *argv])
    return code, *capsys.readouterr()


@pytest.fixture(autouse=True)
def looked_up(monkeypatch):
    """Counts of the experiments' nets; test_experiments compares them with the nets."""
    monkeypatch.setattr(audit_values, "_counted", counted.counts)


def unread(row):
    """Published values of a row that no line has."""
    facts = [papers.network(row.network)] if row.network else []
    facts += [papers.recipe(row.recipe)] if row.recipe else []
    quantities = {line.quantity for line in row.lines}
    return {quantity for each in facts for quantity in each} - quantities


every_experiment = pytest.mark.parametrize("name", PATHS)


@every_experiment
def test_every_experiment_follows_its_paper_or_says_why(name, capsys):
    code, out, err = run(capsys, "--config", PATHS[name])
    assert (code, err) == (0, "")
    for row in load(PATHS[name]).rows:
        assert f"## {row}: " in out


@every_experiment
def test_nothing_that_a_paper_says_of_a_row_goes_unread(name):
    for row in audit_compare.audited(load(PATHS[name]), None, []):
        assert not unread(row), row.name


# Errors found in other code: file and row, the change, the fields that are named.
WRONG = {
    "projection in every unit": (
        "imagenet_resnet.py:ResNet-18-A",
        ["model.unit.shortcut=C"],
        ["model.unit.shortcut"],
    ),
    "bottlenecks at 18 layers": (
        "imagenet_resnet.py:ResNet-18-A",
        ["model.unit.branch=bottleneck"],
        ["model.unit.branch"],
    ),
    "34 layers are not 50": (
        "imagenet_resnet.py:ResNet-34-B",
        ["model.depth=50"],
        ["model.depth", "model.unit.branch"],
    ),
    "stride in the 3x3": (
        "imagenet_resnet.py:ResNet-50",
        ["model.unit.branch=bottleneck", "model.unit.branch.stride_at=3x3"],
        ["model.unit.branch.stride_at"],
    ),
    "projections on CIFAR": (
        "cifar_resnet.py:ResNet-20",
        ["model.unit.shortcut=B"],
        ["model.unit.shortcut"],
    ),
    "a fixed small slope": (
        "rectifiers.py:PReLU-He",
        ["model.act.slope=0.01"],
        ["model.act.slope"],
    ),
    "fan_in": (
        "cifar_resnet.py:ResNet-20",
        ["model.init=he_fan_in"],
        ["model.init"],
    ),
    "Xavier": (
        "rectifiers.py:ReLU-He",
        ["model.init=xavier"],
        ["model.init"],
    ),
    "channel mean and std": (
        "cifar_resnet.py:ResNet-56",
        ["data.normalize=channel"],
        ["data.normalize"],
    ),
    "epochs for iterations": (
        "cifar_resnet.py:ResNet-20",
        ["train.epochs=164.0", "train.iterations=None"],
        ["train.epochs", "optim.schedule.boundaries"],
    ),
    "a run that ends early": (
        "cifar_resnet.py:ResNet-20",
        ["train.steps=40000"],
        ["train.steps"],
    ),
    "no warm-up": (
        "cifar_preact.py:PreAct-110",
        ["optim.warmup=none"],
        ["optim.warmup", "optim.warmup.learning_rate"],
    ),
    "Nesterov": (
        "cifar_resnet.py:ResNet-110",
        ["optim.nesterov=True"],
        ["optim.nesterov"],
    ),
    "Torch's momentum": (
        "cifar_preact.py:PreAct-164",
        ["optim.dialect=torch"],
        ["optim.dialect"],
    ),
    "BatchNorm over the whole batch": (
        "cifar_preact.py:PreAct-164",
        ["model.norm.group=global"],
        ["model.norm.group"],
    ),
    "five times the decay": (
        "cifar_resnet.py:ResNet-32",
        ["optim.weight_decay=5e-4"],
        ["optim.weight_decay"],
    ),
    "part of the data": (
        "cifar_resnet.py:ResNet-32",
        ["data.split=45k/5k"],
        ["data.split"],
    ),
    "smoothed labels": (
        "imagenet_resnet.py:ResNet-50",
        ["train.label_smoothing=0.1"],
        ["train.label_smoothing"],
    ),
    "averaged parameters": (
        "imagenet_resnet.py:ResNet-50",
        ["train.ema=0.999"],
        ["train.ema"],
    ),
    "another data set": (
        "cifar_resnet.py:ResNet-20",
        ["data.name=cifar100"],
        ["data.name", "model.num_classes"],
    ),
    "another growth rate": (
        "densenet.py:40-12",
        ["model.growth=24"],
        ["model.growth"],
    ),
    "no dropout where nothing is augmented": (
        "densenet.py:40-12-bare",
        ["model.unit.dropout=0.0"],
        ["model.unit.dropout"],
    ),
    "a hidden layer": (
        "vgg.py:VGG-19",
        ["model.variant=fc"],
        ["model.variant"],
    ),
    "norms in a net of 2015": (
        "prelu_nets.py:14-PReLU",
        ["model.norm=batch"],
        ["model.norm"],
    ),
    "another pyramid": (
        "spp_net.py:50-bins",
        ["model.levels=(1,2,3,4)"],
        ["model.levels"],
    ),
    "sizes in turn that the paper does not have": (
        "spp_net.py:50-bins-multi",
        ["data.sizes=(224,192)"],
        ["data.sizes"],
    ),
    "ghosts of 5x5": (
        "ghost_cifar.py:Ghost-VGG-16",
        ["model.operator.kernel=5"],
        ["model.operator.kernel"],
    ),
    "signs behind the convolution": (
        "xnor.py:XNOR-Net",
        ["model.unit.order=original"],
        ["model.unit.order"],
    ),
    "a smaller net": (
        "places2.py:Model-B-one-loss",
        ["model.width=0.5"],
        ["model.width"],
    ),
    "Torch's dampening": (
        "resnet_3d.py:ResNet-18",
        ["optim.dampening=0.0"],
        ["optim.dampening"],
    ),
    "one group of 64 channels that came with the depth": (
        "resnext.py:ResNeXt-50-32x4d",
        ["model.unit.branch=auto"],
        [
            "model.unit.branch.cardinality",
            "model.unit.branch.group_width",
            "model.unit.branch.stride_at",
        ],
    ),
    # The file deviates here, but not to this value: its reason is not one for it.
    "a reason for something else": (
        "imagenet_resnet.py:ResNet-50",
        ["optim.schedule.boundaries=(0.3,0.6,0.9)"],
        ["optim.schedule.boundaries"],
    ),
}


def assert_caught(name, capsys):
    """The fields of a wrong config are named, and nothing that follows from them."""
    reference, changes, fields = WRONG[name]
    argv = [f"--config.{change}" for change in changes]
    code, out, err = run(capsys, "--config", str(EXPERIMENTS / reference), *argv)
    assert code == 2
    lines = [line.removeprefix("error[config] ") for line in err.splitlines()]
    assert {line.split(":")[0] for line in lines} == {*fields}
    assert all(f"correct it in {reference.split(':')[1]}" in line for line in lines)
    return out.count("| WRONG")


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_config_is_caught_by_its_field(name, capsys, uncounted):
    assert assert_caught(name, capsys) >= len(WRONG[name][-1])


@pytest.mark.compile
@pytest.mark.parametrize("name", WRONG)
def test_counts_that_follow_from_a_wrong_field_are_not_named(name, capsys):
    assert assert_caught(name, capsys) >= len(WRONG[name][-1])


def test_counts_that_follow_from_a_wrong_field_are_wrong(capsys):
    """Of a bottleneck that subsamples in the 3x3 it is the multiply-adds."""
    name = "stride in the 3x3"
    assert assert_caught(name, capsys) == len(WRONG[name][-1]) + 1


def test_a_net_that_is_built_wrong_is_caught_by_its_counts(capsys, monkeypatch):
    """The config says type A; the code projects in every unit of ResNet-18."""
    right = resnets.imagenet_resnet

    def broken(depth, **slots):
        return right(depth, **slots | {"shortcut": "C"})

    monkeypatch.setattr(resnets, "imagenet_resnet", broken)
    reference = EXPERIMENTS / "imagenet_resnet.py:ResNet-18-A"
    code, _, err = run(capsys, "--config", str(reference))
    assert code == 2
    assert "parameters: 12,043,816; the paper has 11,515,688" in err
    assert "multiply-adds: 1,878,298,624; the paper has 1.795 G" in err


FILE = """
from resnet_jax.config import configured
from resnet_jax.config.recipes import HE2016_CIFAR, WRN_CIFAR

BASE = HE2016_CIFAR | {"model.unit.shortcut": "A"} | CHANGES
ROWS = {"ResNet-20": {}, "ResNet-32": {"model.depth": 32}}
SEEDS = (0,)
PAPER = {row: f"he2016a/T6/{row}" for row in ROWS}


def get_config(row="ResNet-20"):
    return configured(BASE, ROWS, row)
"""


@pytest.fixture
def experiment(tmp_path):
    def write(more="", **changes):
        path = tmp_path / "mine.py"
        changes = {name.replace("__", "."): value for name, value in changes.items()}
        path.write_text(f"CHANGES = {changes!r}{FILE}{more}\n")
        return str(path)

    return write


def test_a_published_cell_of_another_net_is_wrong(experiment, capsys, uncounted):
    path = experiment('PAPER["ResNet-32"] = "he2016a/T6/ResNet-44"')
    code, _, err = run(capsys, "--config", path)
    assert code == 2 and "model.depth" in err and "in ResNet-32" in err


def test_a_published_cell_of_another_form_is_wrong(experiment, capsys, uncounted):
    path = experiment(
        'BASE = HE2016_CIFAR | {"model.name": "densenet"}\n'
        'ROWS = {"DenseNet-40": {"model.depth": 40}}\n'
        'PAPER = {"DenseNet-40": "he2016a/T6/ResNet-20"}'
    )
    code, _, err = run(capsys, "--config", f"{path}:DenseNet-40")
    assert code == 2
    assert "model.name: form: densenet; the paper has cifar_resnet" in err


def test_noise_that_a_paper_has_and_a_row_has_not_is_wrong(
    experiment, capsys, uncounted
):
    path = experiment(
        'BASE = WRN_CIFAR | {"model.depth": 16, "model.width": 4.0}\n'
        'ROWS = {"none": {}, "half": {"model.unit.noise": "dropout",\n'
        '                             "model.unit.noise.rate": 0.5}}\n'
        "PAPER = {}\n"
        "NETWORK = dict.fromkeys(\n"
        '    ROWS, "zagoruyko2016/T6/WRN-16-4 with dropout/CIFAR-10")'
    )
    code, _, err = run(capsys, "--config", path)
    told = [
        line.removeprefix("error[config] ").split("(")[0] for line in err.splitlines()
    ]
    assert code == 2
    assert told == [
        "model.unit.noise: dropout: 0; the paper has 0.3 ",
        "model.unit.noise.rate: dropout: 0.5; the paper has 0.3 ",
    ]


SPLIT = "--config.data.split=240k/1k"
LENGTH = ("--config.train.epochs=None", "--config.train.iterations=400000")


@pytest.mark.parametrize(
    "fields, iterations, verdict, drops",
    [
        ((), "unknown", "unsettled", "unknown"),
        (LENGTH, "400,000", "unsettled", "100,000, 200,000, 300,000"),
        (
            (SPLIT,),
            "375,000 (epoch 200.0)",
            "equal",
            "93,750, 187,500, 281,250 (epoch 50.0, 100.0, 150.0)",
        ),
    ],
)
def test_the_length_of_a_run_on_data_of_unknown_size(
    fields, iterations, verdict, drops, capsys, uncounted
):
    """Nobody has all videos of Kinetics, so 200 epochs are no number of iterations."""
    path = str(EXPERIMENTS / "resnet_3d.py:ResNet-18")
    _, out, _ = run(capsys, "--config", path, "--format", "json", *fields)
    lines = {line["quantity"]: line for line in json.loads(out)[0]["lines"]}
    assert lines["iterations"]["config"] == iterations
    assert lines["iterations"]["verdict"] == verdict
    assert lines["drops at"]["config"] == drops


def test_rows_with_the_same_error_share_a_line(experiment, capsys):
    path = experiment('RECIPE = "he2016a/cifar"', optim__nesterov=True)
    _, _, err = run(capsys, "--config", path)
    assert len(err.splitlines()) == 1
    assert "optim.nesterov: Nesterov: nesterov; the paper has none" in err
    assert "correct it in ResNet-20, ResNet-32, or say why in DEVIATIONS" in err


def test_a_reason_makes_a_difference_deliberate(experiment, capsys):
    more = 'RECIPE = "he2016a/cifar"\nDEVIATIONS = {"optim.nesterov": "it is faster"}'
    path = experiment(more, optim__nesterov=True)
    code, out, _ = run(capsys, "--config", path)
    assert code == 0
    assert "- optim.nesterov: it is faster" in out
    assert "2 deviates, 0 WRONG" in out


def test_a_reason_holds_for_the_rows_that_it_names(experiment, capsys):
    more = (
        'RECIPE = "he2016a/cifar"\n'
        'DEVIATIONS = {"optim.nesterov": {"*-20": "it is faster"}}'
    )
    path = experiment(more, optim__nesterov=True)
    code, _, err = run(capsys, "--config", path)
    assert code == 2 and "correct it in ResNet-32, or" in err


@pytest.mark.parametrize(
    "entry, place",
    [
        ('{"optim.nesterov": "why"}', r"DEVIATIONS['optim.nesterov']"),
        ('{"optim.nesterof": "why"}', r"DEVIATIONS['optim.nesterof']"),
        ('{"optim.decay": {"*-56": "why"}}', r"DEVIATIONS['optim.decay']['*-56']"),
    ],
)
def test_a_stale_reason_is_an_error(entry, place, experiment, capsys):
    path = experiment(f'RECIPE = "he2016a/cifar"\nDEVIATIONS = {entry}')
    code, out, err = run(capsys, "--config", path)
    assert code == 2 and "0 WRONG" in out
    assert f"mine.py: {place}: deviates from nothing; remove it" in err
    assert run(capsys, "--config", f"{path}:ResNet-20")[0] == 0  # one row cannot tell


def test_a_reason_may_explain_a_choice_where_the_paper_is_silent(experiment, capsys):
    path = experiment('RECIPE = "he2016a/cifar"\nDEVIATIONS = {"optim.decay": "why"}')
    code, out, _ = run(capsys, "--config", path)
    assert code == 0 and "- optim.decay: why" in out


def test_counts_follow_from_the_fields_that_deviate(experiment, capsys):
    more = 'DEVIATIONS = {"model.unit.shortcut": "to see"}'
    path = experiment(more, model__unit__shortcut="B")
    code, out, _ = run(capsys, "--config", path, "--format", "json")
    lines = {line["quantity"]: line for line in json.loads(out)[0]["lines"]}
    assert code == 0
    assert lines["parameters"]["config"] == "272,474"
    assert lines["parameters"]["verdict"] == "deviates"
    assert lines["parameters"]["reason"] == "follows from model.unit.shortcut"


def test_fewer_seeds_than_the_paper_has_runs(experiment, capsys):
    path = experiment('ROWS = {"ResNet-110": {"model.depth": 110}}\n'
                      'PAPER = {"ResNet-110": "he2016a/T6/ResNet-110"}')  # fmt: skip
    code, _, err = run(capsys, "--config", f"{path}:ResNet-110")
    assert code == 2
    assert "SEEDS: seeds: 1; the paper has best of 5 (he2016a/T6/ResNet-110)" in err


def test_what_nobody_published_is_shown(capsys):
    path = str(EXPERIMENTS / "digits_preact.py:PreAct-20")
    code, out, _ = run(capsys, "--config", path, "--format", "json")
    (row,) = json.loads(out)
    assert code == 0 and row["network"] is None and row["recipe"] is None
    assert {line["verdict"] for line in row["lines"]} == {"shown"}
    counts = {line["quantity"]: line["config"] for line in row["lines"]}
    assert counts["parameters"] == "269,434" and counts["weighted layers"] == "20"
    assert counts["in the last layer"] == "650" and counts["in norms"] == "1,376"


def test_departures_of_policy_and_erasing_are_shown(uncounted):
    experiment = load(PATHS["digits_preact"])
    row = next(iter(experiment.rows))
    policy, erasing = "--config.data.policy=augmix", "--config.data.erasing=0.5"
    shown = []
    for fields in ([], [policy], [erasing], [policy, erasing]):
        (audited,) = audit_compare.audited(experiment, row, fields)
        shown.append([r.config for r in audited.lines if r.quantity == "departures"])
    none, (chains,), (boxes,), both = shown
    assert (none, both) == ([], [f"{chains}; {boxes}"])
    assert "consistency loss" in chains and "Random-Erasing" in boxes


def test_the_table_is_aligned_and_says_where_numbers_are_from(capsys):
    path = str(EXPERIMENTS / "cifar_resnet.py:ResNet-110")
    _, out, _ = run(capsys, "--config", path)
    lines = [line for line in out.splitlines() if line.startswith("|")]
    assert len({len(line) for line in lines}) == 1
    cells = {
        c[1]: c[2:] for line in lines if (c := [x.strip() for x in line.split("|")])
    }
    assert cells["parameters"][:3] == ["1,727,962", "1,727,962", "equal"]
    assert cells["parameters"][3] == "He et al. 2016a, Table 6 prints 1.7M [derived]"
    assert cells["drops at"][1] == "32,000, 48,000 (epoch 81.9, 122.9)"
    assert cells["decayed parameters"][2] == "unsettled"
    assert cells["warm-up"][2] == "deviates"


@pytest.mark.parametrize(
    "argv, message",
    [
        ([], "the following arguments are required: --config"),
        (["--config", "nowhere.py"], "no such experiment file"),
        (["--format", "xml", "--config", "x.py"], "invalid choice: 'xml'"),
        (["--config", "FILE:PreAct-21"], "did you mean 'PreAct-20'"),
        (
            ["--config", "FILE", "--config.optim.nesterof=x"],
            "did you mean 'optim.nesterov'",
        ),
        (["--config", "FILE", "--config.data.name=mnist"], "known are cifar10,"),
        (["--config", "FILE", "--config.data.split=2k/10"], "has 1437 training images"),
        (["--config", OWN_IMAGES], "data.name='folder': its size is not known here"),
    ],
)
def test_errors_of_use_are_lines(argv, message, capsys):
    path = str(EXPERIMENTS / "digits_preact.py")
    code, _, err = run(capsys, *(arg.replace("FILE", path) for arg in argv))
    assert code == 2
    assert all(line.startswith("error[config] ") for line in err.splitlines())
    assert message in err


@pytest.mark.parametrize(
    "more, message",
    [
        ('RECIPE = "he2016a/cifra"', r"did you mean 'he2016a/cifar'"),
        ('NETWORK = {"ResNet-20": "x"}', "NETWORK='x': no such published net"),
        ('NETWORK = {"ResNet-21": "x"}', r"NETWORK\['ResNet-21'\]: no such row"),
        ('RECIPE = {"ResNet-21": "x"}', r"RECIPE\['ResNet-21'\]: no such row"),
    ],
)
def test_names_of_an_experiment_file_must_exist(more, message, experiment):
    with pytest.raises(ConfigError, match=message):
        audit_compare.audited(experiment_file.load(experiment(more)), None, [])


def test_help_names_every_verdict(capsys):
    code, out, _ = run(capsys, "--help")
    assert code == 0
    for word in ("equal", "deviates", "WRONG", "unsettled", "RECIPE", "DEVIATIONS"):
        assert word in out


def test_units_of_facts():
    (epochs,) = said("", {"drops at": (30, 60)}, unit="epochs").values()
    assert audit_compare.same(epochs, (150_137, 300_273), epoch=1_281_167 / 256)
    assert not audit_compare.same(epochs, (150_137, 300_275), epoch=1_281_167 / 256)
    assert not audit_compare.same(epochs, (150_137,), epoch=1_281_167 / 256)
    macs = Fact(value=1.814, source="", unit="G")
    assert audit_compare.same(macs, 1_814_073_344, epoch=1.0)
    assert not audit_compare.same(macs, 1_814_673_344, epoch=1.0)


@pytest.mark.parametrize("certainty", ["text", "code", "derived", "known", "unsure"])
def test_only_what_is_settled_can_be_wrong(certainty):
    fact = Fact(value=1, source="", certainty=certainty)
    judged = audit_compare.judged(fact, 2, reason="", epoch=1.0)
    settled = certainty in ("text", "code", "derived")
    assert judged == ("WRONG" if settled else "unsettled")


def made(changes):
    length = {} if "train.epochs" in changes else {"train.iterations": 64_000}
    return validated(configured(length | changes, {"": {}}, "").to_dict())


def config_of(facts, fields):
    """A config that does what the facts say, where a field can say it.

    Round by round, as some facts are of fields of a member that others choose.
    """
    first = {"form": "model.name", "data set": "data.name"}
    first = {field: facts[name].value for name, field in first.items() if name in facts}
    fields, left = first | fields, [*facts]
    while True:
        values = Uncounted(made(fields)).values()
        known = [quantity for quantity in left if quantity in values]
        if not known:
            return made(fields)
        for quantity in known:
            left.remove(quantity)
            fields |= told(quantity, values[quantity].field, facts[quantity].value)


def told(quantity, field, value):
    """The fields that say a fact."""
    if value is None or "." not in field or quantity in UNSAID:
        return {}
    match quantity, field:
        case _, "model.name" if quantity != "form":
            return {}  # the family has no field for it, and one value
        case "BatchNorm", _:
            return {} if value == "yes" else {field: "none"}
        case "Nesterov", _:
            return {field: value == "nesterov"}
        case "scales", _:
            shortcut, branch = value
            return {field: {"name": "scaled", "shortcut": shortcut, "branch": branch}}
        case "survival of the last unit", _:
            return {f"{field}.survival_prob": value, field: "drop"} if value < 1 else {}
        case "dropout", "model.unit.noise":
            return {f"{field}.rate": value, field: "dropout"}
        case "noise", "model.unit.dropout":
            return {}  # the rate says it
    return {field: value}


# Facts whose field says more than they do.
UNSAID = (
    "weighted layers", "units a stage", "norm on projections",
    "pool of the stem", "what gates see", "test images",
    "training images", "divided by",
    "decayed parameters", "augmentation", "drops at", "iterations", "evaluation",
    "normalisation", "warm-up",
)  # fmt: skip
DATA = {
    10: {"data.name": "cifar10"},
    100: {"data.name": "cifar100"},
    400: {"data.name": "kinetics400"},
    1000: {"data.name": "imagenet2012", "data.augment": "imagenet_scale"},
}
BIASES = 4_048  # of the convolutions of stochastic depth's code


def claims():
    """Keys of the nets that experiment files claim, which the first tests audit."""
    for path in PATHS.values():
        yield from (value.key for value in load(path).published.values())
        yield from load(path).network.values()


AUDITED = {id(papers.NETWORKS.get(key)) for key in claims()}
OTHERS = {id(net): key for key, net in papers.NETWORKS.items()}
OTHERS = [key for net, key in OTHERS.items() if net not in AUDITED]


def members(cls, path):
    """(field, word) of every member of every slot of a part of a config."""
    for where, _, hint in leaves(cls, path):
        if found := slot(hint):
            yield from ((where, word) for word in found.words)


def quantities():
    """All that the audit can read: of each family with each member of each slot."""
    found = set(ConfigValues(made({})).counts())
    families = slot(hints(Config)["model"]).members
    heard = set()
    for family, cls in families.items():
        for field, word in members(cls, "model"):
            # A spec of a file has no facts; some members do not go with the defaults.
            with contextlib.suppress(ConfigError):
                row = Uncounted(made({"model.name": family, field: word}))
                found |= row.values().keys()
                heard.add(family)
    assert families.keys() - heard == {"spec"}
    for field, word in members(Config, ""):
        if not field.startswith("model"):
            besides = {"train.start_from": "runs/a"} if "prune" in field else {}
            found |= Uncounted(made({field: word} | besides)).values().keys()
    return found


def test_quantities_of_facts_are_read():
    """Some exist only where the member of a slot is chosen that has them."""
    everything = {**papers.NETWORKS, **papers.RECTIFIERS, **papers.RECIPES}
    known = quantities()
    unknown = {key: facts.keys() - known for key, facts in everything.items()}
    assert not {key: names for key, names in unknown.items() if names}
    assert {*audit_compare.COUNTED, *audit_compare.SHOWN} <= known


# Nets whose errors nobody printed, or none that is certain enough to compare with.
WITHOUT_CELLS = ("simonyan2015/", "zhu2022/", "eliasof2023/", "he2016a/Fig6/")


def test_networks_are_keyed_as_the_cells_of_tables():
    for key in papers.NETWORKS:
        if key.startswith(WITHOUT_CELLS):
            assert key not in papers.VALUES and key.split("/")[0] in papers.PAPERS
        elif not key.startswith("fb.resnet.torch"):
            assert papers.value(key).origin == "own"


def differing(key, values):
    """Facts of a net, other than counts, that values do not meet."""
    return [
        f"{key}: {quantity}: {values[quantity].value} for {fact.value}"
        for quantity, fact in papers.network(key).items()
        if fact.value is not None
        and quantity not in ("pool of the stem", *audit_compare.COUNTS)
        and not audit_compare.same(fact, values[quantity].value, epoch=1.0)
    ]


def net_of(key):
    """A config of the net that a paper's facts describe."""
    facts = papers.network(key)
    return config_of(facts, DATA[facts["classes"].value])


def test_a_net_made_of_a_papers_facts_has_them():
    nets = {key: Uncounted(net_of(key)).values() for key in OTHERS}
    assert not [line for key in nets for line in differing(key, nets[key])]


SHALLOW = ("-18", "110 1-layer", "C10/constant", "VGG-16", "WRN-16", "14 layers", "/A ")


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(
            key, marks=() if any(n in key for n in SHALLOW) else pytest.mark.compile
        )
        for key in OTHERS
    ],
)
def test_a_net_made_of_a_papers_facts_has_its_counts(key):
    facts, row = papers.network(key), ConfigValues(net_of(key))
    values = row.values()
    if key.startswith("huang2016"):
        macs, params = values["multiply-adds"].value, values["parameters"].value
        assert macs == facts["multiply-adds"].value
        assert params == facts["parameters"].value - BIASES
        return
    for quantity in facts.keys() & {*audit_compare.COUNTS}:
        fact, ours = facts[quantity], values[quantity].value
        assert audit_compare.same(fact, ours, epoch=1.0), quantity


# fmt: off
DROPS, SHARES = "optim.schedule.boundaries", (0.5, 0.75)
WARM = {"optim.warmup": "constant", "optim.warmup.steps": 400}
FOLLOWED = {  # recipe: what its facts leave to be said, quantities that no config meets
    "he2016a/cifar": ({DROPS: SHARES, "data.augment": "crop_flip"}, set()),
    "he2016a/cifar/110": (
        {DROPS: SHARES, "data.augment": "crop_flip", **WARM},
        {"warm-up"},
    ),
    **dict.fromkeys(
        ("he2016b/cifar", "he2016b/cifar100"),
        (
            {DROPS: SHARES, "data.augment": "crop_flip",
             **WARM},
            set(),
        ),
    ),
    "he2016b/released": (
        {DROPS: (0.4, 0.605), "data.augment": "crop_flip_channel",
         "train.epochs": 200.0},
        set(),
    ),
    "he2016a/imagenet": (
        {"train.iterations": 600_000, "data.augment": "imagenet_scale",
         "data.normalize": "pixel_mean"},
        {"drops at", "evaluation"},
    ),
    "he2016b/imagenet": (
        {"train.epochs": 90.0, DROPS: (1 / 3, 2 / 3),
         "data.augment": "imagenet_scale", "data.normalize": "pixel_mean"},
        {"evaluation"},
    ),
    "he2015/imagenet": (
        {"train.epochs": 80.0, "data.augment": "imagenet_scale",
         "data.normalize": "pixel_mean"},
        {"drops at", "evaluation", "augmentation"},
    ),
    **dict.fromkeys(
        ("huang2016/cifar", "huang2016/cifar100"),
        (
            {"train.epochs": 500.0, DROPS: SHARES, "data.split": "45k/5k",
             "data.augment": "crop_flip"},
            {"normalisation"},
        ),
    ),
    "huang2016/cifar/1202": (
        {"train.epochs": 300.0, DROPS: SHARES, "data.split": "45k/5k",
         "data.augment": "crop_flip", **WARM, "optim.warmup.steps": 3516},
        {"normalisation"},
    ),
    **dict.fromkeys(
        ("zagoruyko2016/cifar", "zagoruyko2016/cifar100"),
        (
            {"train.epochs": 200.0, DROPS: (0.3, 0.6, 0.8),
             "data.augment": "crop_flip_reflect", "optim.schedule.decay_factor": 0.2},
            set(),
        ),
    ),
    **dict.fromkeys(
        ("xie2017/cifar", "xie2017/cifar100", "huang2017/C10+", "huang2017/C100+",
         "zhu2022/cifar", "zhu2022/cifar100"),
        (
            {"train.epochs": 300.0, DROPS: SHARES,
             "data.augment": "crop_flip_channel"},
            set(),
        ),
    ),
    "xie2017/imagenet": (
        {"train.epochs": 100.0, DROPS: (0.3, 0.6, 0.9),
         "data.augment": "imagenet_aspect"},
        set(),
    ),
    "hu2018/imagenet": (
        {"train.epochs": 100.0, DROPS: (0.3, 0.6, 0.9),
         "data.augment": "imagenet_aspect"},
        {"augmentation"},
    ),
    **dict.fromkeys(
        ("huang2017/C10", "huang2017/C100"),
        (
            {"train.epochs": 300.0, DROPS: SHARES, "data.augment": "none"},
            set(),
        ),
    ),
    "huang2017/imagenet": (
        {"train.epochs": 90.0, DROPS: (1 / 3, 2 / 3),
         "data.augment": "imagenet_aspect"},
        set(),
    ),
    **dict.fromkeys(
        ("lin2014/cifar", "lin2014/cifar100"),
        (
            {"data.augment": "none"},
            {"drops at", "normalisation", "initialisation"},
        ),
    ),
    "lin2014/cifar/augmented": (
        {"data.augment": "crop_flip"},
        {"drops at", "normalisation", "initialisation", "augmentation"},
    ),
    "he2014/imagenet": (
        {"train.epochs": 70.0, "data.augment": "imagenet_scale",
         "data.normalize": "pixel_mean"},
        {"drops at", "augmentation", "evaluation", "initialisation"},
    ),
    "he2015/imagenet/small": (
        {"train.epochs": 75.0, "data.augment": "imagenet_scale"},
        {"augmentation", "evaluation"},
    ),
    **dict.fromkeys(
        ("liu2017/cifar", "liu2017/cifar100"),
        (
            {"train.epochs": 160.0, DROPS: SHARES,
             "data.augment": "crop_flip_channel"},
            set(),
        ),
    ),
    "han2020/imagenet": (
        {"train.epochs": 400.0, "data.augment": "imagenet_aspect"},
        {"augmentation"},
    ),
    "han2022/imagenet": (
        {"train.epochs": 90.0, "data.augment": "imagenet_aspect"},
        set(),
    ),
    "rastegari2016/resnet": (
        {"train.epochs": 58.0, DROPS: (30 / 58, 40 / 58),
         "optim.schedule.decay_factor": 0.01, "data.augment": "imagenet_scale"},
        {"augmentation", "evaluation"},
    ),
    "gruening2021/min": (
        {"train.epochs": 200.0, DROPS: SHARES,
         "data.augment": "crop_flip_channel"},
        {"initialisation"},
    ),
    "gruening2021/pyramid": (
        {"train.epochs": 200.0, DROPS: SHARES,
         "data.augment": "crop_flip_channel"},
        set(),
    ),
    "eliasof2023/cifar": (
        {"train.epochs": 200.0, DROPS: (0.15, 0.3, 0.45, 0.6, 0.75, 0.9),
         "data.augment": "crop_flip_channel"},
        set(),
    ),
    "hara2018/kinetics": (
        {"model.name": "resnet_3d", "model.depth": 18, "data.split": "240k/1k",
         "train.epochs": 200.0, "data.augment": "crop_flip_channel"},
        {"drops at", "augmentation", "normalisation", "evaluation"},
    ),
    "shen2016/places2": (
        {"model.name": "places2", "model.size": "imagenet", "data.split": "240k/1k",
         "data.augment": "imagenet_scale"},
        set(),
    ),
    "chollet2017/imagenet": (
        {"model.name": "xception", "train.epochs": 100.0,
         DROPS: tuple(n / 50 for n in range(1, 50)),
         "optim.schedule.decay_factor": 0.94, "data.augment": "imagenet_aspect"},
        {"drops at", "evaluation"},
    ),
}
# fmt: on
SETTLED = {
    key: facts
    for key, facts in papers.RECIPES.items()
    if any(fact.settled for fact in facts.values())
}


@pytest.mark.parametrize("key", SETTLED)
def test_a_config_can_follow_a_recipe(key):
    fields, unmet = FOLLOWED[key]
    facts = SETTLED[key]
    met = {quantity: fact for quantity, fact in facts.items() if quantity not in unmet}
    row = Uncounted(config_of(met, fields))
    values, epoch = row.values(), row.steps_per_epoch
    wrong = {
        quantity
        for quantity, fact in facts.items()
        if audit_compare.judged(fact, values[quantity].value, reason="", epoch=epoch)
        == "WRONG"
    }
    assert wrong == unmet


def test_recipes_of_which_nothing_is_certain():
    assert papers.RECIPES.keys() - SETTLED.keys() == {
        "springenberg2015/cifar",
        "springenberg2015/cifar/augmented",
    }


LAYERS = {
    20: resnets.cifar_resnet(20, shortcut="A"),
    110: resnets.cifar_resnet(110, branch=branches.SINGLE),
    1202: resnets.cifar_resnet(1202, shortcut="C"),
    164: resnets.cifar_resnet(164, branch=branches.BOTTLENECK, gate=gates.SE()),
    1001: resnets.cifar_resnet(
        1001, branch=branches.BOTTLENECK, join=shortcuts.Gated()
    ),
    18: resnets.imagenet_resnet(18),
    34: resnets.imagenet_resnet(34, shortcut="none"),
    50: resnets.imagenet_resnet(50, gate=gates.SE()),
    101: resnets.imagenet_resnet(101, shortcut="C"),
    152: resnets.imagenet_resnet(152),
    200: resnets.imagenet_resnet(200, branch=branches.BOTTLENECK_3X3),
}


@pytest.mark.parametrize("depth", LAYERS)
def test_weighted_layers_as_the_papers_count_them(depth):
    """Projections, gates and SE do not count."""
    size = 32 if LAYERS[depth].stem.pool is None else 224
    assert (
        complexity.parts(LAYERS[depth].build(), (size, size, 3)).weighted_layers
        == depth
    )


def test_parameters_by_kind():
    net = resnets.cifar_resnet(20, shortcut="B", gate=gates.SE(), branch=branches.BASIC)
    layers = net.layers.__class__(act=PRelu("layer"))
    net = net.__class__(**vars(net) | {"layers": layers}).build()
    parts = complexity.parts(net, (32, 32, 3))
    assert parts.fc == 64 * 10 + 10
    in_gates = sum(3 * (2 * c * c // 16 + c // 16 + c) for c in (16, 32, 64))
    assert parts.gates == in_gates
    assert parts.slopes == 1 + 9 * 3  # behind each norm, and within each gate
    convs = 19  # of the stem and the branches
    assert parts.norm == 2 * (16 + 6 * (16 + 32 + 64) + 32 + 64)
    assert parts.weighted_layers == convs + 1
    assert parts.params == complexity.num_params(net, (32, 32, 3))
