//! A process of the cluster: its life, its signals, what it writes.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use super::keeper::Keeper;
use super::{Hear, Node};

/// Waits until its keeper knows of it, then becomes the program.
const WAIT_FOR_THE_WORD: &str = r#"read -r word && exec "$@" </dev/null"#;

/// How long a process may take until it listens, and how long until it ends.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often it is looked whether a process has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// What stands before the address of the listener that every process has.
const LISTENS: &str = "  internal ";

pub(super) struct Child {
    node: Node,
    process: std::process::Child,
    listens: Mutex<Receiver<()>>,
}

impl Child {
    /// Starts what `command` says. What it logs goes to `hear`, or behind what is in the file `log`.
    pub(super) fn start(
        node: Node,
        command: &Command,
        keeper: &Keeper,
        log: &Path,
        hear: Option<Hear>,
    ) -> Result<Self, String> {
        let told = |error: std::io::Error| format!("{node} cannot be started: {error}");
        let mut shell = Command::new("/bin/sh");
        shell
            .args(["-c", WAIT_FOR_THE_WORD, "sh"])
            .arg(command.get_program())
            .args(command.get_args())
            .env_clear()
            .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .current_dir(command.get_current_dir().unwrap_or(Path::new("/")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // A terminal's Ctrl-C is for whoever started the cluster, who ends it in order.
            .process_group(0);
        match &hear {
            Some(_) => shell.stderr(Stdio::piped()),
            None => shell.stderr(OpenOptions::new().create(true).append(true).open(log).map_err(told)?),
        };
        let mut process = shell.spawn().map_err(told)?;
        let mut word = process.stdin.take().expect("piped");
        keeper.keep(process.id())?;
        writeln!(word, "go").map_err(told)?;
        let (tell, listens) = sync_channel(1);
        let (output, errors) = (process.stdout.take().expect("piped"), process.stderr.take());
        thread::spawn(move || forward(output, |line| announce(line, &tell)));
        if let (Some(errors), Some(hear)) = (errors, hear) {
            thread::spawn(move || forward(errors, |line| hear(node, line)));
        }
        Ok(Self {
            node,
            process,
            listens: listens.into(),
        })
    }

    /// Waits until it has said where it listens.
    pub(super) fn until_it_listens(&mut self) -> Result<(), String> {
        let listens = self.listens.get_mut().unwrap_or_else(PoisonError::into_inner);
        match listens.recv_timeout(PATIENCE) {
            Ok(()) => Ok(()),
            Err(RecvTimeoutError::Timeout) => Err(format!("it does not listen after {PATIENCE:?}")),
            Err(RecvTimeoutError::Disconnected) => Err("it ended at its start".to_owned()),
        }
    }

    /// Sends the signal and waits for the end; its exit code, `None` when a signal was the end of it. Whoever takes longer
    /// than half a minute is killed.
    pub(super) fn end(mut self, signal: Signal, keeper: &Keeper) -> Option<i32> {
        self.signal(signal);
        let tries = PATIENCE.as_millis() / LOOK_AGAIN.as_millis();
        let ended = signal == Signal::KILL || (0..tries).any(|_| self.has_ended());
        if !ended {
            self.signal(Signal::KILL);
        }
        self.wait_for(WaitIdOptions::EXITED);
        keeper.forget(self.process.id());
        let status = self.process.wait().ok();
        status.and_then(|status| status.code())
    }

    fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        let ended = waitid(WaitId::Pid(self.pid()), options);
        let ended = ended.is_ok_and(|status| status.is_some());
        if !ended {
            // sleep: the end of a process can be waited for, but not for a while
            thread::sleep(LOOK_AGAIN);
        }
        ended
    }

    pub(super) fn freeze(&self) {
        self.signal(Signal::STOP);
        self.wait_for(WaitIdOptions::STOPPED);
    }

    pub(super) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        // Until it is reaped, which only `end` does, its number is nobody else's.
        if let Err(error) = kill_process(self.pid(), signal) {
            panic!("{} cannot be sent {signal:?}: {error}", self.node);
        }
    }

    /// Waits until it is so, and reaps nothing.
    fn wait_for(&self, options: WaitIdOptions) {
        while waitid(WaitId::Pid(self.pid()), options | WaitIdOptions::NOWAIT)
            .is_err_and(|error| error == rustix::io::Errno::INTR)
        {}
    }

    fn pid(&self) -> Pid {
        let number = i32::try_from(self.process.id()).ok();
        number.and_then(Pid::from_raw).expect("a process has a number")
    }
}

/// Tells when it listens. The rest is for whoever starts it alone.
fn announce(line: &str, tell: &SyncSender<()>) {
    if line.starts_with(LISTENS) {
        // Nobody waits any more, perhaps.
        let _ = tell.try_send(());
    }
}

/// Passes on what is written, line by line, until the end.
fn forward(output: impl Read, mut pass_on: impl FnMut(&str)) {
    for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
        pass_on(&String::from_utf8_lossy(&line));
    }
}
