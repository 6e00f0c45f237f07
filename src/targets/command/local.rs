//! Programs beside the gateway: what they print, how they end, and the end of all they started.

use std::{
    ffi::OsStr,
    io,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use bytes::BytesMut;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStderr, ChildStdout, Command},
};
use tokio_util::task::AbortOnDropHandle;

use super::{Call, Happened, LANG, PATH, Process, limited, unreachable};
use crate::{
    domain::{connection::Access, policy::Programs},
    gateway::ports::{Output, RunError},
};

/// Becomes the program; arguments are never read as text of a script.
const SCRIPT: &str = limited!(r#"shift; exec "$@""#);
/// How long a command that changes something may take to end in its own way when it is told to.
const GRACE: Duration = Duration::from_secs(5);
/// How long what a command left behind may keep its output open.
const LEFT_BEHIND: Duration = Duration::from_millis(200);
/// How much output is taken at once.
const PIECE: usize = 16 << 10;

/// A command. Its group ends before its home goes.
pub(super) struct Local {
    out: Option<ChildStdout>,
    err: Option<ChildStderr>,
    taken: BytesMut,
    refused: BytesMut,
    ended: Option<ExitStatus>,
    child: Child,
    group: Group,
    _feeding: AbortOnDropHandle<()>,
    _home: tempfile::TempDir,
}

/// Runs a command with what its connection gives it.
pub(super) fn start(programs: &Programs, call: &Call<'_>) -> Result<Local, RunError> {
    if !is_program(call.program) {
        let program = call.program;
        return Err(unreachable(format!("there is no program at {program}")));
    }
    let home = home(programs)
        .map_err(|error| unreachable(format!("no folder could be made for it: {error}")))?;
    let mut child = command(programs, call, home.path())
        .spawn()
        .map_err(|error| unreachable(format!("it could not be started: {error}")))?;
    let group = Group::of(&child);
    let (input, fed) = (child.stdin.take(), call.stdin.to_owned());
    // A program need not read what it is given.
    let feeding = tokio::spawn(async move {
        if let Some(mut input) = input {
            let _ = input.write_all(fed.as_bytes()).await;
        }
    });
    Ok(Local {
        out: child.stdout.take(),
        err: child.stderr.take(),
        taken: BytesMut::new(),
        refused: BytesMut::new(),
        ended: None,
        child,
        group,
        _feeding: AbortOnDropHandle::new(feeding),
        _home: home,
    })
}

/// A folder for its owner alone, with the connection's files.
fn home(programs: &Programs) -> io::Result<tempfile::TempDir> {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
    let private = std::fs::Permissions::from_mode(0o700);
    let home = tempfile::Builder::new()
        .prefix("portcullis-")
        .permissions(private)
        .tempdir()?;
    for (path, content) in &programs.files {
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

fn command(programs: &Programs, call: &Call<'_>, home: &Path) -> Command {
    let seconds = call.budget.timeout.as_secs().saturating_add(1).to_string();
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", SCRIPT, "portcullis", &seconds, call.program])
        .args(call.arguments)
        .env_clear()
        .envs(&programs.env)
        .envs([
            ("HOME", home.as_os_str()),
            ("PATH", OsStr::new(PATH)),
            ("LANG", OsStr::new(LANG)),
        ])
        .current_dir(home)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    command
}

fn is_program(path: &str) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path)
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

impl Process for Local {
    async fn next(&mut self) -> io::Result<Happened> {
        loop {
            if self.out.is_none() && self.err.is_none() {
                let status = match self.ended {
                    Some(status) => status,
                    None => self.child.wait().await?,
                };
                return Ok(Happened::Ended(code(status)));
            }
            // What comes after the command's own end is that of processes it left behind.
            let left_behind = async {
                match self.ended {
                    Some(status) => {
                        tokio::time::sleep(LEFT_BEHIND).await;
                        status
                    }
                    None => std::future::pending().await,
                }
            };
            let (from, bytes) = tokio::select! {
                biased;
                read = piece(&mut self.out, &mut self.taken) => { read?; (Output::Stdout, &mut self.taken) }
                read = piece(&mut self.err, &mut self.refused) => { read?; (Output::Stderr, &mut self.refused) }
                status = self.child.wait(), if self.ended.is_none() => { self.ended = Some(status?); continue; }
                status = left_behind => return Ok(Happened::Ended(code(status))),
            };
            if !bytes.is_empty() {
                return Ok(Happened::Printed(from, bytes.split().freeze()));
            }
        }
    }

    async fn stop(&mut self, access: Access) -> io::Result<i32> {
        if access == Access::Write {
            self.group.signal(Signal::TERM);
            let _ = tokio::time::timeout(GRACE, self.child.wait()).await;
        }
        self.group.signal(Signal::KILL);
        self.child.wait().await.map(code)
    }
}

/// The processes of one command.
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
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// The next bytes of an output; never returns for one that has ended.
async fn piece<R: AsyncRead + Unpin>(from: &mut Option<R>, into: &mut BytesMut) -> io::Result<()> {
    let Some(reader) = from else {
        return std::future::pending().await;
    };
    into.reserve(PIECE);
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
