//! Handlers that do as they are told, and tell what they were given; and a worker around them.

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;
use storage::commands::{Claimed, Settlement};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use transport::command_worker::{CommandHandler, CommandWorker, Lane};
use transport::queue::Subscription;

use crate::given::{Given, SWEEP_EVERY, entropy, soon, success};

type Script = Box<dyn Fn(Claimed) -> BoxFuture<'static, Settlement> + Send + Sync>;

pub(crate) struct Scripted {
    begun: mpsc::Sender<Claimed>,
    script: Script,
}

#[async_trait]
impl CommandHandler for Scripted {
    async fn handle(&self, claimed: Claimed) -> Settlement {
        self.begun.send(claimed.clone()).await.unwrap();
        (self.script)(claimed).await
    }

    fn hand_back(&self, claimed: &Claimed) -> Option<String> {
        Some(format!("{}, not begun", claimed.progress))
    }
}

/// A handler that does what `script` says, and what it began.
pub(crate) fn handler<F, Fut>(script: F) -> (Arc<dyn CommandHandler>, Begun)
where
    F: Fn(Claimed) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Settlement> + Send + 'static,
{
    let (begun, commands) = mpsc::channel(1_000);
    let script: Script = Box::new(move |claimed| Box::pin(script(claimed)));
    (Arc::new(Scripted { begun, script }), Begun(commands))
}

/// A handler that finishes everything.
pub(crate) fn a_good_handler() -> (Arc<dyn CommandHandler>, Begun) {
    handler(|_| async { finished() })
}

/// The commands that a handler was given.
pub(crate) struct Begun(pub(crate) mpsc::Receiver<Claimed>);

impl Begun {
    pub(crate) async fn next(&mut self) -> Claimed {
        soon(self.0.recv()).await.unwrap()
    }

    /// How many more it was given that nobody has looked at.
    pub(crate) fn rest(&mut self) -> usize {
        let mut rest = 0;
        while self.0.try_recv().is_ok() {
            rest += 1;
        }
        rest
    }
}

pub(crate) fn finished() -> Settlement {
    Settlement::Finished {
        result: success(),
        progress: None,
    }
}

/// A worker that runs.
pub(crate) struct Running {
    pub(crate) lane: Lane,
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<()>,
}

impl Running {
    /// Stops it and waits until it has ended.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        soon(self.task).await.unwrap();
    }
}

impl Given {
    pub(crate) fn worker(&self, handler: Arc<dyn CommandHandler>, concurrency: usize) -> CommandWorker {
        CommandWorker {
            store: Arc::new(self.commands.clone()),
            handler,
            clock: self.clock.clone(),
            entropy: entropy(),
            concurrency,
            sweep_every: SWEEP_EVERY,
            metrics: Arc::default(),
        }
    }
}

/// Starts `worker`, with a lane of its own.
pub(crate) fn start(worker: CommandWorker, wake_ups: Box<dyn Subscription>) -> Running {
    let (lane, granted) = Lane::new(100);
    let stop = CancellationToken::new();
    let task = tokio::spawn(worker.run(wake_ups, granted, stop.clone()));
    Running { lane, stop, task }
}
