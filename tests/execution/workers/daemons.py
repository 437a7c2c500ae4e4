"""A real Slurm and a real Dask on loopback, for as long as a `with` block lasts."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import sys
import tempfile
from pathlib import Path

from tests.processes import MARK, ROOT, Process, parent, processes, until

_LEAVING_SECONDS = 30.0  # for a queue to be empty; what is left then is killed


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def answers(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


class Dask:
    """A scheduler and its workers; what is not ended in a test ends with the block."""

    def __init__(self, folder):
        self.folder = folder
        self.port = free_port()
        self.address = f"tcp://127.0.0.1:{self.port}"
        self._daemons = []

    def __enter__(self):
        try:
            self.start_scheduler()
        except BaseException:
            self.__exit__()
            raise
        return self

    def start_scheduler(self):
        self.scheduler = self._start(
            "scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard"
        )
        self.scheduler.until(lambda: answers(self.port), "the Dask scheduler's answer")

    def __exit__(self, *_):
        for daemon in reversed(self._daemons):
            daemon.end()

    def worker(self, *arguments, **more):
        """A worker of one thread, with a nanny that starts it again, ready for work."""
        folder = self.folder / f"worker-{len(self._daemons)}"
        worker = self._start(
            "worker", self.address, "--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1",
            "--local-directory", str(folder), *arguments, **more,
        )  # fmt: skip
        worker.says("Registered to")
        return worker

    def _start(self, kind, *arguments, **more):
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *arguments]
        # Workers do not have the environment of the command: a Gate of theirs is in the folder.
        environment = {"PYTHONPATH": str(ROOT), "GATE": str(self.folder / "gate")} | more
        self._daemons.append(Process(command, environment=environment))
        return self._daemons[-1]


_SLURM_CONF = """
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/munge.sock,cred_expire=5
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd-%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
SlurmdParameters=config_overrides
MaxArraySize=1001
MinJobAge=300
KillWait=5
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
PartitionName=DEFAULT MaxTime=INFINITE State=UP OverSubscribe=NO
PartitionName=debug Nodes=ALL Default=YES
"""
_NODE_CONF = """
NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cores} RealMemory={memory}
PartitionName={name} Nodes={name}
"""


class Slurm:
    """slurmctld, slurmd and munged of this user, on ports and in folders of their own.

    Each node has a partition of its name besides; the first one is there from the start.
    """

    cores = 4  # as configured: elements share the machine's real ones
    needed = ("slurmctld", "slurmd", "munged", "sbatch", "srun", "squeue", "scancel", "scontrol")

    @classmethod
    def missing(cls):
        """The commands that are not installed."""
        return [command for command in cls.needed if not cls._which(command)]

    @staticmethod
    def _which(command):
        return shutil.which(command, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")

    @classmethod
    @contextlib.contextmanager
    def in_a_folder(cls, *nodes):
        """One in a temporary folder with a short path, for a socket's path may not be long."""
        with (
            tempfile.TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True) as folder,
            cls(Path(folder), *nodes) as running,
        ):
            yield running

    def __init__(self, folder, *nodes):
        self.folder = folder
        self.nodes = nodes or ("node",)
        self.conf = folder / "slurm.conf"
        # Its processes, and what they start, are looked for at its own end: see left_behind.
        self.environment = {"SLURM_CONF": str(self.conf), MARK: ""}
        self._daemons = {}

    def __enter__(self):
        try:
            self._start_all()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start_all(self):
        for name in ("run", "log", "state", "spool", "munge", *(f"spool/{node}" for node in self.nodes)):
            (self.folder / name).mkdir(mode=0o700)
        key = self.folder / "munge" / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        host = socket.gethostname().split(".")[0]
        user = pwd.getpwuid(os.getuid()).pw_name
        text = _SLURM_CONF.format(folder=self.folder, host=host, controller=free_port(), user=user)
        for name in self.nodes:
            text += _NODE_CONF.format(name=name, host=host, port=free_port(), cores=self.cores, memory=4000)
        self.conf.write_text(text)
        munge = self.folder / "munge"
        self._start(
            "munged", "--force", "--foreground", f"--key-file={key}", f"--socket={munge}/munge.sock",
            f"--pid-file={munge}/munged.pid", f"--log-file={munge}/munged.log",
            f"--seed-file={munge}/munge.seed",
        )  # fmt: skip
        until((munge / "munge.sock").exists, "munged")
        self.start_controller()
        self.start_node(self.nodes[0])

    def __exit__(self, *_):
        for job in self.ask("squeue", "--noheader", "--format=%A").split():
            self.ask("scancel", "--signal=KILL", job)
            self.ask("scancel", job)
        with contextlib.suppress(TimeoutError):
            until(lambda: not self.ask("squeue", "--noheader"), "an empty queue", _LEAVING_SECONDS)
        for daemon in self._daemons.values():
            daemon.end()

    def _start(self, command, *arguments, name=None, cwd=ROOT):
        command = self._which(command)
        daemon = Process([command, *arguments], cwd, self.environment)
        self._daemons[name or Path(command).name] = daemon

    def start_controller(self):
        self._start("slurmctld", "-D")
        until(lambda: "UP" in self.ask("scontrol", "ping"), "slurmctld")

    def stop_controller(self):
        controller = self._daemons["slurmctld"]
        controller.signal(signal.SIGTERM)  # as an administrator stops a service
        controller.wait()
        controller.end()

    def kill_controller(self):
        self._daemons["slurmctld"].end()

    def start_node(self, name, cwd=ROOT):
        """One that works in the folder `cwd`, as do the processes that it starts, until they change it."""
        self._start("slurmd", "-D", "-N", name, name=name, cwd=cwd)
        state = ("sinfo", "--noheader", f"--nodes={name}", "--format=%T")
        until(lambda: "idle" in self.ask(*state), f"an idle node {name}")

    def kill_node(self, name):
        """As a machine loses its power: slurmd and all that it has started, at once."""
        self._daemons[name].end()
        jobs = processes(self.conf, f"SLURMD_NODENAME={name}")
        # First those that would tell slurmctld of the others' end.
        for pid in [*({parent(pid) for pid in jobs} - {*jobs, 0, 1}), *jobs]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def ask(self, *command):
        """What a command of Slurm prints; empty where it fails."""
        with Process(command, environment=self.environment) as asked:
            done = asked.ended()
        return done.stdout.strip() if done.returncode == 0 else ""

    def left_behind(self):
        """Command lines of processes that still know this Slurm's folder, and do not end by themselves."""
        with contextlib.suppress(TimeoutError):
            until(lambda: not processes(self.conf), "the end of Slurm's processes", _LEAVING_SECONDS)
        return processes(self.conf)
