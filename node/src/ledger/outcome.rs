//! What a command led to: the answer that every node computes alike, in our own encoding.
//!
//! A refusal is an outcome and not an error: the entry of the Raft log is used up, nothing of the
//! refused statement is stored, and the submitter learns why.

use aimslog_proto::limits::COMMAND_ITEMS_MAX;
use aimslog_proto::reason::{Reason, Violation};
use bytes::Bytes;

use crate::store::codec::bytes::{DecodeError, Reader, Writer};

const VERSION: u8 = 1;
/// Most violations that one statement can have at apply, with room to grow.
const VIOLATIONS_MAX: usize = 1024;
/// Longest text in a violation; texts are ours, and what was found is cut by `Violation::found`.
const TEXT_BYTES_MAX: usize = 8 << 10;

/// The outcome of one command.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// One outcome per statement, in the order of the batch. Genesis answers with two.
    Batch(Vec<ItemOutcome>),
    /// The size and root of this node's tree at the cut.
    Cut {
        /// Tree size.
        size: u64,
        /// Root hash.
        root: [u8; 32],
    },
    /// The head was stored under this running number.
    Published {
        /// Running number of the head.
        number: u64,
    },
    /// Done, with nothing to tell.
    Done,
    /// How much of the attachment is stored.
    Blob {
        /// Bytes stored; the next chunk begins here.
        received: u64,
        /// All bytes are there and have the digest.
        complete: bool,
    },
    /// The whole command was refused; nothing was written.
    Refused(Vec<Violation>),
    /// The whole command was refused for its registration time alone: it lies before the newest
    /// one, or too far behind it. Nothing was written.
    TimeRefused {
        /// The newest registration time in milliseconds.
        last_ms: u64,
    },
}

/// The outcome of one statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemOutcome {
    /// It became an entry.
    Logged(Logged),
    /// The same bytes are an entry already; this is the first result.
    AlreadyLogged(Logged),
    /// It was refused, and nothing of it is stored.
    Refused(Vec<Violation>),
}

/// Where a statement stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Logged {
    /// Index of the entry.
    pub index: u64,
    /// SHA-256(00 | statement).
    pub leaf_hash: [u8; 32],
    /// Registration time in milliseconds.
    pub time_ms: u64,
    /// Number of the entity in its register, from 1; 0 for system records.
    pub number: u64,
}

impl Outcome {
    /// The bytes that the machine answers with.
    pub fn encode(&self) -> Bytes {
        let writer = Writer::new().u8(VERSION);
        let writer = match self {
            Self::Batch(items) => {
                let count = u32::try_from(items.len()).unwrap_or(u32::MAX);
                items.iter().fold(writer.u8(1).u32(count), encode_item)
            }
            Self::Cut { size, root } => writer.u8(2).u64(*size).raw(root),
            Self::Published { number } => writer.u8(3).u64(*number),
            Self::Done => writer.u8(4),
            Self::Blob { received, complete } => {
                writer.u8(5).u64(*received).u8(u8::from(*complete))
            }
            Self::Refused(violations) => encode_violations(writer.u8(6), violations),
            Self::TimeRefused { last_ms } => writer.u8(7).u64(*last_ms),
        };
        writer.finish().into()
    }

    /// Reads what [`Outcome::encode`] wrote.
    ///
    /// # Errors
    /// For every other input.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        reader.version("outcome version", VERSION)?;
        let outcome = match reader.u8("outcome tag")? {
            1 => {
                let count = reader.count("outcomes", COMMAND_ITEMS_MAX)?;
                let mut items = Vec::new();
                for _ in 0..count {
                    items.push(decode_item(&mut reader)?);
                }
                Self::Batch(items)
            }
            2 => Self::Cut {
                size: reader.u64("size")?,
                root: reader.array("root")?,
            },
            3 => Self::Published {
                number: reader.u64("number")?,
            },
            4 => Self::Done,
            5 => Self::Blob {
                received: reader.u64("received")?,
                complete: reader.flag("complete")?,
            },
            6 => Self::Refused(decode_violations(&mut reader)?),
            7 => Self::TimeRefused {
                last_ms: reader.u64("time")?,
            },
            found => {
                return Err(DecodeError::Unknown {
                    what: "outcome tag",
                    found: found.into(),
                });
            }
        };
        reader.finish()?;
        Ok(outcome)
    }

    /// A refusal of the whole command for one reason.
    pub fn refused(violation: Violation) -> Self {
        Self::Refused(vec![violation])
    }
}

fn encode_item(writer: Writer, item: &ItemOutcome) -> Writer {
    match item {
        ItemOutcome::Logged(logged) => encode_logged(writer.u8(1), logged),
        ItemOutcome::AlreadyLogged(logged) => encode_logged(writer.u8(2), logged),
        ItemOutcome::Refused(violations) => encode_violations(writer.u8(3), violations),
    }
}

fn decode_item(reader: &mut Reader<'_>) -> Result<ItemOutcome, DecodeError> {
    Ok(match reader.u8("item outcome")? {
        1 => ItemOutcome::Logged(decode_logged(reader)?),
        2 => ItemOutcome::AlreadyLogged(decode_logged(reader)?),
        3 => ItemOutcome::Refused(decode_violations(reader)?),
        found => {
            return Err(DecodeError::Unknown {
                what: "item outcome",
                found: found.into(),
            });
        }
    })
}

fn encode_logged(writer: Writer, logged: &Logged) -> Writer {
    writer
        .u64(logged.index)
        .raw(&logged.leaf_hash)
        .u64(logged.time_ms)
        .u64(logged.number)
}

fn decode_logged(reader: &mut Reader<'_>) -> Result<Logged, DecodeError> {
    Ok(Logged {
        index: reader.u64("index")?,
        leaf_hash: reader.array("leaf hash")?,
        time_ms: reader.u64("time")?,
        number: reader.u64("number")?,
    })
}

fn encode_violations(writer: Writer, violations: &[Violation]) -> Writer {
    let count = u32::try_from(violations.len()).unwrap_or(u32::MAX);
    violations
        .iter()
        .fold(writer.u32(count), |writer, violation| {
            let Violation {
                reason,
                field,
                rule,
                found,
                nearest,
            } = violation;
            let writer = writer
                .bytes(reason.as_str().as_bytes())
                .bytes(field.as_bytes())
                .bytes(rule.as_bytes());
            [found, nearest]
                .into_iter()
                .fold(writer, |writer, text| match text {
                    Some(text) => writer.u8(1).bytes(text.as_bytes()),
                    None => writer.u8(0),
                })
        })
}

fn decode_violations(reader: &mut Reader<'_>) -> Result<Vec<Violation>, DecodeError> {
    let count = reader.count("violations", VIOLATIONS_MAX)?;
    let mut violations = Vec::new();
    for _ in 0..count {
        let text = reader.text("reason", TEXT_BYTES_MAX)?;
        let reason = Reason::from_text(text).ok_or(DecodeError::Unknown {
            what: "reason",
            found: text.len() as u64,
        })?;
        let field = reader.text("field", TEXT_BYTES_MAX)?;
        let rule = reader.text("rule", TEXT_BYTES_MAX)?;
        let mut violation = Violation::new(reason, field, rule);
        if reader.flag("found")? {
            violation.found = Some(reader.text("found", TEXT_BYTES_MAX)?.to_owned());
        }
        if reader.flag("nearest")? {
            violation.nearest = Some(reader.text("nearest", TEXT_BYTES_MAX)?.to_owned());
        }
        violations.push(violation);
    }
    Ok(violations)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing::hex;

    const LOGGED: Logged = Logged {
        index: 1,
        leaf_hash: [0xaa; 32],
        time_ms: 2,
        number: 3,
    };

    #[test]
    fn outcomes_have_their_golden_bytes_and_read_back() {
        let a = "aa".repeat(32);
        let refusal = Violation::new(Reason::Expired, "header.15.exp", "r")
            .found("f")
            .nearest("n");
        let table = [
            (
                Outcome::Batch(vec![
                    ItemOutcome::Logged(LOGGED),
                    ItemOutcome::AlreadyLogged(LOGGED),
                ]),
                format!(
                    "010100000002{0}{1}",
                    format_args!("010000000000000001{a}00000000000000020000000000000003"),
                    format_args!("020000000000000001{a}00000000000000020000000000000003"),
                ),
            ),
            (
                Outcome::Cut {
                    size: 5,
                    root: [0xaa; 32],
                },
                format!("01020000000000000005{a}"),
            ),
            (
                Outcome::Published { number: 6 },
                "01030000000000000006".to_owned(),
            ),
            (Outcome::Done, "0104".to_owned()),
            (
                Outcome::TimeRefused { last_ms: 9 },
                "01070000000000000009".to_owned(),
            ),
            (
                Outcome::Blob {
                    received: 7,
                    complete: true,
                },
                "0105000000000000000701".to_owned(),
            ),
            (
                Outcome::refused(refusal),
                "0106000000010000000745585049524544\
                 0000000d6865616465722e31352e657870000000017201000000016601000000016e"
                    .to_owned(),
            ),
        ];
        for (outcome, golden) in table {
            let bytes = outcome.encode();
            assert_eq!(hex(&bytes), golden);
            assert_eq!(Outcome::decode(&bytes), Ok(outcome));
            for cut in 0..bytes.len() {
                assert!(Outcome::decode(&bytes[..cut]).is_err());
            }
        }
    }
}
