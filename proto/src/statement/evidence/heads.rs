//! Heads that a policy accepts, and what they say about time and about who holds them.

use std::collections::BTreeSet;

use super::file::OtherHead;
use super::report::{Code, CosignerReport, HeadReport, HeldOutside, TimeBracket};
use super::verdict::SavedHead;
use crate::system::registry::Registry;
use crate::time::UnixSeconds;
use crate::tlog::note::NoteError;
use crate::tlog::policy::{Cosigner, PolicyError};
use crate::tlog::{
    Checkpoint, ConsistencyProof, LeafIndex, Note, Origin, Policy, TreeHead, TreeSize, VerifierKey,
};

/// Why the whole input is refused.
pub(super) type Refused = (Code, String);

/// A head that satisfies a policy.
#[derive(Debug, Clone)]
pub(super) struct AcceptedHead {
    pub(super) origin: Origin,
    pub(super) head: TreeHead,
    /// Who has cosigned it, of those that the policy names, and is believed.
    cosigners: Vec<Cosigner>,
    /// What it satisfies.
    policy: Policy,
    told: Told,
}

/// What cosigners tell of a head.
#[derive(Debug, Clone, Default)]
struct Told {
    cosigners: Vec<CosignerReport>,
    /// By then a quorum of the policy had seen this head.
    seen_by_quorum: Option<u64>,
    /// Until then a quorum of the policy had seen no later head.
    newest_until: Option<u64>,
}

impl Told {
    fn by(among: &[Cosigner], policy: &Policy, origin: &Origin) -> Self {
        let nodes = format!("{origin}/node/");
        let report = |cosigner: &Cosigner| CosignerReport {
            name: cosigner.name.to_string(),
            time: cosigner.time.0,
            outside: !cosigner.name.as_str().starts_with(&nodes),
        };
        Self {
            cosigners: among.iter().map(report).collect(),
            seen_by_quorum: times(among)
                .find(|time| is_quorum(policy, among, |cosigner| cosigner.time.0 <= *time)),
            newest_until: times(among)
                .rev()
                .find(|time| is_quorum(policy, among, |cosigner| cosigner.time.0 >= *time)),
        }
    }
}

impl AcceptedHead {
    /// Checks a signed note against a policy: log signature, cosignatures, quorum.
    pub(super) fn check(text: &str, policy: &Policy) -> Result<Self, Refused> {
        let note = Note::parse(text.as_bytes()).map_err(|error| {
            (
                Code::CheckpointWrong,
                format!("the checkpoint is malformed: {error}"),
            )
        })?;
        let cosigned = policy.check(&note).map_err(|error| refused(&error))?;
        let origin = cosigned.checkpoint().checkpoint().origin().clone();
        Ok(Self {
            head: *cosigned.head(),
            told: Told::by(cosigned.cosigners(), policy, &origin),
            cosigners: cosigned.cosigners().to_vec(),
            policy: policy.clone(),
            origin,
        })
    }

    /// A head that satisfies the policy which the log had at that size, says its own chain. It is one of
    /// the log's history, and no more: the reader's policy does not name its cosigners, so that nothing
    /// is believed of when they saw it.
    fn earlier(text: &str, registry: &Registry) -> Option<Self> {
        let note = Note::parse(text.as_bytes()).ok()?;
        let size = Checkpoint::parse(note.text()).ok()?.head().size;
        let last = LeafIndex(size.0.checked_sub(1)?);
        let (_, texts) = registry.policy_at(last)?;
        let policy = Policy::parse(texts.trust.as_bytes()).ok()?;
        let head = Self::check(text, &policy).ok()?;
        Some(Self {
            cosigners: Vec::new(),
            told: Told::default(),
            ..head
        })
    }

    /// The same, believing only those cosigners whose keys the pair names that the chain has in force
    /// for the head. The reader's own policy may be older and name keys that were retired since: who
    /// has one of those can date what it signs as it pleases.
    pub(super) fn told_in_force(self, registry: &Registry) -> Self {
        let named = keys_in_force(registry, self.head.size);
        let key_of = |cosigner: &Cosigner| {
            let mut witnesses = self.policy.witnesses().iter();
            witnesses.find(|witness| witness.name == cosigner.witness)
        };
        let counts = |cosigner: &&Cosigner| {
            key_of(cosigner).is_some_and(|witness| named.contains(&witness.key))
        };
        let among: Vec<Cosigner> = self.cosigners.iter().filter(counts).cloned().collect();
        Self {
            told: Told::by(&among, &self.policy, &self.origin),
            cosigners: among,
            ..self
        }
    }

    /// Whether the head covers the entry.
    pub(super) fn covers(&self, index: LeafIndex) -> bool {
        self.head.size.contains(index)
    }

    pub(super) fn report(&self) -> HeadReport {
        HeadReport {
            origin: self.origin.to_string(),
            size: self.head.size.0,
            root: self.head.root.hash().to_base64(),
            cosigners: self.told.cosigners.clone(),
        }
    }
}

/// Refuses a head that does not satisfy the `publish` policy which the chain beside it puts in force, as
/// every published head does: keys that the log has retired, its own among them, sign no head of it, also
/// for a reader whose own policy still names them. What a reader asks for beyond that is said by the
/// reader's policy.
pub(super) fn check_in_force(text: &str, registry: &Registry) -> Result<(), Refused> {
    let wrong = |error: &dyn std::error::Error| (Code::CheckpointWrong, causes(error));
    let note = Note::parse(text.as_bytes()).map_err(|error| wrong(&error))?;
    let checkpoint = Checkpoint::parse(note.text()).map_err(|error| wrong(&error))?;
    let Some((since, texts)) = registry.policy_at(last_of(checkpoint.head().size)) else {
        return Ok(());
    };
    let policy = Policy::parse(texts.publish.as_bytes()).map_err(|error| wrong(&error))?;
    AcceptedHead::check(text, &policy)
        .map(drop)
        .map_err(|(code, sentence)| {
            let sentence = format!(
                "the policy in force since entry {} refuses the head: {sentence}",
                since.0
            );
            // A reader's policy may be the wrong one; that of the chain is not.
            let code = match code {
                Code::LogKeyUnknown | Code::PolicyOfOtherLog => Code::CheckpointWrong,
                code => code,
            };
            (code, sentence)
        })
}

/// The keys of all cosigners that the pair in force for a head of this size names.
fn keys_in_force(registry: &Registry, size: TreeSize) -> Vec<VerifierKey> {
    let Some((_, texts)) = registry.policy_at(last_of(size)) else {
        return Vec::new();
    };
    let texts = [&texts.publish, &texts.trust].into_iter();
    let policies = texts.filter_map(|text| Policy::parse(text.as_bytes()).ok());
    let witnesses = policies.flat_map(|policy| policy.witnesses().to_vec());
    witnesses.map(|witness| witness.key).collect()
}

/// The last entry under a head: what stands there and before is in force for it.
fn last_of(size: TreeSize) -> LeafIndex {
    LeafIndex(size.0.saturating_sub(1))
}

/// The heads of one log's history that an input shows, and those that its reader saved.
#[derive(Debug)]
pub(super) struct History<'a> {
    pub(super) heads: Vec<AcceptedHead>,
    pub(super) saved: &'a [SavedHead],
}

impl History<'_> {
    /// The bounds of the time at which the entry was logged.
    pub(super) fn bracket(&self, index: LeafIndex) -> TimeBracket {
        let before = self.heads.iter().filter(|head| !head.covers(index));
        let with = self.heads.iter().filter(|head| head.covers(index));
        TimeBracket {
            after: before.filter_map(|head| head.told.newest_until).max(),
            not_later_than: with.filter_map(|head| head.told.seen_by_quorum).min(),
        }
    }

    /// The first outsider that holds a head which covers the entry.
    pub(super) fn held_outside(&self, index: LeafIndex) -> HeldOutside {
        let covering = || self.heads.iter().filter(|head| head.covers(index));
        let witness = covering()
            .flat_map(|head| &head.told.cosigners)
            .filter(|cosigner| cosigner.outside)
            .min_by_key(|cosigner| cosigner.time);
        let saved = self
            .saved
            .iter()
            .filter(|saved| covering().any(|head| head.head == saved.head))
            .min_by_key(|saved| saved.saved_at);
        match (witness, saved) {
            (Some(witness), saved)
                if saved.is_none_or(|saved| witness.time <= saved.saved_at.0) =>
            {
                HeldOutside::Witness {
                    name: witness.name.clone(),
                    since: witness.time,
                }
            }
            (_, Some(saved)) => HeldOutside::SavedHead {
                since: saved.saved_at.0,
                size: saved.head.size.0,
            },
            (_, None) => HeldOutside::Nobody,
        }
    }

    /// Saved heads that contradict the history: same size, other root.
    pub(super) fn forks(&self) -> impl Iterator<Item = &SavedHead> {
        self.saved.iter().filter(|saved| {
            let same_size = |head: &&AcceptedHead| head.head.size == saved.head.size;
            self.heads
                .iter()
                .find(same_size)
                .is_some_and(|head| head.head.root != saved.head.root)
        })
    }

    /// Saved heads that no head of the history equals: nothing then shows that the log extends them.
    pub(super) fn not_reached(&self) -> impl Iterator<Item = &SavedHead> {
        self.saved.iter().filter(|saved| {
            let mut sizes = self.heads.iter().map(|head| head.head.size);
            sizes.all(|size| size != saved.head.size)
        })
    }

    /// The latest cosignature that is dated after `now`, with some leeway.
    pub(super) fn dated_ahead(&self, now: UnixSeconds) -> Option<&CosignerReport> {
        let cosigners = self.heads.iter().flat_map(|head| &head.told.cosigners);
        let latest = cosigners.max_by_key(|cosigner| cosigner.time)?;
        (latest.time > now.0.saturating_add(CLOCK_LEEWAY_SECONDS)).then_some(latest)
    }
}

/// How far the clock of the reader may be behind that of a cosigner.
const CLOCK_LEEWAY_SECONDS: u64 = 300;

/// Checks another head of the file: it satisfies a policy on the way from the reader's to that of the
/// file, or the one that the log had at that size, and is consistent with `main`. Of its cosigners only
/// those are believed whose keys were in force for it.
pub(super) fn check_other(
    other: &OtherHead,
    main: &AcceptedHead,
    (policies, registry): (&[Policy], &Registry),
) -> Result<AcceptedHead, String> {
    let head = policies
        .iter()
        .find_map(|policy| AcceptedHead::check(&other.checkpoint, policy).ok())
        .or_else(|| AcceptedHead::earlier(&other.checkpoint, registry))
        .ok_or("no policy on the way accepts it")?;
    if head.origin != main.origin {
        return Err(format!("it is of another log, {}", head.origin));
    }
    let (old, new) = if head.head.size <= main.head.size {
        (&head.head, &main.head)
    } else {
        (&main.head, &head.head)
    };
    let proof = ConsistencyProof::new(old.size, new.size, other.consistency.clone());
    let verified = proof.and_then(|proof| proof.verify(old, new));
    verified.map_err(|error| error.to_string())?;
    Ok(head.told_in_force(registry))
}

fn times(cosigners: &[Cosigner]) -> impl DoubleEndedIterator<Item = u64> + use<> {
    let times: BTreeSet<u64> = cosigners.iter().map(|cosigner| cosigner.time.0).collect();
    times.into_iter()
}

fn is_quorum(policy: &Policy, among: &[Cosigner], keep: impl Fn(&Cosigner) -> bool) -> bool {
    let kept: Vec<Cosigner> = among
        .iter()
        .filter(|cosigner| keep(cosigner))
        .cloned()
        .collect();
    policy.is_met(&kept)
}

fn refused(error: &PolicyError) -> Refused {
    let code = match error {
        PolicyError::UnknownLog { .. } => Code::PolicyOfOtherLog,
        PolicyError::Log(NoteError::NoKnownKey) => Code::LogKeyUnknown,
        PolicyError::NoQuorum { .. } => Code::QuorumNotReached,
        PolicyError::Checkpoint(_) | PolicyError::Log(_) | PolicyError::Cosignature(_) => {
            Code::CheckpointWrong
        }
    };
    let mut sentence = causes(error);
    if matches!(error, PolicyError::NoQuorum { strangers, .. } if !strangers.is_empty()) {
        sentence.push_str(
            " (a replaced node changes it; an older file is checked with the policy of its time)",
        );
    }
    if code == Code::LogKeyUnknown {
        sentence.push_str(
            " (a new log key changes the policy; an older file is checked with the policy of its time)",
        );
    }
    (code, sentence)
}

/// The error and its causes in one sentence.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut sentence = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        sentence.push_str(": ");
        sentence.push_str(&error.to_string());
        cause = error.source();
    }
    sentence
}
