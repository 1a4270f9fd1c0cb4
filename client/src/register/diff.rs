//! What changed in a register between two places of the log.

use aimslog_proto::pb::v1;
use aimslog_proto::tlog::{LeafHash, LeafIndex};

use super::{Asked, RegisterCount, RegisterVersion, proven, version};
use crate::error::ClientError;
use crate::ledger::Ledger;
use crate::page;
use crate::trust::SignedHead;

/// An entity that has new versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterChange {
    /// Its newest version at the later place.
    pub after: RegisterVersion,
    /// Its newest version at the earlier place. `None` where it was opened since, or where the reader may
    /// not see that version.
    pub before: Option<RegisterVersion>,
    /// It was opened before, and the reader may not see the version that it had.
    pub before_withheld: bool,
}

impl RegisterChange {
    /// Whether it was opened between the two places.
    pub fn is_opened(&self) -> bool {
        self.before.is_none() && !self.before_withheld
    }

    fn leaves(&self) -> impl Iterator<Item = (LeafIndex, LeafHash)> {
        [Some(&self.after), self.before.as_ref()]
            .into_iter()
            .flatten()
            .map(RegisterVersion::leaf)
    }

    /// What does not fit between the two versions, the places and the change before.
    fn misfit(&self, from: LeafIndex, last: Option<LeafIndex>) -> Option<&'static str> {
        let after = &self.after;
        if after.entry.index < from {
            return Some("did not happen since");
        }
        if last.is_some_and(|last| after.entry.index <= last) {
            return Some("came twice or out of order");
        }
        if self.is_opened() {
            return None;
        }
        if after.header.revision.is_none() {
            return Some("continues an entity that it opens");
        }
        let before = self.before.as_ref()?;
        let same = before.entity == after.entity
            && before.entry.register_number == after.entry.register_number;
        (!same || before.version >= after.version).then_some("is between two entities")
    }
}

/// What changed in a register, read page by page.
#[derive(Debug)]
pub struct RegisterDiff<'a> {
    ledger: &'a Ledger,
    organization: String,
    kind: String,
    from: LeafIndex,
    to: Option<LeafIndex>,
    /// What the first page said of the whole.
    told: Option<Told>,
    token: String,
    head: Option<SignedHead>,
    /// Index of the last change that came.
    last: Option<LeafIndex>,
    opened: u64,
    is_over: bool,
}

/// What the service says of the register at both places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Told {
    to: LeafIndex,
    /// Both or none.
    counts: Option<[RegisterCount; 2]>,
}

impl Ledger {
    /// What changed in the register of a kind from what stood in front of `from` to what stood in front of
    /// `to`, or under the newest head. Nothing is asked before [`RegisterDiff::page`] is.
    pub fn register_diff(
        &self,
        organization: impl Into<String>,
        kind: impl Into<String>,
        (from, to): (LeafIndex, Option<LeafIndex>),
    ) -> RegisterDiff<'_> {
        RegisterDiff {
            ledger: self,
            organization: organization.into(),
            kind: kind.into(),
            from,
            to,
            told: None,
            token: String::new(),
            head: None,
            last: None,
            opened: 0,
            is_over: false,
        }
    }
}

impl RegisterDiff<'_> {
    /// In front of which entry the later state stood; known after the first page.
    pub fn to(&self) -> Option<LeafIndex> {
        self.told.map(|told| told.to)
    }

    /// How much the register held at both places, as the service says; known after the first page. `None`
    /// where the reader may not see all of it.
    pub fn counts(&self) -> Option<[RegisterCount; 2]> {
        self.told.and_then(|told| told.counts)
    }

    /// The head that proves what the last page held.
    pub fn head(&self) -> Option<&SignedHead> {
        self.head.as_ref()
    }

    /// More changed entities, in the order in which their newest versions were logged; `None` at the end.
    /// A page may be empty. Where the reader sees all of the register, more or fewer new entities than
    /// its counts say are an error.
    pub async fn page(&mut self) -> Result<Option<Vec<RegisterChange>>, ClientError> {
        if self.is_over {
            return Ok(None);
        }
        let (endpoint, answer) = self.ask().await?;
        let unverified = |why: String| ClientError::Unverified {
            endpoint: endpoint.clone(),
            why,
        };
        let counts = answer.count_from.zip(answer.count_to);
        let told = Told {
            to: LeafIndex(answer.to),
            counts: counts.map(|(from, to)| [from, to].map(RegisterCount::of)),
        };
        let asked = self.to.is_none_or(|to| to == told.to);
        if !asked || self.told.is_some_and(|before| before != told) {
            let why = "the page is of the register at another place".to_owned();
            return Err(unverified(why));
        }
        self.told = Some(told);
        let mut changes = Vec::with_capacity(answer.changes.len());
        for message in answer.changes {
            let change = self.change(&endpoint, told.to, message)?;
            self.last = Some(change.after.entry.index);
            self.opened += u64::from(change.is_opened());
            changes.push(change);
        }
        let leaves = changes.iter().flat_map(RegisterChange::leaves).collect();
        let head = proven(self.ledger, &endpoint, (answer.proof, leaves, told.to)).await?;
        self.head = Some(head);
        self.token = answer.next_page_token;
        self.is_over = self.token.is_empty();
        match told.counts {
            Some([from, to])
                if self.is_over && from.entities.checked_add(self.opened) != Some(to.entities) =>
            {
                let why = format!(
                    "{} entities were opened, and the register grew from {} to {}",
                    self.opened, from.entities, to.entities
                );
                Err(unverified(why))
            }
            _ => Ok(Some(changes)),
        }
    }

    fn change(
        &self,
        endpoint: &str,
        to: LeafIndex,
        message: v1::RegisterChange,
    ) -> Result<RegisterChange, ClientError> {
        let asked = |before| Asked {
            organization: &self.organization,
            kind: Some(&self.kind),
            before,
        };
        let after = message.after.ok_or(ClientError::Malformed {
            what: "the newest version of a change",
        })?;
        let before = message.before;
        let before = before.map(|before| version(endpoint, asked(self.from), before));
        let change = RegisterChange {
            after: version(endpoint, asked(to), after)?,
            before: before.transpose()?,
            before_withheld: message.before_withheld,
        };
        match change.misfit(self.from, self.last) {
            None => Ok(change),
            Some(why) => Err(ClientError::Unverified {
                endpoint: endpoint.to_owned(),
                why: format!("a change of a register {why}"),
            }),
        }
    }

    async fn ask(&self) -> Result<(String, v1::DiffRegisterResponse), ClientError> {
        let message = v1::DiffRegisterRequest {
            organization: self.organization.clone(),
            kind: self.kind.clone(),
            from: self.from.0,
            to: self.to.map(|to| to.0),
            page_size: page::size(),
            page_token: self.token.clone(),
        };
        let place = Some(self.to().or(self.to).unwrap_or(self.from));
        self.ledger
            .ask_for_page(place, async |mut client| {
                let request = self.ledger.request(message.clone())?;
                Ok(client.diff_register(request).await?.into_inner())
            })
            .await
    }
}

#[cfg(test)]
mod tests;
