//! The payload of an entry: its disclosures, kept as bytes beside the log and erasable.
//!
//! ```text
//! payload = version (1) | count u32 | count x disclosure (u32 + bytes)
//! row     = 00 sealed: the ledger was never given it | 01 payload | 02 erased
//! ```
//! Apply stores payload bytes unread: no decision depends on what stands in them.

use aimslog_proto::limits::RECORD_FIELDS_MAX;
use bytes::Bytes;

use crate::store::codec::bytes::{DecodeError, Reader, Writer};

const VERSION: u8 = 1;

/// What the ledger holds of an entry's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PayloadRow {
    /// The statement came without its disclosures.
    Sealed,
    /// The encoded disclosures.
    Present(Bytes),
    /// They were here and are gone.
    Erased,
}

/// The bytes of a record's disclosures, in field order.
pub fn encode(disclosures: &[impl AsRef<[u8]>]) -> Bytes {
    let count = u32::try_from(disclosures.len()).unwrap_or(u32::MAX);
    let writer = Writer::new().u8(VERSION).u32(count);
    disclosures
        .iter()
        .fold(writer, |writer, disclosure| {
            writer.bytes(disclosure.as_ref())
        })
        .finish()
        .into()
}

/// The disclosures in `payload`, in field order.
///
/// # Errors
/// When the bytes are not what [`encode`] writes.
pub fn decode(payload: &[u8]) -> Result<Vec<Vec<u8>>, DecodeError> {
    let mut reader = Reader::new(payload);
    reader.version("payload version", VERSION)?;
    let count = reader.count("disclosures", RECORD_FIELDS_MAX)?;
    let mut disclosures = Vec::new();
    for _ in 0..count {
        disclosures.push(reader.bytes("disclosure", payload.len())?.to_vec());
    }
    reader.finish()?;
    Ok(disclosures)
}

impl PayloadRow {
    /// The encoded disclosures, where they are here.
    pub fn disclosures(&self) -> Option<&[u8]> {
        match self {
            Self::Present(payload) => Some(payload),
            Self::Sealed | Self::Erased => None,
        }
    }

    /// The bytes of the row.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Sealed => vec![0],
            Self::Present(payload) => Writer::new().u8(1).raw(payload).finish(),
            Self::Erased => vec![2],
        }
    }

    /// Reads what [`PayloadRow::encode`] wrote.
    ///
    /// # Errors
    /// For every other input.
    pub fn decode(row: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(row);
        match reader.u8("payload status")? {
            0 => reader.finish().map(|()| Self::Sealed),
            1 => Ok(Self::Present(Bytes::copy_from_slice(
                row.get(1..).unwrap_or_default(),
            ))),
            2 => reader.finish().map(|()| Self::Erased),
            found => Err(DecodeError::Unknown {
                what: "payload status",
                found: found.into(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing::hex;

    #[test]
    fn payload_has_its_golden_bytes_and_reads_back() {
        let disclosures = vec![b"ab".to_vec(), Vec::new()];
        let bytes = encode(&disclosures);
        assert_eq!(hex(&bytes), "010000000200000002616200000000");
        assert_eq!(decode(&bytes), Ok(disclosures));
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut]).is_err());
        }
    }

    #[test]
    fn rows_read_back_and_unknown_status_is_an_error() {
        for row in [
            PayloadRow::Sealed,
            PayloadRow::Present(Bytes::from_static(b"p")),
            PayloadRow::Erased,
        ] {
            assert_eq!(PayloadRow::decode(&row.encode()), Ok(row));
        }
        assert!(PayloadRow::decode(&[3]).is_err());
        assert!(PayloadRow::decode(&[]).is_err());
        assert!(PayloadRow::decode(&[0, 0]).is_err());
    }
}
