//! A Slurm of one's own on this machine: one node, own keys, own ports, all files in one folder.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

/// The daemons, stopped when it goes out of scope.
pub struct Slurm {
    folder: PathBuf,
    daemons: Vec<Child>,
}

impl Slurm {
    /// Starts it in a folder; says why not if its programs are not all there or don't come up.
    pub fn start(folder: &Path) -> Result<Self, String> {
        let missing: Vec<&str> = ["munged", "slurmctld", "slurmd", "sbatch"]
            .into_iter()
            .filter(|name| find(name).is_none())
            .collect();
        if !missing.is_empty() {
            return Err(format!("{} not installed (Debian: slurm-wlm, munge)", missing.join(", ")));
        }
        let mut slurm = Self { folder: folder.to_owned(), daemons: Vec::new() };
        for name in ["state", "spool"] {
            fs::create_dir(folder.join(name)).map_err(|error| error.to_string())?;
        }
        let key = folder.join("munge.key");
        fs::write(&key, [7_u8; 128]).map_err(|error| error.to_string())?;
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).map_err(|error| error.to_string())?;
        fs::write(slurm.configuration(), slurm.settings()?).map_err(|error| error.to_string())?;
        let flag = |flag: &str, file: &str| format!("--{flag}={}", folder.join(file).display());
        let munge = [
            "--foreground".to_owned(),
            // The folder is ours alone, which is what it warns of.
            "--force".to_owned(),
            flag("key-file", "munge.key"),
            flag("socket", "munge.socket"),
            flag("pid-file", "munge.pid"),
            flag("log-file", "munge.log"),
            flag("seed-file", "munge.seed"),
        ];
        slurm.spawn("munged", &munge)?;
        slurm.wait("munge", |slurm| slurm.folder.join("munge.socket").exists())?;
        slurm.spawn("slurmctld", &["-D".to_owned()])?;
        slurm.spawn("slurmd", &["-D".to_owned()])?;
        slurm.wait("the node", |slurm| {
            let output = slurm.command("sinfo").args(["--noheader", "--format=%T"]).output();
            output.is_ok_and(|output| output.stdout.starts_with(b"idle"))
        })?;
        Ok(slurm)
    }

    /// A command that talks to this Slurm.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let program = program.as_ref();
        let mut command = Command::new(program.to_str().and_then(find).unwrap_or_else(|| program.to_owned()));
        command.env("SLURM_CONF", self.configuration());
        command
    }

    /// State of a task, such as `RUNNING`, from what `scontrol` knows about it; empty once it is forgotten.
    pub fn state(&self, job: &str) -> String {
        let output = self.command("scontrol").args(["show", "job", "--oneliner", job]).output();
        let text = output.map(|Output { stdout, .. }| String::from_utf8_lossy(&stdout).into_owned());
        let text = text.unwrap_or_default();
        let state = text.split_whitespace().find_map(|word| word.strip_prefix("JobState="));
        state.unwrap_or_default().to_owned()
    }

    /// What the daemons have to say, for the message of a test that fails.
    pub fn logs(&self) -> String {
        ["slurmctld.out", "slurmd.out"]
            .map(|name| {
                format!("{name}:\n{}", fs::read_to_string(self.folder.join(name)).unwrap_or_default())
            })
            .join("\n")
    }

    fn configuration(&self) -> PathBuf {
        self.folder.join("slurm.conf")
    }

    /// The text of `slurm.conf`.
    fn settings(&self) -> Result<String, String> {
        let run = |program: &str, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).output().map_err(|error| error.to_string())?;
            Ok::<_, String>(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let (user, host) = (run("id", &["-un"])?, run("hostname", &["-s"])?);
        // Two ports that are free now.
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0"));
        let mut ports = Vec::new();
        for listener in &listeners {
            let address = listener.as_ref().map_err(ToString::to_string)?.local_addr();
            ports.push(address.map_err(|error| error.to_string())?.port());
        }
        let folder = self.folder.display();
        Ok(format!(
            "ClusterName=mithridate\n\
             SlurmctldHost={host}(127.0.0.1)\n\
             SlurmctldPort={}\n\
             SlurmdPort={}\n\
             SlurmUser={user}\n\
             SlurmdUser={user}\n\
             AuthType=auth/munge\n\
             CryptoType=crypto/munge\n\
             # Requeued tasks wait until their old credentials have expired.\n\
             AuthInfo=socket={folder}/munge.socket,cred_expire=5\n\
             ProctrackType=proctrack/linuxproc\n\
             TaskPlugin=task/none\n\
             JobAcctGatherType=jobacct_gather/none\n\
             SelectType=select/cons_tres\n\
             SelectTypeParameters=CR_CPU\n\
             SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=100000\n\
             KillWait=1\n\
             ReturnToService=2\n\
             MailProg=/bin/true\n\
             StateSaveLocation={folder}/state\n\
             SlurmdSpoolDir={folder}/spool\n\
             SlurmctldPidFile={folder}/slurmctld.pid\n\
             SlurmdPidFile={folder}/slurmd.pid\n\
             SlurmctldLogFile={folder}/slurmctld.out\n\
             SlurmdLogFile={folder}/slurmd.out\n\
             NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN\n\
             PartitionName=all Nodes=ALL Default=YES MaxTime=30 State=UP OverSubscribe=NO\n",
            ports[0], ports[1]
        ))
    }

    fn spawn(&mut self, program: &str, arguments: &[String]) -> Result<(), String> {
        let mut command = self.command(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let daemon = command.spawn().map_err(|error| format!("{program} can't be started ({error})"))?;
        self.daemons.push(daemon);
        Ok(())
    }

    fn wait(&mut self, what: &str, ready: impl Fn(&Self) -> bool) -> Result<(), String> {
        let started = Instant::now();
        while !ready(self) {
            let ended =
                self.daemons.iter_mut().any(|daemon| daemon.try_wait().is_ok_and(|end| end.is_some()));
            if ended || started.elapsed() > Duration::from_secs(30) {
                let munge = fs::read_to_string(self.folder.join("munge.log")).unwrap_or_default();
                return Err(format!("{what} doesn't come up\n{munge}\n{}", self.logs()));
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        // Jobs that still run when a test fails.
        if self.daemons.len() == 3 {
            let _ = self.command("scancel").args(["--full", "--signal=KILL", "--user"]).arg(user()).output();
            thread::sleep(Duration::from_secs(1));
        }
        for daemon in self.daemons.iter_mut().rev() {
            let _ = Command::new("kill").arg(daemon.id().to_string()).status();
            let started = Instant::now();
            while daemon.try_wait().is_ok_and(|end| end.is_none()) {
                if started.elapsed() > Duration::from_secs(10) {
                    let _ = daemon.kill();
                }
                thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

fn user() -> String {
    let output = Command::new("id").arg("-un").output();
    output.map(|Output { stdout, .. }| String::from_utf8_lossy(&stdout).trim().to_owned()).unwrap_or_default()
}

/// A program on the path or where systems keep daemons.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}
