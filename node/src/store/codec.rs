//! Every key of the `state/` database, and the families that they live in.
//!
//! A key is one byte for the table, then fixed-width big-endian integers, fixed-size digests, and
//! short texts with their length in front. So the byte order of the keys is the order of the
//! fields, and all rows of one prefix lie together. Values are encoded next to what they mean
//! (`ledger::row`), from the pieces in [`bytes`].

pub mod bytes;

use bytes::Writer;

/// Version of keys and values in `state/`; checked when the database is opened.
pub const STATE_FORMAT: u32 = 4;

/// A column family of `state/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// Registry, registers, entities, heads, frontier, applied position.
    Meta,
    /// Log entries by index.
    Entries,
    /// Disclosures by index, and chunks of attachments: the only home of personal data.
    Payloads,
    /// Full tiles of the Merkle tree, and their roots; never changed.
    Tiles,
    /// Secondary keys, all from statement headers.
    Index,
}

impl Family {
    /// All families, in the order of their first release.
    pub const ALL: [Self; 5] = [
        Self::Meta,
        Self::Entries,
        Self::Payloads,
        Self::Tiles,
        Self::Index,
    ];

    /// The name of the column family on disk.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Entries => "entries",
            Self::Payloads => "payloads",
            Self::Tiles => "tiles",
            Self::Index => "index",
        }
    }
}

/// Where one row lives.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The family.
    pub family: Family,
    /// The key inside the family.
    pub bytes: Vec<u8>,
}

/// A key that is being built; its methods append fields.
#[derive(Debug)]
struct KeyWriter {
    family: Family,
    writer: Writer,
}

impl KeyWriter {
    fn new(family: Family, table: u8) -> Self {
        Self {
            family,
            writer: Writer::new().u8(table),
        }
    }
    fn u8(self, value: u8) -> Self {
        Self {
            writer: self.writer.u8(value),
            ..self
        }
    }
    fn u32(self, value: u32) -> Self {
        Self {
            writer: self.writer.u32(value),
            ..self
        }
    }
    fn u64(self, value: u64) -> Self {
        Self {
            writer: self.writer.u64(value),
            ..self
        }
    }
    fn raw(self, value: &[u8]) -> Self {
        Self {
            writer: self.writer.raw(value),
            ..self
        }
    }
    fn short(self, value: &str) -> Self {
        Self {
            writer: self.writer.short(value),
            ..self
        }
    }
    /// Texts that may exceed 255 bytes: two length bytes.
    fn long(self, value: &str) -> Self {
        let cut = value
            .as_bytes()
            .get(..usize::from(u16::MAX))
            .unwrap_or(value.as_bytes());
        let len = u16::try_from(cut.len()).unwrap_or(u16::MAX);
        self.raw(&len.to_be_bytes()).raw(cut)
    }
    fn done(self) -> Key {
        Key {
            family: self.family,
            bytes: self.writer.finish(),
        }
    }
}

// Tables of `meta`.
const SINGLE: u8 = 0x01;
const SYSTEM: u8 = 0x02;
const HEAD: u8 = 0x03;
const HEAD_BY_SIZE: u8 = 0x04;
const HEAD_BY_TIME: u8 = 0x05;
const REGISTER: u8 = 0x06;
const ENTITY: u8 = 0x07;
const BLOB: u8 = 0x08;
const BLOB_EXPIRY: u8 = 0x09;
const CUT: u8 = 0x0a;
const LINKING: u8 = 0x0b;
// Table of `entries`.
const ENTRY: u8 = 0x01;
// Tables of `payloads`.
const PAYLOAD: u8 = 0x01;
const CHUNK: u8 = 0x02;
// Tables of `tiles`.
const TILE: u8 = 0x01;
const TILE_ROOT: u8 = 0x02;
// Tables of `index`.
const BY_ID: u8 = 0x01;
const BY_CTI: u8 = 0x02;
const BY_NUMBER: u8 = 0x03;
const BY_SUBJECT: u8 = 0x04;
const BY_CONTROL: u8 = 0x05;
const BY_SIGNER: u8 = 0x06;
const BY_TIME: u8 = 0x07;
const BY_LINK: u8 = 0x08;
const BY_KIND: u8 = 0x09;

/// A value of which the state has exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Single {
    /// [`STATE_FORMAT`] as it was written.
    Format,
    /// Position of the last applied Raft entry.
    Applied,
    /// Membership in force at that position, in the encoding of the Raft module.
    Membership,
    /// Level, registration time, frontier, active rules: what every command reads.
    Core,
    /// Where the node found that its own tree is not the published one.
    Corrupt,
}

/// The row of a [`Single`].
pub fn single(which: Single) -> Key {
    let id = match which {
        Single::Format => 0,
        Single::Applied => 1,
        Single::Membership => 2,
        Single::Core => 3,
        Single::Corrupt => 4,
    };
    KeyWriter::new(Family::Meta, SINGLE).u8(id).done()
}

/// That the entry at `index` is a system record: the registry is a function of these.
pub fn system(index: u64) -> Key {
    KeyWriter::new(Family::Meta, SYSTEM).u64(index).done()
}

/// A published head by its running number.
pub fn head(number: u64) -> Key {
    KeyWriter::new(Family::Meta, HEAD).u64(number).done()
}

/// A published head by tree size, then running number.
pub fn head_by_size(size: u64, number: u64) -> Key {
    KeyWriter::new(Family::Meta, HEAD_BY_SIZE)
        .u64(size)
        .u64(number)
        .done()
}

/// A published head by registration time in milliseconds, then running number.
pub fn head_by_time(time_ms: u64, number: u64) -> Key {
    KeyWriter::new(Family::Meta, HEAD_BY_TIME)
        .u64(time_ms)
        .u64(number)
        .done()
}

/// The register of one kind of one organisation.
pub fn register(organization: &str, kind: &str) -> Key {
    KeyWriter::new(Family::Meta, REGISTER)
        .short(organization)
        .short(kind)
        .done()
}

/// An entity by the entry id of its first version.
pub fn entity(id: &[u8; 32]) -> Key {
    KeyWriter::new(Family::Meta, ENTITY).raw(id).done()
}

/// The status of an attachment.
pub fn blob(organization: &str, digest: &[u8; 32]) -> Key {
    KeyWriter::new(Family::Meta, BLOB)
        .short(organization)
        .raw(digest)
        .done()
}

/// An unreferenced attachment under the registration time at which it expires.
pub fn blob_expiry(time_ms: u64, organization: &str, digest: &[u8; 32]) -> Key {
    KeyWriter::new(Family::Meta, BLOB_EXPIRY)
        .u64(time_ms)
        .short(organization)
        .raw(digest)
        .done()
}

/// Before every [`blob_expiry`] row at or after this time.
pub fn blob_expiry_from(time_ms: u64) -> Key {
    KeyWriter::new(Family::Meta, BLOB_EXPIRY)
        .u64(time_ms)
        .done()
}

/// What this node noted at a cut.
pub fn cut(size: u64) -> Key {
    KeyWriter::new(Family::Meta, CUT).u64(size).done()
}

/// The entities of `kind` that link to the entity `target` with `relation`.
pub fn linking(target: &[u8; 32], (kind, relation): (&str, &str)) -> Key {
    KeyWriter::new(Family::Meta, LINKING)
        .raw(target)
        .short(kind)
        .short(relation)
        .done()
}

/// A log entry.
pub fn entry(index: u64) -> Key {
    KeyWriter::new(Family::Entries, ENTRY).u64(index).done()
}

/// The disclosures of a log entry.
pub fn payload(index: u64) -> Key {
    KeyWriter::new(Family::Payloads, PAYLOAD).u64(index).done()
}

/// One chunk of an attachment by its byte offset.
pub fn chunk(organization: &str, digest: &[u8; 32], offset: u64) -> Key {
    KeyWriter::new(Family::Payloads, CHUNK)
        .short(organization)
        .raw(digest)
        .u64(offset)
        .done()
}

/// A full tile.
pub fn tile(level: u8, number: u64) -> Key {
    KeyWriter::new(Family::Tiles, TILE)
        .u8(level)
        .u64(number)
        .done()
}

/// The root of the full tile `number` of the level below `level`: one hash of the level's right
/// edge, of which 256 make its next full tile.
pub fn tile_root(level: u8, number: u64) -> Key {
    KeyWriter::new(Family::Tiles, TILE_ROOT)
        .u8(level)
        .u64(number)
        .done()
}

/// An entry's index by the SHA-256 of its bytes.
pub fn by_id(id: &[u8; 32]) -> Key {
    KeyWriter::new(Family::Index, BY_ID).raw(id).done()
}

/// An entry's index by (organisation, cti); the service's own statements have organisation "".
pub fn by_cti(organization: &str, cti: &[u8; 16]) -> Key {
    KeyWriter::new(Family::Index, BY_CTI)
        .short(organization)
        .raw(cti)
        .done()
}

/// The place of one version in its register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegisterPlace<'a> {
    /// Whose register.
    pub organization: &'a str,
    /// Of which kind.
    pub kind: &'a str,
    /// The entity's gap-free number, from 1.
    pub number: u64,
    /// The version of the entity, from 1.
    pub version: u32,
}

/// An entry's index by its place in its register.
pub fn by_number(place: RegisterPlace<'_>) -> Key {
    KeyWriter::new(Family::Index, BY_NUMBER)
        .short(place.organization)
        .short(place.kind)
        .u64(place.number)
        .u32(place.version)
        .done()
}

/// An entry under its subject.
pub fn by_subject(organization: &str, subject: &str, index: u64) -> Key {
    KeyWriter::new(Family::Index, BY_SUBJECT)
        .short(organization)
        .long(subject)
        .u64(index)
        .done()
}

/// A control of a catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Control<'a> {
    /// The catalogue's scheme.
    pub scheme: &'a str,
    /// The control's id in it.
    pub id: &'a str,
}

/// An entry under a control that it names.
pub fn by_control(organization: &str, control: Control<'_>, index: u64) -> Key {
    KeyWriter::new(Family::Index, BY_CONTROL)
        .short(organization)
        .short(control.scheme)
        .short(control.id)
        .u64(index)
        .done()
}

/// An entry under the key that signed it.
pub fn by_signer(organization: &str, thumbprint: &[u8; 32], index: u64) -> Key {
    KeyWriter::new(Family::Index, BY_SIGNER)
        .short(organization)
        .raw(thumbprint)
        .u64(index)
        .done()
}

/// An entry under its registration time in milliseconds.
pub fn by_time(organization: &str, time_ms: u64, index: u64) -> Key {
    KeyWriter::new(Family::Index, BY_TIME)
        .short(organization)
        .u64(time_ms)
        .u64(index)
        .done()
}

/// An entry under an entry that it links to.
pub fn by_link(target: u64, relation: &str, index: u64) -> Key {
    KeyWriter::new(Family::Index, BY_LINK)
        .u64(target)
        .short(relation)
        .u64(index)
        .done()
}

/// An entry under its kind: for evidence the versions of a register in log order.
pub fn by_kind(organization: &str, kind: &str, index: u64) -> Key {
    KeyWriter::new(Family::Index, BY_KIND)
        .short(organization)
        .short(kind)
        .u64(index)
        .done()
}

/// The last eight bytes of a key as an integer: the index or number that most keys end with.
pub fn trailing_u64(key: &[u8]) -> Option<u64> {
    key.last_chunk::<8>()
        .map(|bytes| u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests;
