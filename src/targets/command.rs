//! Programs beside the gateway: one command in a folder of its own, without a shell of the caller's, a terminal or anything
//! of the gateway's environment.
//!
//! A command gets what its connection's credential gives it: variables and files, in a home that is made for it and removed
//! after it. Its limits are set by a constant script that then becomes the program, so that it never runs without them. When
//! time is up its whole process group is killed; who leaves the group (`setsid`) lives on without a home.

use std::{
    ffi::OsStr,
    io,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
};
use tokio_util::sync::CancellationToken;

use crate::{
    domain::{
        connection::{Access, Budget},
        operation::CommandOperation,
        policy::Programs,
    },
    gateway::ports::{Completion, Output, ResultSink, RunError},
};

/// Where programs find others.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// Sets the limits, then becomes the program; arguments are never read as text of a script. One that cannot be set is lower
/// already. No core file, which would hold credentials; `$1` seconds of processor time; files of 1 GiB; 1,024 open files;
/// 16 GiB of addresses, of which Go's and Java's runtimes reserve many without using them.
const LIMITED: &str = "for limit in 'c 0' \"t $1\" 'f 2097152' 'n 1024' 'v 16777216'; do \
    ulimit -${limit% *} ${limit#* } 2>/dev/null; done; shift; exec \"$@\"";
/// How long a command that changes something may take to end in its own way when it is told to.
const GRACE: Duration = Duration::from_secs(5);
/// How long what a command left behind may keep its output open.
const LEFT_BEHIND: Duration = Duration::from_millis(200);
/// How much output is taken at once.
const PIECE: usize = 16 << 10;

/// One connection's programs with one of its credentials.
pub(super) struct Commands {
    programs: Programs,
}

/// Why a command is no longer waited for.
enum Stop {
    Left,
    TimeUp,
    /// Its output is more than anyone may have.
    Enough,
}

impl Commands {
    pub(super) fn new(programs: Programs) -> Self {
        Self { programs }
    }

    pub(super) async fn run(
        &self,
        operation: &CommandOperation,
        access: Access,
        budget: &Budget,
        sink: &mut dyn ResultSink,
        cancel: &CancellationToken,
    ) -> Result<Completion, RunError> {
        let Some((name, arguments)) = operation.argv.split_first() else {
            return Err(RunError::Unreachable("there is no program in it".into()));
        };
        let Some(program) = self.programs.programs.get(name) else {
            return Err(RunError::Unreachable(
                "its program is not one of the connection's any more".into(),
            ));
        };
        if !is_program(program) {
            return Err(RunError::Unreachable(format!(
                "there is no program at {program}"
            )));
        }
        let home = self.home().map_err(|error| {
            RunError::Unreachable(format!("no folder could be made for it: {error}"))
        })?;
        let mut child = self
            .command(program, arguments, home.path(), budget.timeout)
            .spawn()
            .map_err(|error| RunError::Unreachable(format!("it could not be started: {error}")))?;
        let group = Group::of(&child);
        let input = child.stdin.take();
        let fed = operation.stdin.clone().unwrap_or_default();
        // A program need not read what it is given.
        let feeding = tokio::spawn(async move {
            if let Some(mut input) = input {
                let _ = input.write_all(fed.as_bytes()).await;
            }
        });
        let ended = watch(&mut child, &group, access, budget, sink, cancel).await;
        feeding.abort();
        group.kill();
        match ended {
            Ok(status) => Ok(Completion {
                exit_code: Some(code(status)),
                ..Completion::default()
            }),
            Err(error) => Err(error),
        }
    }

    /// A folder for its owner alone, with the connection's files.
    fn home(&self) -> io::Result<tempfile::TempDir> {
        use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
        let private = std::fs::Permissions::from_mode(0o700);
        let home = tempfile::Builder::new()
            .prefix("portcullis-")
            .permissions(private)
            .tempdir()?;
        for (path, content) in &self.programs.files {
            let path = home.path().join(path);
            if let Some(folder) = path.parent() {
                let mut builder = std::fs::DirBuilder::new();
                builder.recursive(true).mode(0o700).create(folder)?;
            }
            let mut file = std::fs::OpenOptions::new();
            let mut file = file.write(true).create_new(true).mode(0o600).open(path)?;
            io::Write::write_all(&mut file, content.as_bytes())?;
        }
        Ok(home)
    }

    fn command(
        &self,
        program: &str,
        arguments: &[String],
        home: &Path,
        timeout: Duration,
    ) -> Command {
        let seconds = timeout.as_secs().saturating_add(1).to_string();
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", LIMITED, "portcullis", &seconds, program])
            .args(arguments)
            .env_clear()
            .envs(&self.programs.env)
            .envs([
                ("HOME", home.as_os_str()),
                ("PATH", OsStr::new(PATH)),
                ("LANG", OsStr::new("C.UTF-8")),
            ])
            .current_dir(home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        command
    }
}

fn is_program(path: &str) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path)
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// The processes of one command. Dropped, they are killed: a command does not outlive whoever waited for it.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }

    fn signal(&self, signal: Signal) {
        if let Some(leader) = self.0 {
            // Nobody may be left to get it.
            let _ = kill_process_group(leader, signal);
        }
    }

    fn kill(&self) {
        self.signal(Signal::KILL);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Hands over output until the command has ended, or has to.
async fn watch(
    child: &mut Child,
    group: &Group,
    access: Access,
    budget: &Budget,
    sink: &mut dyn ResultSink,
    cancel: &CancellationToken,
) -> Result<ExitStatus, RunError> {
    let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
    let lost = |error: io::Error| RunError::Unknown(format!("it was lost: {error}"));
    let (mut taken, mut refused) = (Vec::with_capacity(PIECE), Vec::with_capacity(PIECE));
    let time_up = tokio::time::sleep(budget.timeout);
    tokio::pin!(time_up);
    let mut ended = None;
    let mut wanted = true;
    let stop = loop {
        if out.is_none() && err.is_none() {
            break None;
        }
        // What comes after the command's own end is that of processes it left behind.
        let left_behind = async {
            match ended {
                Some(_) => tokio::time::sleep(LEFT_BEHIND).await,
                None => std::future::pending().await,
            }
        };
        let (from, bytes) = tokio::select! {
            biased;
            () = cancel.cancelled() => break Some(Stop::Left),
            () = &mut time_up => break Some(Stop::TimeUp),
            read = piece(&mut out, &mut taken) => { read.map_err(lost)?; (Output::Stdout, &mut taken) }
            read = piece(&mut err, &mut refused) => { read.map_err(lost)?; (Output::Stderr, &mut refused) }
            status = child.wait(), if ended.is_none() => { ended = Some(status.map_err(lost)?); continue; }
            () = left_behind => break None,
        };
        if wanted && sink.output(from, bytes).is_break() {
            wanted = false;
            // A change runs to its end, whether or not anyone sees more of it.
            if access == Access::Read {
                break Some(Stop::Enough);
            }
        }
        bytes.clear();
    };
    let stop = match stop {
        None => match ended {
            Some(status) => return Ok(status),
            None => tokio::select! {
                status = child.wait() => return status.map_err(lost),
                () = cancel.cancelled() => Stop::Left,
                () = &mut time_up => Stop::TimeUp,
            },
        },
        Some(stop) => stop,
    };
    if access == Access::Write {
        group.signal(Signal::TERM);
        let _ = tokio::time::timeout(GRACE, child.wait()).await;
    }
    group.kill();
    let status = child.wait().await.map_err(lost)?;
    match (stop, access) {
        (Stop::Enough, _) => Ok(status),
        (Stop::Left, Access::Read) => Err(RunError::Cancelled { timeout: false }),
        (Stop::TimeUp, Access::Read) => Err(RunError::Cancelled { timeout: true }),
        (Stop::Left | Stop::TimeUp, Access::Write) => Err(RunError::Unknown(format!(
            "it was stopped after {} s, and what it had done by then is not known",
            budget.timeout.as_secs()
        ))),
    }
}

/// The next bytes of an output; never returns for one that has ended.
async fn piece<R: AsyncRead + Unpin>(from: &mut Option<R>, into: &mut Vec<u8>) -> io::Result<()> {
    let Some(reader) = from else {
        return std::future::pending().await;
    };
    if reader.read_buf(into).await? == 0 {
        *from = None;
    }
    Ok(())
}

/// As shells say it: a signal is 128 and its number.
fn code(status: ExitStatus) -> i32 {
    let by_signal = || status.signal().map_or(-1, |signal| 128 + signal);
    status.code().unwrap_or_else(by_signal)
}
