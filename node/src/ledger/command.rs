//! What the Raft log replicates: one [`Command`] per entry, in our own encoding.
//!
//! ```text
//! command = version (1) | tag | fields
//! batch   = 02 | time u64 | count u32 | count x statement (u32 + bytes) | count x payload
//! payload = 00 | 01 (u32 + bytes), then count u32 of attachments, 32 bytes each
//! ```
//! Statements and payloads stand in separate sections: apply reads the first and only stores the
//! second. Decoding is strict: one encoding per command, so equal bytes are equal commands.

use aimslog_proto::limits::{
    ATTACHMENTS_MAX, BLOB_CHUNK_BYTES_MAX, COMMAND_BYTES_MAX, COMMAND_ITEMS_MAX,
};
use bytes::Bytes;

use crate::store::codec::bytes::{DecodeError, Reader, Writer};

const VERSION: u8 = 1;

/// One replicated command.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Founds the ledger: entries 0 and 1. Valid on an empty state only.
    Genesis(Genesis),
    /// Statements to be decided, in this order.
    Batch(Batch),
    /// Every node notes its own size and root here.
    Cut {
        /// Registration time in milliseconds.
        time_ms: u64,
    },
    /// A head that enough nodes cosigned.
    Publish(Publish),
    /// Moves the registration time on in silence.
    Tick {
        /// Registration time in milliseconds.
        time_ms: u64,
    },
    /// One chunk of an attachment.
    Blob(BlobChunk),
    /// Raises the level of the state.
    Level(u32),
}

/// The two entries that found a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Genesis {
    /// Registration time in milliseconds.
    pub time_ms: u64,
    /// The signed statement of kind `ledger.genesis`.
    pub genesis: Bytes,
    /// The signed statement of kind `ledger.keys`.
    pub keys: Bytes,
}

/// Statements that were admitted by the door, with the time that the leader took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Registration time in milliseconds.
    pub time_ms: u64,
    /// In the order in which they are decided and logged.
    pub items: Vec<Item>,
}

/// One statement of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Item {
    /// The signed statement, which becomes the log entry.
    pub statement: Bytes,
    /// The encoded disclosures ([`crate::ledger::payload`]); `None` where it has none here.
    pub payload: Option<Bytes>,
    /// Digests of the stored attachments that the record names.
    pub attachments: Vec<[u8; 32]>,
}

/// A head with all that is needed to serve it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// The checkpoint note with the log's signature and the cosignatures.
    pub note: Bytes,
    /// `iat` of the receipts under this head, in Unix seconds.
    pub receipt_iat: u64,
    /// The receipt key's signature over the root.
    pub receipt_signature: [u8; 64],
}

/// One chunk of an attachment, to be appended to those before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlobChunk {
    /// Registration time in milliseconds.
    pub time_ms: u64,
    /// The owner.
    pub organization: String,
    /// SHA-256 of the whole attachment.
    pub digest: [u8; 32],
    /// Where the chunk begins.
    pub offset: u64,
    /// Size of the whole attachment.
    pub total: u64,
    /// The bytes.
    pub bytes: Bytes,
}

impl Item {
    /// How much of a command this item takes.
    pub fn encoded_len(&self) -> usize {
        let payload = self.payload.as_ref().map_or(0, |payload| 4 + payload.len());
        4 + self.statement.len() + 1 + payload + 4 + 32 * self.attachments.len()
    }
}

impl Batch {
    /// Bytes of an encoded batch without its items.
    pub const OVERHEAD: usize = 2 + 8 + 4;
}

impl Command {
    /// The registration time that the command carries.
    pub fn time_ms(&self) -> Option<u64> {
        match self {
            Self::Genesis(genesis) => Some(genesis.time_ms),
            Self::Batch(batch) => Some(batch.time_ms),
            Self::Cut { time_ms } | Self::Tick { time_ms } => Some(*time_ms),
            Self::Blob(chunk) => Some(chunk.time_ms),
            Self::Publish(_) | Self::Level(_) => None,
        }
    }

    /// The bytes that Raft replicates.
    pub fn encode(&self) -> Bytes {
        let writer = Writer::new().u8(VERSION);
        let writer = match self {
            Self::Genesis(genesis) => writer
                .u8(1)
                .u64(genesis.time_ms)
                .bytes(&genesis.genesis)
                .bytes(&genesis.keys),
            Self::Batch(batch) => encode_batch(writer.u8(2), batch),
            Self::Cut { time_ms } => writer.u8(3).u64(*time_ms),
            Self::Publish(publish) => writer
                .u8(4)
                .bytes(&publish.note)
                .u64(publish.receipt_iat)
                .raw(&publish.receipt_signature),
            Self::Tick { time_ms } => writer.u8(5).u64(*time_ms),
            Self::Blob(chunk) => writer
                .u8(6)
                .u64(chunk.time_ms)
                .bytes(chunk.organization.as_bytes())
                .raw(&chunk.digest)
                .u64(chunk.offset)
                .u64(chunk.total)
                .bytes(&chunk.bytes),
            Self::Level(level) => writer.u8(7).u32(*level),
        };
        writer.finish().into()
    }

    /// Reads what [`Command::encode`] wrote, and nothing else.
    ///
    /// # Errors
    /// For every other input. An unknown version or tag is a command of a newer program, which this
    /// one must not skip.
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let max = COMMAND_BYTES_MAX;
        if bytes.len() > max {
            return Err(DecodeError::OverLimit {
                what: "command",
                found: bytes.len(),
                max,
            });
        }
        let mut reader = Reader::new(bytes);
        reader.version("command version", VERSION)?;
        let command = match reader.u8("command tag")? {
            1 => Self::Genesis(Genesis {
                time_ms: reader.u64("time")?,
                genesis: bytes.slice_ref(reader.bytes("genesis", max)?),
                keys: bytes.slice_ref(reader.bytes("keys", max)?),
            }),
            2 => Self::Batch(decode_batch(&mut reader, bytes)?),
            3 => Self::Cut {
                time_ms: reader.u64("time")?,
            },
            4 => Self::Publish(Publish {
                note: bytes.slice_ref(reader.bytes("note", max)?),
                receipt_iat: reader.u64("receipt iat")?,
                receipt_signature: reader.array("receipt signature")?,
            }),
            5 => Self::Tick {
                time_ms: reader.u64("time")?,
            },
            6 => Self::Blob(BlobChunk {
                time_ms: reader.u64("time")?,
                organization: reader.text("organization", 255)?.to_owned(),
                digest: reader.array("digest")?,
                offset: reader.u64("offset")?,
                total: reader.u64("total")?,
                bytes: bytes.slice_ref(reader.bytes("chunk", BLOB_CHUNK_BYTES_MAX)?),
            }),
            7 => Self::Level(reader.u32("level")?),
            found => {
                return Err(DecodeError::Unknown {
                    what: "command tag",
                    found: found.into(),
                });
            }
        };
        reader.finish()?;
        Ok(command)
    }
}

fn encode_batch(writer: Writer, batch: &Batch) -> Writer {
    let count = u32::try_from(batch.items.len()).unwrap_or(u32::MAX);
    let mut writer = writer.u64(batch.time_ms).u32(count);
    for item in &batch.items {
        writer = writer.bytes(&item.statement);
    }
    for item in &batch.items {
        writer = match &item.payload {
            Some(payload) => writer.u8(1).bytes(payload),
            None => writer.u8(0),
        };
        writer = writer.u32(u32::try_from(item.attachments.len()).unwrap_or(u32::MAX));
        for digest in &item.attachments {
            writer = writer.raw(digest);
        }
    }
    writer
}

fn decode_batch(reader: &mut Reader<'_>, bytes: &Bytes) -> Result<Batch, DecodeError> {
    let time_ms = reader.u64("time")?;
    let count = reader.count("batch items", COMMAND_ITEMS_MAX)?;
    let mut items = Vec::new();
    for _ in 0..count {
        let statement = bytes.slice_ref(reader.bytes("statement", COMMAND_BYTES_MAX)?);
        items.push(Item {
            statement,
            ..Item::default()
        });
    }
    for item in &mut items {
        if reader.flag("payload")? {
            item.payload = Some(bytes.slice_ref(reader.bytes("payload", COMMAND_BYTES_MAX)?));
        }
        for _ in 0..reader.count("attachments", ATTACHMENTS_MAX)? {
            item.attachments.push(reader.array("attachment")?);
        }
    }
    Ok(Batch { time_ms, items })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing::hex;

    fn samples() -> Vec<(Command, &'static str)> {
        let item = |statement: &'static [u8], payload: Option<&'static [u8]>| Item {
            statement: Bytes::from_static(statement),
            payload: payload.map(Bytes::from_static),
            attachments: Vec::new(),
        };
        let genesis = Genesis {
            time_ms: 1,
            genesis: Bytes::from_static(b"g"),
            keys: Bytes::from_static(b"kk"),
        };
        let batch = Batch {
            time_ms: 2,
            items: vec![item(b"s", Some(b"p")), item(b"t", None)],
        };
        let publish = Publish {
            note: Bytes::from_static(b"n"),
            receipt_iat: 3,
            receipt_signature: [0x51; 64],
        };
        let chunk = BlobChunk {
            time_ms: 4,
            organization: "org".to_owned(),
            digest: [0xdd; 32],
            offset: 5,
            total: 6,
            bytes: Bytes::from_static(b"x"),
        };
        vec![
            (
                Command::Genesis(genesis),
                "010100000000000000010000000167000000026b6b",
            ),
            (
                Command::Batch(batch),
                "010200000000000000020000000200000001730000000174010000000170000000000000000000",
            ),
            (Command::Cut { time_ms: 7 }, "01030000000000000007"),
            (Command::Publish(publish), "0104000000016e0000000000000003"),
            (Command::Tick { time_ms: 8 }, "01050000000000000008"),
            (Command::Blob(chunk), "01060000000000000004000000036f7267"),
            (Command::Level(9), "010700000009"),
        ]
    }

    #[test]
    fn commands_have_their_golden_bytes_and_read_back() {
        for (command, golden) in samples() {
            let bytes = command.encode();
            let text = hex(&bytes);
            let whole = !matches!(command, Command::Publish(_) | Command::Blob(_));
            assert!(
                if whole {
                    text == golden
                } else {
                    text.starts_with(golden)
                },
                "{text}"
            );
            assert_eq!(Command::decode(&bytes), Ok(command));
        }
    }

    #[test]
    fn fixed_size_tails_are_encoded_in_place() {
        for (command, start) in samples() {
            let text = hex(&command.encode());
            let tail = match command {
                Command::Publish(_) => "51".repeat(64),
                Command::Blob(_) => {
                    format!(
                        "{}000000000000000500000000000000060000000178",
                        "dd".repeat(32)
                    )
                }
                _ => continue,
            };
            assert_eq!(text, format!("{start}{tail}"));
        }
    }

    #[test]
    fn refuses_every_cut_and_every_extension() {
        for (command, _) in samples() {
            let bytes = command.encode();
            for cut in 0..bytes.len() {
                assert!(
                    Command::decode(&bytes.slice(..cut)).is_err(),
                    "{command:?} at {cut}"
                );
            }
            let longer = Bytes::from([&bytes[..], &[0]].concat());
            assert!(Command::decode(&longer).is_err(), "{command:?}");
        }
    }

    #[test]
    fn what_decodes_encodes_to_the_same_bytes() {
        for (command, _) in samples() {
            let bytes = command.encode();
            for position in 0..bytes.len() {
                for value in [0, 1, 2, 0x7f, 0xff] {
                    let mut mutated = bytes.to_vec();
                    mutated[position] = value;
                    let mutated = Bytes::from(mutated);
                    if let Ok(decoded) = Command::decode(&mutated) {
                        assert_eq!(decoded.encode(), mutated);
                    }
                }
            }
        }
    }

    #[test]
    fn item_length_is_what_the_encoding_takes() {
        let item = Item {
            statement: Bytes::from_static(b"abc"),
            payload: Some(Bytes::from_static(b"de")),
            attachments: vec![[1; 32], [2; 32]],
        };
        let len = Batch::OVERHEAD + item.encoded_len();
        let command = Command::Batch(Batch {
            time_ms: 0,
            items: vec![item],
        });
        assert_eq!(command.encode().len(), len);
    }

    #[test]
    fn limits_hold() {
        let huge = Bytes::from(vec![0; COMMAND_BYTES_MAX + 1]);
        let error = DecodeError::OverLimit {
            what: "command",
            found: COMMAND_BYTES_MAX + 1,
            max: COMMAND_BYTES_MAX,
        };
        assert_eq!(Command::decode(&huge), Err(error));
    }
}
