//! All versions of one entity, in order.

use aimslog_proto::pb::v1;
use aimslog_proto::statement::id::EntryId;
use aimslog_proto::statement::statement::UnverifiedStatement;
use aimslog_proto::tlog::LeafIndex;

use crate::error::ClientError;
use crate::ledger::{EntryKey, Ledger};
use crate::page;
use crate::record::ListedRecord;
use crate::register::{Asked, RegisterVersion, proven, version};
use crate::trust::SignedHead;

/// A version of an entity, with what became of its fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryVersion {
    /// The version.
    pub version: RegisterVersion,
    /// What became of the disclosures, as the service says.
    pub payload: v1::PayloadStatus,
}

/// The history of an entity, read page by page.
#[derive(Debug)]
pub struct History<'a> {
    ledger: &'a Ledger,
    organization: String,
    key: EntryKey,
    at: Option<LeafIndex>,
    /// What the first page said of the whole.
    told: Option<(LeafIndex, Option<u32>)>,
    token: String,
    head: Option<SignedHead>,
    /// The entity; known once the named version was read.
    entity: Option<EntryId>,
    /// The last version that came.
    last: Option<Last>,
    is_over: bool,
}

/// What the next version follows.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Last {
    entity: EntryId,
    version: u32,
    number: u64,
    id: EntryId,
    index: LeafIndex,
    kind: String,
}

impl Last {
    fn of(version: &RegisterVersion) -> Self {
        Self {
            entity: version.entity,
            version: version.version,
            number: version.entry.register_number,
            id: version.entry.entry_id,
            index: version.entry.index,
            kind: crate::filter::kind_of(&version.header),
        }
    }

    /// Why this version cannot come behind the last one.
    fn misfit(&self, next: &RegisterVersion) -> Option<&'static str> {
        let found = Self::of(next);
        let same =
            found.entity == self.entity && found.number == self.number && found.kind == self.kind;
        // Where one lies between them that the reader may not see, the chain is not shown.
        let follows = self.version.checked_add(1) == Some(found.version);
        let previous = next.header.revision.map(|revision| revision.previous);
        if !same {
            Some("is of another entity")
        } else if found.version <= self.version || found.index <= self.index {
            Some("came twice or out of order")
        } else if follows && previous != Some(self.id) {
            Some("does not follow the one before it")
        } else {
            None
        }
    }
}

impl Ledger {
    /// All versions, in front of the entry `at` or under the newest head, of the entity that this entry is
    /// a version of. Nothing is asked before [`History::page`] is.
    pub fn history(
        &self,
        organization: impl Into<String>,
        key: EntryKey,
        at: Option<LeafIndex>,
    ) -> History<'_> {
        History {
            ledger: self,
            organization: organization.into(),
            key,
            at,
            told: None,
            token: String::new(),
            head: None,
            entity: None,
            last: None,
            is_over: false,
        }
    }
}

impl History<'_> {
    /// In front of which entry; known after the first page.
    pub fn at(&self) -> Option<LeafIndex> {
        self.told.map(|(at, _)| at)
    }

    /// How many versions there are, as the service says; known after the first page. `None` where the
    /// reader may not see all of them.
    pub fn count(&self) -> Option<u32> {
        self.told.and_then(|(_, count)| count)
    }

    /// The head that proves what the last page held.
    pub fn head(&self) -> Option<&SignedHead> {
        self.head.as_ref()
    }

    /// More versions, oldest first; `None` at the end. A page may be empty. Each names the one before it,
    /// so that where the reader sees all of them none can be missing in the middle. Asked for by its index,
    /// the entity is that of whatever the answering node says stands there.
    pub async fn page(&mut self) -> Result<Option<Vec<HistoryVersion>>, ClientError> {
        if self.is_over {
            return Ok(None);
        }
        let entity = match self.entity {
            Some(entity) => entity,
            None => entity_of(&self.ledger.record(self.key).await?)?,
        };
        self.entity = Some(entity);
        let (endpoint, answer) = self.ask().await?;
        let unverified = |why: String| ClientError::Unverified {
            endpoint: endpoint.clone(),
            why,
        };
        let told = (LeafIndex(answer.at), answer.count);
        let asked = self.at.is_none_or(|at| at == told.0);
        if !asked || self.told.is_some_and(|before| before != told) {
            let why = "the page is of the history at another place".to_owned();
            return Err(unverified(why));
        }
        self.told = Some(told);
        let asked = Asked {
            organization: &self.organization,
            kind: None,
            before: told.0,
        };
        let mut versions = Vec::with_capacity(answer.versions.len());
        for message in answer.versions {
            let payload = message.payload_status();
            let message = message.version.ok_or(ClientError::Malformed {
                what: "a version of a history",
            })?;
            let version = version(&endpoint, asked, message)?;
            if version.entity != entity {
                let why = "a version is of another entity than was asked for".to_owned();
                return Err(unverified(why));
            }
            self.check(&version).map_err(unverified)?;
            self.last = Some(Last::of(&version));
            versions.push(HistoryVersion { version, payload });
        }
        let leaves = versions.iter().map(|version| version.version.leaf());
        let proof = (answer.proof, leaves.collect(), told.0);
        self.head = Some(proven(self.ledger, &endpoint, proof).await?);
        self.token = answer.next_page_token;
        self.is_over = self.token.is_empty();
        let seen = self.last.as_ref().map_or(0, |last| last.version);
        if self.is_over && told.1.is_some_and(|count| count != seen) {
            let why = format!("the history ends with version {seen}, and has more");
            return Err(unverified(why));
        }
        Ok(Some(versions))
    }

    /// Whether this version comes behind those that came before.
    fn check(&self, version: &RegisterVersion) -> Result<(), String> {
        let misfit = match &self.last {
            Some(last) => last.misfit(version),
            None => None,
        };
        let expected = self
            .last
            .as_ref()
            .map_or(1, |last| last.version.saturating_add(1));
        if let Some(why) = misfit {
            Err(format!("a version {why}"))
        } else if self.count().is_some() && version.version != expected {
            Err(format!("version {expected} of an entity was left out"))
        } else {
            Ok(())
        }
    }

    async fn ask(&self) -> Result<(String, v1::GetHistoryResponse), ClientError> {
        let key = match self.key {
            EntryKey::Id(id) => v1::get_history_request::Key::EntryId(id.as_bytes().to_vec()),
            EntryKey::Index(index) => v1::get_history_request::Key::Index(index.0),
        };
        let message = v1::GetHistoryRequest {
            key: Some(key),
            at: self.at.map(|at| at.0),
            page_size: page::size(),
            page_token: self.token.clone(),
        };
        let place = self.at().or(self.at);
        self.ledger
            .ask_for_page(place, async |mut client| {
                let request = self.ledger.request(message.clone())?;
                Ok(client.get_history(request).await?.into_inner())
            })
            .await
    }
}

/// The entity that a record is a version of.
fn entity_of(record: &ListedRecord) -> Result<EntryId, ClientError> {
    let statement = UnverifiedStatement::parse(&record.statement).map_err(|_checked_before| {
        ClientError::Malformed {
            what: "a statement",
        }
    })?;
    let revision = statement.header().revision;
    Ok(revision.map_or(record.entry.entry_id, |revision| revision.entity))
}

#[cfg(test)]
mod tests;
