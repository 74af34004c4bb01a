"""A real Slurm of one node on this machine, with accounting: for tests, and to try job scripts by hand.

    python scripts/slurm/cluster.py start     some seconds; says what to export
    eval $(python scripts/slurm/cluster.py env)
    sinfo; srun hostname; sbatch job.sh; squeue; sacct
    python scripts/slurm/cluster.py stop

On Debian and Ubuntu it needs `apt-get install slurm-wlm munge slurmdbd mariadb-server`, as root. Everything it writes is in
one directory ($NNXTRAIN_SLURM, else nnxtrain-slurm-UID in the temporary directory) and its daemons listen on ports of their
own, so a Slurm or a database that is there already is not touched. The node claims more processors and GPUs than the machine
has, so that several small jobs run at once. Accounting is there because `sacct` tells what became of a job.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

PROGRAMS = (
    "munged", "mariadbd", "mariadb-install-db", "slurmdbd", "slurmctld", "slurmd", "sacctmgr", "sbatch",
)  # fmt: skip
PACKAGES = "slurm-wlm munge slurmdbd mariadb-server"
CPUS = 8
PATIENCE = 30  # seconds for a daemon to answer


class UnavailableError(Exception):
    """There is no Slurm to be had here, and why."""


class Cluster:
    """One node, one partition `debug`, under the directory ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def environment(self) -> dict[str, str]:
        """What Slurm's commands need to find this cluster."""
        return {"SLURM_CONF": str(self.root / "slurm.conf")}

    def start(self) -> None:
        """Start what is not running; return when jobs can be submitted.

        Raises:
          UnavailableError: no root, a program is missing, or a daemon failed (it names the log).
        """
        if self.answers():
            return
        if os.geteuid() != 0:
            raise UnavailableError("Slurm's daemons are started as root")
        if missing := [program for program in PROGRAMS if _find(program) is None]:
            raise UnavailableError(f"missing {', '.join(missing)}: apt-get install {PACKAGES}")
        self.stop()
        self._configure()
        root = self.root
        munge = {"socket": "sock", "key-file": "key", "seed-file": "seed", "log-file": "log"}
        files = " ".join(f"--{option}={root}/munge.{name}" for option, name in munge.items())
        options = f"--foreground --force --pid-file={root}/munged.pid {files}"
        self._daemon("munged", options, root / "munge.sock")
        self._daemon("mariadbd", f"--defaults-file={root}/my.cnf", root / "mariadbd.sock")
        self._daemon(
            "slurmdbd", "-D", lambda: self._runs("sacctmgr", "-i", "add", "cluster", "one")
        )
        self._daemon("slurmctld", "-D -c", lambda: self._runs("scontrol", "ping"))
        self._daemon("slurmd", f"-D -N {socket.gethostname()}", self.answers)

    def stop(self) -> None:
        """End the jobs and the daemons, and remove the directory."""
        if self.answers():
            self._runs("scancel", "--state=PENDING", "--me")
            self._runs("scancel", "--signal=KILL", "--full", "--me")
        for program in reversed(PROGRAMS):
            if (pid := self._pid(program)) is not None:
                os.kill(pid, signal.SIGKILL)  # nothing of theirs is to be kept
        shutil.rmtree(self.root, ignore_errors=True)

    def answers(self) -> bool:
        """Whether jobs can be submitted."""
        if not (self.root / "slurm.conf").exists():
            return False
        state = self._output("sinfo", "--noheader", "--format=%T").strip()
        return state in ("idle", "mixed", "allocated", "completing")

    def _configure(self) -> None:
        root, host = self.root, socket.gethostname()
        for folder in ("state", "spool"):
            (root / folder).mkdir(parents=True)
        root.chmod(0o755)
        key = root / "munge.key"
        key.touch(0o600)
        key.write_bytes(secrets.token_bytes(128))
        controller, node, accounting = _free_ports(3)
        (root / "slurm.conf").write_text(f"""\
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser=root
AuthType=auth/munge
# A requeued job waits until its old credential is past: two minutes, unless told otherwise.
AuthInfo=socket={root}/munge.sock,cred_expire=5
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd.pid
SlurmctldParameters=enable_configless
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/linux
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={accounting}
AccountingStoragePass={root}/munge.sock
MpiDefault=none
GresTypes=gpu
ReturnToService=2
KillWait=20
MinJobAge=300
SchedulerParameters=sched_interval=1,sched_min_interval=100000
NodeName={host} NodeAddr=127.0.0.1 CPUs={CPUS} RealMemory=64000 Gres=gpu:2 State=UNKNOWN
PartitionName=debug Nodes={host} Default=YES MaxTime=60 State=UP
""")
        for index in range(2):  # counted and handed out, and not there
            (root / f"gpu{index}").touch()
        (root / "gres.conf").write_text(f"Name=gpu File={root}/gpu[0-1]\n")
        dbd = root / "slurmdbd.conf"
        dbd.touch(0o600)
        dbd.write_text(f"""\
AuthType=auth/munge
AuthInfo=socket={root}/munge.sock
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={accounting}
SlurmUser=root
PidFile={root}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm
""")
        (root / "my.cnf").write_text(f"""\
[mariadbd]
datadir={root}/mariadb
socket={root}/mariadbd.sock
pid-file={root}/mariadbd.pid
skip-networking
user=root
innodb_buffer_pool_size=16M
innodb_log_file_size=8M
innodb_flush_log_at_trx_commit=0
""")
        install = [
            "mariadb-install-db", f"--defaults-file={root}/my.cnf", "--skip-test-db",
            "--auth-root-authentication-method=normal",
        ]  # fmt: skip
        done = subprocess.run(install, capture_output=True, text=True)
        if done.returncode:
            raise UnavailableError(f"mariadb-install-db failed: {done.stdout}{done.stderr}")

    def _daemon(self, program: str, arguments: str, ready: Path | Callable[[], bool]) -> None:
        """Start a daemon that is nobody's child, and wait until it is of use."""
        log = self.root / f"{program}.out"
        command = ["setsid", "--fork", str(_find(program)), *arguments.split()]
        database = {"MYSQL_UNIX_PORT": f"{self.root}/mariadbd.sock"}
        with open(log, "ab") as output:
            subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=os.environ | self.environment | database,
                check=True,
            )
        deadline = time.monotonic() + PATIENCE
        while not (ready.exists() if isinstance(ready, Path) else ready()):
            if time.monotonic() > deadline:
                lines = log.read_text(errors="replace").splitlines() or ["nothing"]
                raise UnavailableError(
                    f"{program} did not answer in {PATIENCE} s; {log}: {lines[-1]}"
                )
            time.sleep(0.1)

    def _runs(self, *command: str) -> bool:
        environment = os.environ | self.environment
        return subprocess.run(command, capture_output=True, env=environment).returncode == 0

    def _output(self, *command: str) -> str:
        environment = os.environ | self.environment
        return subprocess.run(command, capture_output=True, env=environment, text=True).stdout

    def _pid(self, program: str) -> int | None:
        """The process that :meth:`start` started, if it still runs."""
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.root / f"{program}.pid").read_text())
            if program in Path(f"/proc/{pid}/cmdline").read_text():
                return pid
        return None


def _find(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(socket.socket()) for _ in range(count)]
        for server in servers:
            server.bind(("127.0.0.1", 0))
        return [int(server.getsockname()[1]) for server in servers]


def default_root() -> Path:
    """Where the cluster lies unless ``$NNXTRAIN_SLURM`` says otherwise."""
    given = os.environ.get("NNXTRAIN_SLURM")
    return Path(given or Path(tempfile.gettempdir()) / f"nnxtrain-slurm-{os.geteuid()}")


def main(verb: str) -> int:
    cluster = Cluster(default_root())
    exports = " ".join(f"{key}={value}" for key, value in cluster.environment.items())
    if verb == "start":
        try:
            cluster.start()
        except UnavailableError as error:
            print(error, file=sys.stderr)
            return 1
        print(f"runs; export {exports}")
    elif verb == "stop":
        cluster.stop()
    elif verb == "status":
        print(f"runs; export {exports}" if cluster.answers() else "does not run")
    elif verb == "env":
        print(f"export {exports}")
    else:
        print("usage: cluster.py start | stop | status | env", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) == 2 else ""))
