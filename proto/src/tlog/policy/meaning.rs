//! What a policy asks for, whatever words it is written in.

use std::collections::{BTreeMap, BTreeSet};

use super::{Policy, PolicyName};
use crate::tlog::note::VerifierKey;

/// A policy without its bytes, names, order and URLs.
#[derive(PartialEq, Eq)]
struct Meaning {
    logs: BTreeSet<String>,
    witnesses: BTreeSet<String>,
    /// `None` for `quorum none`.
    quorum: Option<Asked>,
}

/// Who must have cosigned.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Asked {
    Key(String),
    /// So many of these, which are sorted.
    Of(usize, Vec<Self>),
}

impl Policy {
    /// Whether both know the same keys, of logs and of witnesses, and ask for the same quorum of them.
    /// Comments, URLs, the order of lines and the names of witnesses and groups play no part.
    ///
    /// A group of one and its member are two things: who asks for the same in another shape is not
    /// recognised.
    pub fn asks_the_same_as(&self, other: &Self) -> bool {
        self.bytes == other.bytes || self.meaning() == other.meaning()
    }

    fn meaning(&self) -> Meaning {
        let text = |key: &VerifierKey| key.to_string();
        Meaning {
            logs: self.logs.iter().map(|log| text(&log.key)).collect(),
            witnesses: self.witnesses.iter().map(|it| text(&it.key)).collect(),
            quorum: self.asked(),
        }
    }

    fn asked(&self) -> Option<Asked> {
        let witnesses = self.witnesses.iter();
        let mut asked: BTreeMap<&PolicyName, Asked> = witnesses
            .map(|witness| (&witness.name, Asked::Key(witness.key.to_string())))
            .collect();
        // A group names earlier lines only, so one pass in their order knows all members.
        for group in &self.groups {
            let members = group.members.iter();
            let mut members: Vec<Asked> = members.filter_map(|it| asked.get(it).cloned()).collect();
            members.sort_unstable();
            asked.insert(&group.name, Asked::Of(group.threshold, members));
        }
        asked.remove(self.quorum.as_ref()?)
    }
}
