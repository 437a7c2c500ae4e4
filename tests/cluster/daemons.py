"""A real Slurm and a real Dask on loopback, for as long as a `with` block lasts."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEADLINE = 120.0  # of every wait, on a slow machine with other things to do


def until(condition, what, seconds=DEADLINE):
    """Poll until the condition holds; its value."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.1)
    raise TimeoutError(f"waited {seconds:.0f} s for {what}")


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def answers(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


class Daemon:
    """A process in a session of its own, ended with all its children."""

    def __init__(self, command, log, environment, cwd=ROOT):
        self._log = log
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=environment, cwd=cwd,
                start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process.poll() is None

    def printed(self):
        return self._log.read_text(encoding="utf-8", errors="replace")

    def end(self):
        """As an administrator stops a service."""
        os.kill(self.pid, signal.SIGTERM)
        self.process.wait(timeout=DEADLINE)

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait(timeout=DEADLINE)


class Dask:
    """A scheduler and its workers; what is not ended in a test ends with the block."""

    def __init__(self, folder):
        self.folder = folder
        self.port = free_port()
        self.address = f"tcp://127.0.0.1:{self.port}"
        self._environment = os.environ | {"PYTHONPATH": str(ROOT)}
        self._daemons = []

    def __enter__(self):
        self.start_scheduler()
        return self

    def start_scheduler(self):
        self.scheduler = self._start(
            "scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard"
        )
        until(lambda: answers(self.port), "the Dask scheduler")

    def __exit__(self, *_):
        for daemon in reversed(self._daemons):
            daemon.kill()

    def worker(self, *arguments):
        """A worker of one thread, with a nanny that starts it again, ready for work."""
        number = len(self._daemons)
        folder = self.folder / f"worker-{number}"
        return self._start(
            "worker", self.address, "--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1",
            "--local-directory", str(folder), *arguments,
        )  # fmt: skip

    def _start(self, kind, *arguments):
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *arguments]
        daemon = Daemon(command, self.folder / f"{kind}-{len(self._daemons)}.log", self._environment)
        self._daemons.append(daemon)
        return daemon


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
        self.environment = {"SLURM_CONF": str(self.conf)}
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
            until(lambda: not self.ask("squeue", "--noheader"), "an empty queue", 30)
        for daemon in self._daemons.values():
            daemon.kill()

    def _start(self, command, *arguments, name=None, cwd=ROOT):
        log = self.folder / "log" / f"{name or command}.out"
        environment = os.environ | self.environment
        self._daemons[name or command] = Daemon([self._which(command), *arguments], log, environment, cwd)

    def start_controller(self):
        self._start("slurmctld", "-D")
        until(lambda: "UP" in self.ask("scontrol", "ping"), "slurmctld")

    def stop_controller(self):
        self._daemons["slurmctld"].end()

    def kill_controller(self):
        self._daemons["slurmctld"].kill()

    def start_node(self, name, cwd=ROOT):
        """One that works in the folder `cwd`, as do the processes that it starts, until they change it."""
        self._start("slurmd", "-D", "-N", name, name=name, cwd=cwd)
        state = ("sinfo", "--noheader", f"--nodes={name}", "--format=%T")
        until(lambda: "idle" in self.ask(*state), f"an idle node {name}")

    def kill_node(self, name):
        """As a machine loses its power: slurmd and all that it has started, at once."""
        self._daemons[name].kill()
        jobs = processes(self.conf, f"SLURMD_NODENAME={name}")
        # First those that would tell slurmctld of the others' end.
        for pid in [*({parent(pid) for pid in jobs} - {*jobs, 0, 1}), *jobs]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def ask(self, *command):
        """What a command of Slurm prints; empty where it fails."""
        done = subprocess.run(
            command,
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return done.stdout.strip() if done.returncode == 0 else ""

    def left_behind(self):
        """Command lines of processes that still know this Slurm's folder."""
        return processes(self.conf)


def parent(pid):
    """Who started a process; 0 where it has ended."""
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def processes(*words):
    """Command lines and environments of living processes that hold all the words: pid -> command line."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            environment = (folder / "environ").read_bytes().decode(errors="replace")
            if command and all(str(word) in command + environment for word in words):
                found[int(folder.name)] = command
    found.pop(os.getpid(), None)
    return found
