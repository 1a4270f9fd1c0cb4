//! The values of the state: what each row means, and its bytes.
//!
//! Keys are in [`crate::store::codec`]. Every value begins with a version byte, so that a later
//! release can read what this one wrote.

mod entity;

pub use entity::{EntityRow, LinkingRow};

use aimslog_proto::{statement::EntryId, tlog::Frontier};
use bytes::Bytes;

use crate::store::codec::bytes::{DecodeError, Reader, Writer};

const VERSION: u8 = 1;
/// No stored text or byte string is longer; a note is the longest.
const FIELD_BYTES_MAX: usize = 1 << 20;
/// A frontier has a size and one hash per bit of it.
const FRONTIER_BYTES_MAX: usize = 8 + 64 * 32;

/// A value that knows its bytes.
pub trait Value: Sized {
    /// Its name in errors.
    const WHAT: &'static str;

    /// The fields, behind the version byte.
    fn write(&self, writer: Writer) -> Writer;

    /// Reads what [`Value::write`] wrote.
    ///
    /// # Errors
    /// For every other input.
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// The bytes of the row.
    fn encode(&self) -> Vec<u8> {
        self.write(Writer::new().u8(VERSION)).finish()
    }

    /// Reads all of `bytes`.
    ///
    /// # Errors
    /// When they are not what [`Value::encode`] wrote.
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.version(Self::WHAT, VERSION)?;
        let value = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(value)
    }
}

/// What every command reads and most of them change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Core {
    /// The level of the state.
    pub level: u32,
    /// The newest registration time, in milliseconds.
    pub time_ms: u64,
    /// Term and leader of the newest command that carried a time.
    pub time_term: (u64, u64),
    /// Entry id of genesis: the cluster id.
    pub cluster: [u8; 32],
    /// The log's tree.
    pub frontier: Frontier,
    /// Running number that the next published head takes; the first is 0.
    pub next_head: u64,
    /// Running number of the largest head that satisfies the policy for verifiers.
    pub trusted_head: Option<u64>,
    /// Running number from which published heads have not been thinned out yet.
    pub thin_from: u64,
}

/// One log entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryRow {
    /// The signed statement: the bytes of the leaf.
    pub statement: Bytes,
    /// The organisation that issued it; empty for the service and its operators.
    pub organization: String,
    /// The kind of record, without version.
    pub kind: String,
    /// Registration time in milliseconds.
    pub time_ms: u64,
    /// Number of the entity in its register, from 1; 0 for system records.
    pub number: u64,
    /// Version of the entity, from 1; 0 for system records.
    pub version: u32,
    /// The entity that it is a version of, by the id of its first one; `None` for system records.
    pub entity: Option<EntryId>,
    /// The state that the entity has behind it; empty where no version has named one.
    pub state: String,
    /// SHA-256(00 | statement).
    pub leaf_hash: [u8; 32],
}

/// A published head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadRow {
    /// Running number of the publication.
    pub number: u64,
    /// Tree size.
    pub size: u64,
    /// Root hash.
    pub root: [u8; 32],
    /// Registration time at which it was published, in milliseconds.
    pub time_ms: u64,
    /// The checkpoint note with all its signatures.
    pub note: Bytes,
    /// `iat` of the receipts under it, in Unix seconds.
    pub receipt_iat: u64,
    /// The receipt key's signature.
    pub receipt_signature: [u8; 64],
    /// It satisfies the policy for verifiers, not only the one for publishing.
    pub trusted: bool,
    /// Never removed: it switches policies, or an outsider cosigned it.
    pub pinned: bool,
}

/// The register of one kind of one organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterRow {
    /// Number of entities; the newest has this number.
    pub entities: u64,
    /// Over the entry indices of all versions, in log order.
    pub frontier: Frontier,
}

/// The status of an attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobRow {
    /// Size in bytes.
    pub total: u64,
    /// Bytes stored so far.
    pub received: u64,
    /// All bytes are there and have the digest.
    pub complete: bool,
    /// Number of entries that name it.
    pub references: u64,
    /// When it is removed if nothing names it, in milliseconds of registration time.
    pub expires_ms: u64,
}

/// What this node noted at a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutRow {
    /// Term of the cut's Raft entry.
    pub term: u64,
    /// Leader that proposed it.
    pub leader: u64,
    /// Index of the cut's Raft entry.
    pub raft_index: u64,
    /// Registration time of the cut in milliseconds.
    pub time_ms: u64,
    /// Root of this node's own tree.
    pub root: [u8; 32],
}

/// Where a node found that its own tree is not the published one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorruptRow {
    /// Size of the published head.
    pub size: u64,
    /// Root that this node computed.
    pub own: [u8; 32],
    /// Root that a quorum cosigned.
    pub published: [u8; 32],
}

fn read_frontier(reader: &mut Reader<'_>) -> Result<Frontier, DecodeError> {
    Frontier::decode(reader.bytes("frontier", FRONTIER_BYTES_MAX)?)
        .map_err(|_source| DecodeError::Inconsistent { what: "frontier" })
}

impl Value for Core {
    const WHAT: &'static str = "core";

    fn write(&self, writer: Writer) -> Writer {
        let writer = writer
            .u32(self.level)
            .u64(self.time_ms)
            .u64(self.time_term.0)
            .u64(self.time_term.1)
            .raw(&self.cluster);
        writer
            .bytes(&self.frontier.encode())
            .u64(self.next_head)
            .option_u64(self.trusted_head)
            .u64(self.thin_from)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            level: reader.u32("level")?,
            time_ms: reader.u64("time")?,
            time_term: (reader.u64("term")?, reader.u64("leader")?),
            cluster: reader.array("cluster id")?,
            frontier: read_frontier(reader)?,
            next_head: reader.u64("next head")?,
            trusted_head: reader.option_u64("trusted head")?,
            thin_from: reader.u64("thin from")?,
        })
    }
}

impl Value for EntryRow {
    const WHAT: &'static str = "entry";

    fn write(&self, writer: Writer) -> Writer {
        writer
            .bytes(&self.statement)
            .bytes(self.organization.as_bytes())
            .bytes(self.kind.as_bytes())
            .u64(self.time_ms)
            .u64(self.number)
            .u32(self.version)
            .option_digest(self.entity.as_ref().map(EntryId::as_bytes))
            .bytes(self.state.as_bytes())
            .raw(&self.leaf_hash)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            statement: Bytes::copy_from_slice(reader.bytes("statement", FIELD_BYTES_MAX)?),
            organization: reader.text("organization", FIELD_BYTES_MAX)?.to_owned(),
            kind: reader.text("kind", FIELD_BYTES_MAX)?.to_owned(),
            time_ms: reader.u64("time")?,
            number: reader.u64("register number")?,
            version: reader.u32("entity version")?,
            entity: reader.option_digest("entity")?.map(EntryId::from_bytes),
            state: reader.text("state", FIELD_BYTES_MAX)?.to_owned(),
            leaf_hash: reader.array("leaf hash")?,
        })
    }
}

impl Value for HeadRow {
    const WHAT: &'static str = "head";

    fn write(&self, writer: Writer) -> Writer {
        writer
            .u64(self.number)
            .u64(self.size)
            .raw(&self.root)
            .u64(self.time_ms)
            .bytes(&self.note)
            .u64(self.receipt_iat)
            .raw(&self.receipt_signature)
            .u8(u8::from(self.trusted))
            .u8(u8::from(self.pinned))
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            number: reader.u64("head number")?,
            size: reader.u64("head size")?,
            root: reader.array("head root")?,
            time_ms: reader.u64("head time")?,
            note: Bytes::copy_from_slice(reader.bytes("note", FIELD_BYTES_MAX)?),
            receipt_iat: reader.u64("receipt iat")?,
            receipt_signature: reader.array("receipt signature")?,
            trusted: reader.flag("trusted")?,
            pinned: reader.flag("pinned")?,
        })
    }
}

impl Value for RegisterRow {
    const WHAT: &'static str = "register";

    fn write(&self, writer: Writer) -> Writer {
        writer.u64(self.entities).bytes(&self.frontier.encode())
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            entities: reader.u64("entities")?,
            frontier: read_frontier(reader)?,
        })
    }
}

impl Value for BlobRow {
    const WHAT: &'static str = "attachment";

    fn write(&self, writer: Writer) -> Writer {
        writer
            .u64(self.total)
            .u64(self.received)
            .u8(u8::from(self.complete))
            .u64(self.references)
            .u64(self.expires_ms)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            total: reader.u64("total")?,
            received: reader.u64("received")?,
            complete: reader.flag("complete")?,
            references: reader.u64("references")?,
            expires_ms: reader.u64("expiry")?,
        })
    }
}

impl Value for CutRow {
    const WHAT: &'static str = "cut";

    fn write(&self, writer: Writer) -> Writer {
        writer
            .u64(self.term)
            .u64(self.leader)
            .u64(self.raft_index)
            .u64(self.time_ms)
            .raw(&self.root)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            term: reader.u64("term")?,
            leader: reader.u64("leader")?,
            raft_index: reader.u64("raft index")?,
            time_ms: reader.u64("time")?,
            root: reader.array("root")?,
        })
    }
}

impl Value for CorruptRow {
    const WHAT: &'static str = "corruption";

    fn write(&self, writer: Writer) -> Writer {
        writer.u64(self.size).raw(&self.own).raw(&self.published)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            size: reader.u64("size")?,
            own: reader.array("own root")?,
            published: reader.array("published root")?,
        })
    }
}

#[cfg(test)]
mod tests;
