"""Variables of the environment that cannot be right end in one line."""

import pytest
import runs

from resnet_jax import cli
from resnet_jax.errors import ConfigError

ADDRESS, COUNT, NUMBER = cli.ADDRESS, *cli.PROCESSES


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({ADDRESS: ""}, f"{ADDRESS}='': must be HOST:PORT"),
        ({ADDRESS: "localhost"}, "must be HOST:PORT"),
        ({ADDRESS: "localhost:port"}, "must be HOST:PORT"),
        ({ADDRESS: "localhost:65536"}, "must be HOST:PORT"),
        ({ADDRESS: "localhost:0"}, "must be HOST:PORT"),
        ({ADDRESS: "h:1", COUNT: "two"}, f"{COUNT}='two': must be a number"),
        ({ADDRESS: "h:1", COUNT: "2", NUMBER: "2"}, f"{NUMBER}=2: must be 0 to 1"),
        ({COUNT: "2"}, f"{COUNT}=2: needs {ADDRESS}=HOST:PORT"),
    ],
)
def test_processes_that_cannot_be_are_told(variables, message):
    with pytest.raises(ConfigError, match=message):
        cli.distributed(variables)


def test_processes_of_a_run():
    assert cli.distributed({}) == {}
    variables = {ADDRESS: "[::1]:65535", COUNT: "2", NUMBER: "0"}
    assert cli.distributed(variables) == {"num_processes": 2, "process_id": 0}


@pytest.mark.process
@pytest.mark.parametrize("number", [0, 1])
def test_a_process_whose_peer_never_starts_gives_up(shop, tmp_path, number):
    variables = {ADDRESS: f"127.0.0.1:{runs.free_port()}"}
    variables |= {COUNT: "2", NUMBER: str(number)}
    hurry = "from resnet_jax import cli\ncli.PATIENCE = 1\n"
    run = shop.run(tmp_path / "run", before=hurry, variables=variables)
    assert run.returncode == 2, run.stderr
    assert run.stderr == (
        f"error[config] {ADDRESS}={variables[ADDRESS]!r}: not all processes of the run "
        f"have come within 1 s; start them, or correct the address and {COUNT} and "
        f"{NUMBER}\n"
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.process
@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {"JAX_ENABLE_X64": "maybe"},
            "environment: invalid truth value 'maybe' for environment "
            "'JAX_ENABLE_X64'; correct the variable, or unset it",
        ),
        (
            {"TQDM_MININTERVAL": "x"},
            "environment: could not convert string to float: 'x'; correct the "
            "variable, or unset it",
        ),
        (
            {"JAX_PLATFORMS": "cuda"},
            "JAX_PLATFORMS='cuda': no such device here (none found); name another "
            "platform, or unset it",
        ),
        (
            {"JAX_TRANSFER_GUARD_HOST_TO_DEVICE": "disallow"},
            "JAX_TRANSFER_GUARD_HOST_TO_DEVICE='disallow': constants and numbers of "
            "log rows are transferred in every run; set it to log or allow, or unset "
            "it",
        ),
        (
            {ADDRESS: "localhost:1"},
            f"{ADDRESS}='localhost:1': Number of processes must be defined; set "
            f"{COUNT} and {NUMBER}",
        ),
    ],
)
def test_a_variable_that_a_library_refuses_is_one_line(
    shop, tmp_path, variables, message
):
    run = shop.run(tmp_path / "run", variables=variables)
    assert run.returncode == 2, run.stderr
    assert run.stderr == f"error[config] {message}\n"
    assert not (tmp_path / "run").exists()
