//! The leader's task that cuts, collects cosignatures and publishes: feeds the decisions of
//! `publisher_state` and carries them out.

use std::sync::Arc;

use aimslog_proto::tlog::{NoteSignature, TreeHead, TreeSize};
use futures::future::BoxFuture;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

use super::command::Publish;
use super::outcome::Outcome;
use super::progress::{CutNote, LedgerProgress};
use super::publisher_state::{
    Action, CosignatureRefusal, Cosignatures, Event, HeadRules, PublishState, Taken,
};
use super::sequencer::{Control, Sequencer, SubmitError};
use crate::raft::{Role, Status};

/// Messages on their way to the task: a few per node and per waiting caller.
const MESSAGES_MAX: usize = 1_024;

/// Shortest interval between cuts that a configuration may ask for.
pub const INTERVAL_MIN: Duration = Duration::from_millis(20);

/// Makes the log's and the receipt signature over a head that the policy allows. Holds both keys.
pub trait HeadSealer: Send + Sync + 'static {
    /// The head of a cut as it is published: checkpoint with log signature and cosignatures, and
    /// the receipt signature over the same head, dated with the time of the cut.
    fn seal(&self, cut: &CutNote, cosignatures: &Cosignatures) -> Result<Publish, SealError>;
}

/// The keys and names of this node do not make a head.
pub type SealError = Box<dyn std::error::Error + Send + Sync>;

/// Knows the policies in force.
pub trait PolicySource: Send + Sync + 'static {
    /// What a head must satisfy that is taken at this cut: every `publish` policy in force between
    /// the newest published head and the cut, so that a head that switches satisfies both.
    fn rules_at(&self, cut: &CutNote) -> Result<Arc<dyn HeadRules + Send + Sync>, PolicyError>;
}

/// The policy cannot be read.
pub type PolicyError = Box<dyn std::error::Error + Send + Sync>;

/// Proposes cuts and heads. Implemented by the sequencer, and by the tests.
pub trait ProposeHeads: Send + Sync + 'static {
    /// Proposes a command and returns what the machine answered.
    fn control(&self, control: Control) -> BoxFuture<'static, Result<Outcome, SubmitError>>;
}

impl ProposeHeads for Sequencer {
    fn control(&self, control: Control) -> BoxFuture<'static, Result<Outcome, SubmitError>> {
        let sequencer = self.clone();
        Box::pin(async move { Self::control(&sequencer, control).await })
    }
}

/// The way to the publisher of this node. Cheap to clone; does nothing while another node leads.
#[derive(Debug, Clone)]
pub struct Publisher {
    messages: mpsc::Sender<Message>,
}

#[derive(Debug)]
enum Message {
    Cosignature {
        from: u64,
        head: TreeHead,
        signature: NoteSignature,
        answer: oneshot::Sender<Result<Taken, CosignatureRefusal>>,
    },
    Wanted(TreeSize),
}

impl Publisher {
    /// The handle, and the mailbox for [`run`].
    pub fn new() -> (Self, Mailbox) {
        let (messages, incoming) = mpsc::channel(MESSAGES_MAX);
        (Self { messages }, Mailbox(incoming))
    }

    /// Hands in a cosignature that the node `from` sent; `from` is proven by its connection.
    pub async fn cosignature(
        &self,
        from: u64,
        head: TreeHead,
        signature: NoteSignature,
    ) -> Result<Taken, CosignatureRefusal> {
        let (answer, taken) = oneshot::channel();
        let message = Message::Cosignature {
            from,
            head,
            signature,
            answer,
        };
        if self.messages.try_send(message).is_err() {
            // Full or gone: either way this node is in no state to lead.
            return Err(CosignatureRefusal::NotLeader);
        }
        taken.await.unwrap_or(Err(CosignatureRefusal::NotLeader))
    }

    /// Somebody waits for a published head of at least this size: cut sooner than the interval.
    ///
    /// On a node that does not lead, and while the mailbox is full, the interval has to do.
    pub fn want_head(&self, size: TreeSize) {
        if self.messages.try_send(Message::Wanted(size)).is_err() {
            tracing::debug!(
                size = size.0,
                "publisher is busy, the head comes at the interval"
            );
        }
    }
}

/// Where the messages of the handles arrive.
#[derive(Debug)]
pub struct Mailbox(mpsc::Receiver<Message>);

/// What the task works with.
pub struct PublisherParts {
    /// Signs what is published.
    pub sealer: Arc<dyn HeadSealer>,
    /// Says who must have cosigned.
    pub policies: Arc<dyn PolicySource>,
    /// The way into the raft log.
    pub propose: Arc<dyn ProposeHeads>,
    /// Time between cuts when nobody waits.
    pub interval: Duration,
}

impl std::fmt::Debug for PublisherParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PublisherParts")
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}

/// What the task watches.
#[derive(Debug)]
pub struct PublisherInputs {
    /// Cuts and published heads.
    pub progress: watch::Receiver<LedgerProgress>,
    /// Whether this node leads.
    pub status: watch::Receiver<Status>,
    /// Whether it may, by its alarms.
    pub standing: watch::Receiver<super::alarms::Standing>,
    /// Ends the task.
    pub shutdown: CancellationToken,
}

/// Why the task ended; the process must stop.
#[derive(Debug, Error)]
pub enum PublisherError {
    /// The policy in force cannot be read from the state.
    #[error("the policy in force cannot be read")]
    Policy(#[source] PolicyError),
    /// A piece of work panicked.
    #[error("a task of the publisher panicked")]
    Panicked(#[source] JoinError),
}

type Rules = Arc<dyn HeadRules + Send + Sync>;

impl HeadRules for Rules {
    fn check(
        &self,
        from: u64,
        head: &TreeHead,
        signature: &NoteSignature,
    ) -> Result<(), CosignatureRefusal> {
        self.as_ref().check(from, head, signature)
    }

    fn satisfied(&self, head: &TreeHead, cosignatures: &Cosignatures) -> bool {
        self.as_ref().satisfied(head, cosignatures)
    }
}

/// Work that was begun and comes back.
enum Done {
    Cut(Result<Outcome, SubmitError>),
    Publish(Result<Outcome, SubmitError>),
}

/// Cuts and publishes while this node leads, until the shutdown.
pub async fn run(
    parts: PublisherParts,
    mailbox: Mailbox,
    mut inputs: PublisherInputs,
) -> Result<(), PublisherError> {
    let interval_ms = u64::try_from(parts.interval.as_millis()).unwrap_or(u64::MAX);
    let mut messages = mailbox.0;
    let mut task = Task {
        parts,
        state: PublishState::new(interval_ms),
        work: JoinSet::new(),
        epoch: Instant::now(),
        cut: None,
        proposed: None,
    };
    inputs.progress.mark_changed();
    inputs.status.mark_changed();
    loop {
        let wake = task.wake_at();
        tokio::select! {
            () = inputs.shutdown.cancelled() => return Ok(()),
            changed = inputs.status.changed() => {
                if changed.is_err() { return Ok(()); }
                inputs.status.borrow_and_update();
                task.lead(&inputs);
            }
            changed = inputs.standing.changed() => {
                if changed.is_err() { return Ok(()); }
                inputs.standing.borrow_and_update();
                task.lead(&inputs);
            }
            changed = inputs.progress.changed() => {
                if changed.is_err() { return Ok(()); }
                let progress = inputs.progress.borrow_and_update().clone();
                task.progress(&progress)?;
            }
            Some(message) = messages.recv() => task.message(message),
            Some(done) = task.work.join_next() => {
                task.done(done.map_err(PublisherError::Panicked)?);
            }
            () = sleep_until(wake), if wake.is_some() => task.feed(Event::Tick),
        }
    }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
    }
}

struct Task {
    parts: PublisherParts,
    state: PublishState<Rules>,
    work: JoinSet<Done>,
    /// Zero of the clock that the decisions see.
    epoch: Instant,
    /// The newest cut fed in.
    cut: Option<CutNote>,
    /// When this node proposed the newest cut, while it leads.
    proposed: Option<Instant>,
}

impl Task {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn wake_at(&self) -> Option<Instant> {
        let at_ms = self.state.wake_at_ms()?;
        self.epoch.checked_add(Duration::from_millis(at_ms))
    }

    fn lead(&mut self, inputs: &PublisherInputs) {
        let may_lead = inputs.standing.borrow().may_lead();
        let term = {
            let status = inputs.status.borrow();
            (status.role == Role::Leader && may_lead).then_some(status.vote.term)
        };
        if term.is_none() {
            self.proposed = None;
        }
        self.feed(Event::Lead(term));
    }

    fn progress(&mut self, progress: &LedgerProgress) -> Result<(), PublisherError> {
        if let Some(head) = &progress.head {
            self.feed(Event::Published(head.tree));
        }
        self.feed(Event::Applied(progress.tree.size));
        match progress.cut.filter(|cut| Some(*cut) != self.cut) {
            None => Ok(()),
            Some(cut) => {
                self.cut = Some(cut);
                self.tell("cut applied", cut.tree.size);
                let rules = self
                    .parts
                    .policies
                    .rules_at(&cut)
                    .map_err(PublisherError::Policy)?;
                self.feed(Event::Cut { cut, rules });
                Ok(())
            }
        }
    }

    fn message(&mut self, message: Message) {
        match message {
            Message::Wanted(size) => self.feed(Event::Wanted(size)),
            Message::Cosignature {
                from,
                head,
                signature,
                answer,
            } => {
                let now_ms = self.now_ms();
                let (taken, actions) = self.state.cosignature(from, head, signature, now_ms);
                if let Err(refusal) = &taken {
                    tracing::warn!(from, %refusal, "cosignature refused");
                }
                // Whoever asked may have given up meanwhile.
                if answer.send(taken).is_err() {
                    tracing::debug!(from, "sender of a cosignature has gone");
                }
                self.carry_out(actions);
            }
        }
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Cut(Ok(Outcome::Cut { .. })) => self.feed(Event::CutDone),
            Done::Cut(other) => {
                tracing::debug!(?other, "cut was not committed");
                self.feed(Event::CutFailed);
            }
            Done::Publish(result) => {
                match result {
                    Ok(Outcome::Published { .. }) => {
                        let size = self.cut.map_or(TreeSize(0), |cut| cut.tree.size);
                        self.tell("head published", size);
                    }
                    other => tracing::warn!(?other, "head was not published"),
                }
                self.feed(Event::PublishDone);
            }
        }
    }

    fn feed(&mut self, event: Event<Rules>) {
        let now_ms = self.now_ms();
        let actions = self.state.step(event, now_ms);
        self.carry_out(actions);
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::ProposeCut => {
                    self.proposed = Some(Instant::now());
                    let cut = self.parts.propose.control(Control::Cut);
                    self.work.spawn(async move { Done::Cut(cut.await) });
                }
                Action::ProposePublish { cut, cosignatures } => self.publish(&cut, &cosignatures),
                Action::Refused { from, refusal } => {
                    tracing::warn!(from, %refusal, "cosignature refused");
                }
            }
        }
    }

    /// Where the time of a head goes.
    fn tell(&self, what: &'static str, size: TreeSize) {
        if let Some(proposed) = self.proposed {
            let ms = proposed.elapsed().as_millis();
            tracing::debug!(size = size.0, ms, "{what}");
        }
    }

    fn publish(&mut self, cut: &CutNote, cosignatures: &Cosignatures) {
        self.tell("cosigned by a quorum", cut.tree.size);
        match self.parts.sealer.seal(cut, cosignatures) {
            Ok(publish) => {
                let publish = self.parts.propose.control(Control::Publish(publish));
                self.work.spawn(async move { Done::Publish(publish.await) });
            }
            Err(error) => {
                tracing::error!(%error, size = cut.tree.size.0, "head could not be signed");
                self.work
                    .spawn(async { Done::Publish(Err(SubmitError::Stopped)) });
            }
        }
    }
}

#[cfg(test)]
mod tests;
