//! Commands: one program with its arguments, without a shell of the caller's or a terminal, beside the gateway or at another
//! host.
//!
//! Wherever it runs, a command gets what its connection's credential gives it and nothing else, in a home that is made for
//! it and removed after it. Its limits are set by a constant script that then becomes the program, so that it never runs
//! without them. When time is up its whole process group is killed; who leaves the group (`setsid`) lives on without a home.

use std::{fmt, io};

use bytes::Bytes;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::overreach::Overreach;
use crate::{
    domain::{
        connection::{Access, Budget},
        operation::CommandOperation,
        policy::Programs,
    },
    gateway::ports::{Completion, Output, ResultSink, RunError},
};

mod local;
mod ssh;

/// Where programs find others.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// What programs write texts in.
const LANG: &str = "C.UTF-8";

/// The first lines of every script, which set the limits. One that cannot be set is lower already. No core file, which would
/// hold credentials; `$1` seconds of processor time; files of 1 GiB; 1,024 open files; 16 GiB of addresses, of which Go's and
/// Java's runtimes reserve many without using them. There is no single quote in it, for whoever puts it into some.
macro_rules! limited {
    ($($then:literal),*) => {
        concat!(
            r#"for limit in "c 0" "t $1" "f 2097152" "n 1024" "v 16777216"; do "#,
            r#"ulimit -${limit% *} ${limit#* } 2>/dev/null; done; "#,
            $($then),*
        )
    };
}
use limited;

/// One connection's programs with one of its credentials.
pub(super) struct Commands {
    programs: Programs,
    /// `None`: they run beside the gateway.
    host: Option<ssh::Ssh>,
}

/// What is to run.
struct Call<'a> {
    /// Where the program is, absolute.
    program: &'a str,
    arguments: &'a [String],
    stdin: &'a str,
    access: Access,
    budget: &'a Budget,
    /// When its time is up.
    until: Instant,
}

/// A command that runs. Dropped, it is killed: a command does not outlive whoever waited for it.
trait Process: Send {
    /// What happens next. Nothing is lost if this is not waited for to its end.
    fn next(&mut self) -> impl Future<Output = io::Result<Happened>> + Send;

    /// Ends it with all that it started, one that changes something in its own way if it is quick. Gives its code.
    fn stop(&mut self, access: Access) -> impl Future<Output = io::Result<i32>> + Send;
}

/// What a command did.
enum Happened {
    Printed(Output, Bytes),
    /// It ended, and nothing more is printed. As shells say it: a signal is 128 and its number.
    Ended(i32),
}

/// Why a command is no longer waited for.
enum Stop {
    Left,
    TimeUp,
    /// Its output is more than anyone may have.
    Enough,
}

impl Commands {
    pub(super) fn open(programs: &Programs) -> Result<Self, String> {
        let host = match &programs.host {
            Some((host, login)) => Some(ssh::Ssh::open(host, login)?),
            None => None,
        };
        Ok(Self {
            programs: programs.clone(),
            host,
        })
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
            return Err(unreachable("there is no program in it"));
        };
        let Some(program) = self.programs.programs.get(name) else {
            let why = "its program is not one of the connection's any more";
            return Err(unreachable(why));
        };
        let call = Call {
            program,
            arguments,
            stdin: operation.stdin.as_deref().unwrap_or_default(),
            access,
            budget,
            until: Instant::now() + budget.timeout,
        };
        let code = match &self.host {
            None => {
                let process = local::start(&self.programs, &call)?;
                watch(process, &call, sink, cancel).await?
            }
            Some(host) => {
                let ready = tokio::select! {
                    biased;
                    () = cancel.cancelled() => return Err(RunError::Cancelled { timeout: false }),
                    ready = host.ready(&self.programs.env, &call) => ready?,
                };
                let process = ready.begin(call.stdin).await?;
                watch(process, &call, sink, cancel).await?
            }
        };
        Ok(Completion {
            exit_code: Some(code),
            ..Completion::default()
        })
    }

    /// What such a credential may do is known to whoever is called with it; whether a host takes it can be asked.
    pub(super) async fn overreach(&self) -> Result<Vec<Overreach>, RunError> {
        if let Some(host) = &self.host {
            host.login().await?;
        }
        Ok(Vec::new())
    }
}

fn unreachable(why: impl fmt::Display) -> RunError {
    RunError::Unreachable(why.to_string())
}

/// Hands over output until the command has ended, or has to.
async fn watch(
    mut process: impl Process,
    call: &Call<'_>,
    sink: &mut dyn ResultSink,
    cancel: &CancellationToken,
) -> Result<i32, RunError> {
    let lost = |error: io::Error| RunError::Unknown(format!("it was lost: {error}"));
    let mut wanted = true;
    let stop = loop {
        let happened = tokio::select! {
            biased;
            () = cancel.cancelled() => break Stop::Left,
            () = tokio::time::sleep_until(call.until) => break Stop::TimeUp,
            happened = process.next() => happened.map_err(lost)?,
        };
        let (from, bytes) = match happened {
            Happened::Printed(from, bytes) => (from, bytes),
            Happened::Ended(code) => return Ok(code),
        };
        if wanted && sink.output(from, &bytes).is_break() {
            wanted = false;
            // A change runs to its end, whether or not anyone sees more of it.
            if call.access == Access::Read {
                break Stop::Enough;
            }
        }
    };
    let code = process.stop(call.access).await.map_err(lost)?;
    match (stop, call.access) {
        (Stop::Enough, _) => Ok(code),
        (Stop::Left, Access::Read) => Err(RunError::Cancelled { timeout: false }),
        (Stop::TimeUp, Access::Read) => Err(RunError::Cancelled { timeout: true }),
        (Stop::Left | Stop::TimeUp, Access::Write) => Err(RunError::Unknown(format!(
            "it was stopped after {} s, and what it had done by then is not known",
            call.budget.timeout.as_secs()
        ))),
    }
}
