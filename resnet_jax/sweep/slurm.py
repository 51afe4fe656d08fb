"""Commands of a sweep's runs, and their job array for Slurm."""

import shlex
from collections.abc import Sequence

from resnet_jax.sweep.plan import Job

# SIGTERM comes five minutes before the time limit; `exec` passes it to the run.
SCRIPT = """\
#!/bin/bash
# sbatch --time=1-00:00:00 --gres=gpu:1 THIS_FILE; again to go on with what is not DONE
#SBATCH --job-name={name}
#SBATCH --array=0-{last}{limit}
#SBATCH --signal=B:TERM@300
#SBATCH --requeue
#SBATCH --open-mode=append
case "$SLURM_ARRAY_TASK_ID" in
{cases}
*) echo "no task $SLURM_ARRAY_TASK_ID" >&2; exit 2 ;;
esac
"""


def command(job: Job) -> str:
    """Shell command line of a run."""
    return shlex.join(["python", "-m", "resnet_jax.main", *job.options])


def script(jobs: Sequence[Job], *, name: str, at_once: int | None) -> str:
    """Script for sbatch: a job array with one task per run."""
    cases = [f"{i}) exec {command(job)} ;;" for i, job in enumerate(jobs)]
    return SCRIPT.format(
        name=name,
        last=len(jobs) - 1,
        limit=f"%{at_once}" if at_once else "",
        cases="\n".join(cases),
    )
