//! Registers as they stood in front of an entry, and what changed in them between two.
//!
//! Of each version the bytes hash to its id, its header says what is told of it, and its place is proven
//! under a head that the policy accepts. Numbers without a gap and counts that agree show that the
//! service has told one story; that the story is complete stays its word.

mod check;
mod diff;

use aimslog_proto::pb::v1;
use aimslog_proto::statement::header::{Change, Header};
use aimslog_proto::statement::id::EntryId;
use aimslog_proto::tlog::{LeafHash, LeafIndex};

use crate::convert::EntryRef;
use crate::error::ClientError;
use crate::ledger::Ledger;
use crate::page;
use crate::trust::SignedHead;

pub(crate) use check::{Asked, proven, version};
pub use diff::{RegisterChange, RegisterDiff};

/// One version of an entity. Its number and version, the time in `entry`, and a state that its header does
/// not name, are the service's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterVersion {
    /// Where it stands; the index is proven.
    pub entry: EntryRef,
    /// The Signed Statement; its signature was not checked.
    pub statement: Vec<u8>,
    /// Its header.
    pub header: Header,
    /// The entity: the id of its first version.
    pub entity: EntryId,
    /// Version of the entity, from 1.
    pub version: u32,
    /// The state reached; empty where there is none.
    pub state: String,
}

impl RegisterVersion {
    /// Whether it takes the entity back.
    pub fn is_retraction(&self) -> bool {
        self.header
            .revision
            .is_some_and(|revision| revision.change == Change::Retract)
    }

    pub(crate) fn leaf(&self) -> (LeafIndex, LeafHash) {
        (self.entry.index, self.entry.leaf_hash)
    }
}

/// How much a register holds, as the service says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegisterCount {
    /// Entities: they have the numbers from 1 to this one.
    pub entities: u64,
    /// Versions of all of them.
    pub versions: u64,
}

impl RegisterCount {
    pub(crate) fn of(message: v1::RegisterCount) -> Self {
        Self {
            entities: message.entities,
            versions: message.versions,
        }
    }
}

/// A register as it stood in front of an entry, read page by page.
#[derive(Debug)]
pub struct Register<'a> {
    ledger: &'a Ledger,
    organization: String,
    kind: String,
    at: Option<LeafIndex>,
    /// What the first page said of the whole.
    told: Option<(LeafIndex, Option<RegisterCount>)>,
    token: String,
    head: Option<SignedHead>,
    /// Number of the last entity that came.
    last: u64,
    is_over: bool,
}

impl Ledger {
    /// The register of a kind as it stood in front of the entry `at`, or of everything under the newest
    /// head. Nothing is asked before [`Register::page`] is.
    pub fn register(
        &self,
        organization: impl Into<String>,
        kind: impl Into<String>,
        at: Option<LeafIndex>,
    ) -> Register<'_> {
        Register {
            ledger: self,
            organization: organization.into(),
            kind: kind.into(),
            at,
            told: None,
            token: String::new(),
            head: None,
            last: 0,
            is_over: false,
        }
    }
}

impl Register<'_> {
    /// In front of which entry it stood; known after the first page.
    pub fn at(&self) -> Option<LeafIndex> {
        self.told.map(|(at, _)| at)
    }

    /// How much it holds there, as the service says; known after the first page. `None` where the reader
    /// may not see all of it: then nobody tells how much is left out.
    pub fn count(&self) -> Option<RegisterCount> {
        self.told.and_then(|(_, count)| count)
    }

    /// The head that proves what the last page held.
    pub fn head(&self) -> Option<&SignedHead> {
        self.head.as_ref()
    }

    /// More entities, each with its newest version, by number; `None` at the end. A page may be empty.
    /// Where the reader sees all of it, an entity that is missing is an error.
    pub async fn page(&mut self) -> Result<Option<Vec<RegisterVersion>>, ClientError> {
        if self.is_over {
            return Ok(None);
        }
        let (endpoint, answer) = self.ask().await?;
        let unverified = |why: String| ClientError::Unverified {
            endpoint: endpoint.clone(),
            why,
        };
        let at = LeafIndex(answer.at);
        let count = answer.count.map(RegisterCount::of);
        let asked = self.at.is_none_or(|asked| asked == at);
        if !asked || self.told.is_some_and(|told| told != (at, count)) {
            let why = "the page is of the register at another place".to_owned();
            return Err(unverified(why));
        }
        self.told = Some((at, count));
        let asked = Asked {
            organization: &self.organization,
            kind: Some(&self.kind),
            before: at,
        };
        let mut entities = Vec::with_capacity(answer.entities.len());
        for message in answer.entities {
            let entity = version(&endpoint, asked, message)?;
            check::follows(self.last, entity.entry.register_number, count).map_err(unverified)?;
            self.last = entity.entry.register_number;
            entities.push(entity);
        }
        let leaves = entities.iter().map(RegisterVersion::leaf);
        let head = proven(self.ledger, &endpoint, (answer.proof, leaves.collect(), at)).await?;
        self.head = Some(head);
        self.token = answer.next_page_token;
        self.is_over = self.token.is_empty();
        if self.is_over && count.is_some_and(|count| count.entities != self.last) {
            let why = format!(
                "the register ends with number {}, and holds more",
                self.last
            );
            return Err(unverified(why));
        }
        Ok(Some(entities))
    }

    async fn ask(&self) -> Result<(String, v1::ListRegisterResponse), ClientError> {
        let message = v1::ListRegisterRequest {
            organization: self.organization.clone(),
            kind: self.kind.clone(),
            at: self.at.map(|at| at.0),
            page_size: page::size(),
            page_token: self.token.clone(),
        };
        let place = self.at().or(self.at).unwrap_or(LeafIndex(0));
        self.ledger
            .ask_for_page(Some(place), async |mut client| {
                let request = self.ledger.request(message.clone())?;
                Ok(client.list_register(request).await?.into_inner())
            })
            .await
    }
}
