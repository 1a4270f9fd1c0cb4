//! The bytes of the Raft database: keys, log entries, votes, positions, members, identity.
//!
//! Every value is `version (u8) | fields | CRC32C (u32)`. Numbers are big-endian and of fixed
//! length, byte strings carry a u32 length, the checksum covers everything before it. The version
//! is per value, so that one of them can change without the others. Members are the exception: they
//! have no checksum because they only ever stand inside another value.
//!
//! An entry's bytes on the wire between nodes are its bytes on disk.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use bytes::Bytes;

/// The version that all values have so far.
const VERSION: u8 = 1;
const CRC_LEN: usize = 4;

const KIND_BLANK: u8 = 0;
const KIND_COMMAND: u8 = 1;
const KIND_MEMBERS: u8 = 2;

/// Where an entry stands in the Raft log.
///
/// Ordered by term, leader, index, as Raft orders log ids. Two entries at one index differ in term
/// or leader, and then at most one of them was ever committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The term of the leader that proposed the entry.
    pub term: u64,
    /// The node id of that leader.
    pub leader: u64,
    /// Counted from 0.
    pub index: u64,
}

/// The newest vote of a node: the highest term it knows, for whom it voted in it, and whether that
/// candidate is known to have won.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Vote {
    pub term: u64,
    pub node: u64,
    pub committed: bool,
}

/// How a member is reached and called. The id stands beside it and is never used twice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Member {
    /// `host:port` of the peer listener.
    pub addr: String,
    /// The cosigner name, `<origin>/node/<id>`.
    pub name: String,
}

/// The voters and all members of a Raft group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Members {
    /// One set of voters, or two while the group changes from the first to the second.
    pub voters: Vec<BTreeSet<u64>>,
    /// Voters and learners.
    pub members: BTreeMap<u64, Member>,
}

/// The members as of the entry that set them; no position for those a group starts with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoredMembers {
    pub position: Option<Position>,
    pub members: Members,
}

/// One entry of the Raft log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub position: Position,
    pub kind: RecordKind,
}

#[derive(Clone, PartialEq, Eq)]
pub enum RecordKind {
    Blank,
    Command(Bytes),
    Members(Members),
}

/// Whose database this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The entry id of the genesis statement.
    pub cluster_id: [u8; 32],
    pub node_id: u64,
    /// Counts how often this database was opened.
    pub incarnation: u64,
}

/// Why bytes are not a value of this database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    #[error("the value ends after {len} bytes, {needed} more are needed")]
    Truncated { len: usize, needed: usize },
    #[error("{extra} bytes follow the value")]
    Trailing { extra: usize },
    #[error("format version {found} is not known, only {VERSION} is")]
    Version { found: u8 },
    #[error("checksum is {found:08x}, the bytes give {computed:08x}")]
    Checksum { found: u32, computed: u32 },
    #[error("unknown tag {found} for {what}")]
    Tag { what: &'static str, found: u8 },
    #[error("the text of a member is not UTF-8")]
    Utf8,
}

/// The key of the entry at `index`: keys sort as indices do.
pub fn log_key(index: u64) -> [u8; 8] {
    index.to_be_bytes()
}

/// The index of a log key.
pub fn log_index(key: &[u8]) -> Result<u64, CodecError> {
    let mut reader = Reader(key);
    let index = reader.u64()?;
    reader.end()?;
    Ok(index)
}

impl Record {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new(64);
        out.position(self.position);
        match &self.kind {
            RecordKind::Blank => out.0.push(KIND_BLANK),
            RecordKind::Command(bytes) => {
                out.0.reserve(bytes.len() + 16);
                out.0.push(KIND_COMMAND);
                out.bytes(bytes);
            }
            RecordKind::Members(members) => {
                out.0.push(KIND_MEMBERS);
                out.members(members);
            }
        }
        out.sealed()
    }

    /// Reads an entry; a command shares memory with `bytes`.
    pub fn decode(bytes: &Bytes) -> Result<Self, CodecError> {
        let mut reader = Reader::checked(bytes)?;
        let position = reader.position()?;
        let kind = match reader.u8()? {
            KIND_BLANK => RecordKind::Blank,
            KIND_COMMAND => RecordKind::Command(bytes.slice_ref(reader.bytes()?)),
            KIND_MEMBERS => RecordKind::Members(reader.members()?),
            found => {
                return Err(CodecError::Tag {
                    what: "kind of entry",
                    found,
                });
            }
        };
        reader.end()?;
        Ok(Self { position, kind })
    }

    /// What the entry counts in limits of bytes. At least 64, so that many empty entries count too.
    pub fn weight(&self) -> usize {
        64 + match &self.kind {
            RecordKind::Blank => 0,
            RecordKind::Command(bytes) => bytes.len(),
            RecordKind::Members(members) => members.members.len() * 128,
        }
    }
}

impl Vote {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new(32);
        out.u64(self.term);
        out.u64(self.node);
        out.0.push(u8::from(self.committed));
        out.sealed()
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::checked(bytes)?;
        let term = reader.u64()?;
        let node = reader.u64()?;
        let committed = reader.flag("committed vote")?;
        reader.end()?;
        Ok(Self {
            term,
            node,
            committed,
        })
    }
}

impl Position {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new(32);
        out.position(*self);
        out.sealed()
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::checked(bytes)?;
        let position = reader.position()?;
        reader.end()?;
        Ok(position)
    }
}

impl Identity {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new(64);
        out.0.extend_from_slice(&self.cluster_id);
        out.u64(self.node_id);
        out.u64(self.incarnation);
        out.sealed()
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::checked(bytes)?;
        let cluster_id = reader.array()?;
        let node_id = reader.u64()?;
        let incarnation = reader.u64()?;
        reader.end()?;
        Ok(Self {
            cluster_id,
            node_id,
            incarnation,
        })
    }
}

impl StoredMembers {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new(128);
        match self.position {
            None => out.0.push(0),
            Some(position) => {
                out.0.push(1);
                out.position(position);
            }
        }
        out.members(&self.members);
        out.sealed()
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut reader = Reader::checked(bytes)?;
        let position = if reader.flag("position of members")? {
            Some(reader.position()?)
        } else {
            None
        };
        let members = reader.members()?;
        reader.end()?;
        Ok(Self { position, members })
    }
}

/// Seals `fields` as a value: version before, checksum behind.
pub(crate) fn seal(fields: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut out = Writer::new(256);
    fields(&mut out);
    out.sealed()
}

pub(crate) struct Writer(Vec<u8>);

impl Writer {
    fn new(capacity: usize) -> Self {
        let mut out = Vec::with_capacity(capacity);
        out.push(VERSION);
        Self(out)
    }

    fn sealed(mut self) -> Vec<u8> {
        let crc = crc32c::crc32c(&self.0);
        self.0.extend_from_slice(&crc.to_be_bytes());
        self.0
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn array(&mut self, value: &[u8; 32]) {
        self.0.extend_from_slice(value);
    }

    /// Lengths are far below 2^32 everywhere (commands are at most 1 MiB); a longer one saturates
    /// and is then refused by the reader as truncated.
    fn len(&mut self, len: usize) {
        self.u32(u32::try_from(len).unwrap_or(u32::MAX));
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) {
        self.len(value.len());
        self.0.extend_from_slice(value);
    }

    fn position(&mut self, position: Position) {
        self.u64(position.term);
        self.u64(position.leader);
        self.u64(position.index);
    }

    fn members(&mut self, members: &Members) {
        self.len(members.voters.len());
        for config in &members.voters {
            self.len(config.len());
            for id in config {
                self.u64(*id);
            }
        }
        self.len(members.members.len());
        for (id, member) in &members.members {
            self.u64(*id);
            self.bytes(member.addr.as_bytes());
            self.bytes(member.name.as_bytes());
        }
    }
}

pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// A reader of the fields, after checksum and version were found right.
    pub(crate) fn checked(bytes: &'a [u8]) -> Result<Self, CodecError> {
        let Some((body, crc)) = bytes.split_last_chunk::<CRC_LEN>() else {
            return Err(CodecError::Truncated {
                len: bytes.len(),
                needed: CRC_LEN + 1,
            });
        };
        let found = u32::from_be_bytes(*crc);
        let computed = crc32c::crc32c(body);
        if found != computed {
            return Err(CodecError::Checksum { found, computed });
        }
        let mut reader = Self(body);
        match reader.u8()? {
            VERSION => Ok(reader),
            found => Err(CodecError::Version { found }),
        }
    }

    pub(crate) fn end(&self) -> Result<(), CodecError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(CodecError::Trailing {
                extra: self.0.len(),
            })
        }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], CodecError> {
        let Some((head, rest)) = self.0.split_at_checked(len) else {
            let needed = len.saturating_sub(self.0.len());
            return Err(CodecError::Truncated {
                len: self.0.len(),
                needed,
            });
        };
        self.0 = rest;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let Some((head, rest)) = self.0.split_first_chunk::<N>() else {
            let needed = N.saturating_sub(self.0.len());
            return Err(CodecError::Truncated {
                len: self.0.len(),
                needed,
            });
        };
        self.0 = rest;
        Ok(*head)
    }

    fn u8(&mut self) -> Result<u8, CodecError> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, CodecError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, CodecError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    fn flag(&mut self, what: &'static str) -> Result<bool, CodecError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            found => Err(CodecError::Tag { what, found }),
        }
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], CodecError> {
        let len = self.u32()?;
        // A length beyond usize cannot be there either; take() refuses it.
        self.take(usize::try_from(len).unwrap_or(usize::MAX))
    }

    pub(crate) fn text(&mut self) -> Result<String, CodecError> {
        match std::str::from_utf8(self.bytes()?) {
            Ok(text) => Ok(text.to_owned()),
            Err(_position_does_not_matter) => Err(CodecError::Utf8),
        }
    }

    fn position(&mut self) -> Result<Position, CodecError> {
        Ok(Position {
            term: self.u64()?,
            leader: self.u64()?,
            index: self.u64()?,
        })
    }

    /// Counts are not trusted for reservations; every element takes bytes, so the loops end.
    fn members(&mut self) -> Result<Members, CodecError> {
        let mut voters = Vec::new();
        for _ in 0..self.u32()? {
            let mut config = BTreeSet::new();
            for _ in 0..self.u32()? {
                config.insert(self.u64()?);
            }
            voters.push(config);
        }
        let mut members = BTreeMap::new();
        for _ in 0..self.u32()? {
            let id = self.u64()?;
            members.insert(
                id,
                Member {
                    addr: self.text()?,
                    name: self.text()?,
                },
            );
        }
        Ok(Members { voters, members })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}.{}", self.term, self.leader, self.index)
    }
}

impl fmt::Display for Vote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.committed { "won" } else { "asked" };
        write!(f, "{}-{} {state}", self.term, self.node)
    }
}

/// Prints no body: log lines must not hold evidence.
impl fmt::Debug for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blank => f.write_str("blank"),
            Self::Command(bytes) => write!(f, "command of {} bytes", bytes.len()),
            Self::Members(members) => write!(f, "{members:?}"),
        }
    }
}

#[cfg(test)]
mod tests;
