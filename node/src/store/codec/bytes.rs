//! Length-prefixed big-endian bytes: what commands, outcomes and state rows are made of.
//!
//! Every integer has a fixed width, every string a length in front, and a decoder must use up its
//! input. So each value has exactly one encoding, which golden tests pin.

/// Why stored or replicated bytes could not be read.
///
/// Bytes of the state and of committed commands were written by this program, so this error means
/// damage, or a format that a newer release wrote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The input ends before the field does.
    #[error("{what} needs {wanted} bytes, only {left} are left")]
    Truncated {
        /// The field being read.
        what: &'static str,
        /// Bytes that the field takes.
        wanted: usize,
        /// Bytes that were left.
        left: usize,
    },
    /// Bytes follow the last field.
    #[error("{count} bytes follow the last field")]
    Trailing {
        /// How many.
        count: usize,
    },
    /// A version, tag or flag that this program does not know.
    #[error("unknown {what} {found}")]
    Unknown {
        /// The field being read.
        what: &'static str,
        /// What stands there.
        found: u64,
    },
    /// A length or count above its limit.
    #[error("{what} is {found}, the limit is {max}")]
    OverLimit {
        /// The field being read.
        what: &'static str,
        /// What stands there.
        found: usize,
        /// The limit.
        max: usize,
    },
    /// Text that is not UTF-8.
    #[error("{what} is not UTF-8")]
    NotUtf8 {
        /// The field being read.
        what: &'static str,
    },
    /// Fields that are well formed and contradict each other.
    #[error("{what} contradicts the rest of the value")]
    Inconsistent {
        /// The field that does not fit.
        what: &'static str,
    },
}

/// Appends fields to a growing byte string.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// An empty writer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends one byte.
    #[must_use]
    pub fn u8(mut self, value: u8) -> Self {
        self.bytes.push(value);
        self
    }

    /// Appends four bytes, big-endian.
    #[must_use]
    pub fn u32(mut self, value: u32) -> Self {
        self.bytes.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// Appends eight bytes, big-endian.
    #[must_use]
    pub fn u64(mut self, value: u64) -> Self {
        self.bytes.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// Appends bytes as they are, without a length: for values of a fixed size.
    #[must_use]
    pub fn raw(mut self, value: &[u8]) -> Self {
        self.bytes.extend_from_slice(value);
        self
    }

    /// Appends a length of four bytes and the bytes.
    ///
    /// # Panics
    /// Never for what fits an address space of 4 GiB; every caller holds values of a few MiB at
    /// most, which the limits of the protocol bound long before this.
    #[must_use]
    pub fn bytes(self, value: &[u8]) -> Self {
        self.u32(length(value.len())).raw(value)
    }

    /// Appends a text with a length of one byte in front: for key parts, which are short.
    ///
    /// A text above 255 bytes is cut there. No decoder reads key parts back, and two texts that
    /// agree in 255 bytes do not occur: the limits of identifiers lie below.
    #[must_use]
    pub fn short(self, value: &str) -> Self {
        let cut = value
            .as_bytes()
            .get(..usize::from(u8::MAX))
            .unwrap_or(value.as_bytes());
        self.u8(u8::try_from(cut.len()).unwrap_or(u8::MAX)).raw(cut)
    }

    /// Appends a presence byte, and the eight bytes if there is a value.
    #[must_use]
    pub fn option_u64(self, value: Option<u64>) -> Self {
        match value {
            Some(value) => self.u8(1).u64(value),
            None => self.u8(0),
        }
    }

    /// Appends a presence byte, and the digest if there is one.
    #[must_use]
    pub fn option_digest(self, value: Option<&[u8; 32]>) -> Self {
        match value {
            Some(value) => self.u8(1).raw(value),
            None => self.u8(0),
        }
    }

    /// The bytes written.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// A length as it stands in front of bytes.
#[expect(
    clippy::expect_used,
    reason = "no value in memory here reaches 4 GiB; see Writer::bytes"
)]
fn length(len: usize) -> u32 {
    u32::try_from(len).expect("a value of the ledger is at most a few MiB")
}

/// Reads fields from the front of a byte string.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader over all of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next `len` bytes.
    pub fn take(&mut self, what: &'static str, len: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(DecodeError::Truncated {
                what,
                wanted: len,
                left: self.rest.len(),
            })?;
        self.rest = rest;
        Ok(head)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let left = self.rest.len();
        let (head, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(DecodeError::Truncated {
                what,
                wanted: N,
                left,
            })?;
        self.rest = rest;
        Ok(*head)
    }

    /// One byte.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    /// Four bytes, big-endian.
    pub fn u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        self.array(what).map(u32::from_be_bytes)
    }

    /// Eight bytes, big-endian.
    pub fn u64(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        self.array(what).map(u64::from_be_bytes)
    }

    /// A length of four bytes, then the bytes; a length above `max` is an error before any read.
    pub fn bytes(&mut self, what: &'static str, max: usize) -> Result<&'a [u8], DecodeError> {
        let len = self.count(what, max)?;
        self.take(what, len)
    }

    /// A count of four bytes, at most `max`.
    pub fn count(&mut self, what: &'static str, max: usize) -> Result<usize, DecodeError> {
        let found = self.u32(what)?;
        let found = usize::try_from(found).unwrap_or(usize::MAX);
        if found > max {
            Err(DecodeError::OverLimit { what, found, max })
        } else {
            Ok(found)
        }
    }

    /// A length of four bytes, then that much UTF-8.
    pub fn text(&mut self, what: &'static str, max: usize) -> Result<&'a str, DecodeError> {
        str::from_utf8(self.bytes(what, max)?).map_err(|_source| DecodeError::NotUtf8 { what })
    }

    /// A byte that is 0 or 1.
    pub fn flag(&mut self, what: &'static str) -> Result<bool, DecodeError> {
        match self.u8(what)? {
            0 => Ok(false),
            1 => Ok(true),
            found => Err(DecodeError::Unknown {
                what,
                found: found.into(),
            }),
        }
    }

    /// What [`Writer::option_u64`] wrote.
    pub fn option_u64(&mut self, what: &'static str) -> Result<Option<u64>, DecodeError> {
        if self.flag(what)? {
            self.u64(what).map(Some)
        } else {
            Ok(None)
        }
    }

    /// What [`Writer::option_digest`] wrote.
    pub fn option_digest(&mut self, what: &'static str) -> Result<Option<[u8; 32]>, DecodeError> {
        if self.flag(what)? {
            self.array(what).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Checks that the format version in front is `known`.
    pub fn version(&mut self, what: &'static str, known: u8) -> Result<(), DecodeError> {
        let found = self.u8(what)?;
        if found == known {
            Ok(())
        } else {
            Err(DecodeError::Unknown {
                what,
                found: found.into(),
            })
        }
    }

    /// Ends the reading; bytes left over are an error.
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            count => Err(DecodeError::Trailing { count }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_was_written() {
        let bytes = Writer::new()
            .u8(7)
            .u32(1)
            .u64(2)
            .bytes(b"abc")
            .short("org")
            .option_u64(None)
            .option_u64(Some(9))
            .option_digest(None)
            .option_digest(Some(&[0xdd; 32]))
            .finish();
        let golden = "07000000010000000000000002000000036162630\
                      36f7267000100000000000000090001";
        let golden = format!("{golden}{}", "dd".repeat(32));
        assert_eq!(hex(&bytes), golden);
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.u8("a"), Ok(7));
        assert_eq!(reader.u32("b"), Ok(1));
        assert_eq!(reader.u64("c"), Ok(2));
        assert_eq!(reader.bytes("d", 3), Ok(b"abc".as_slice()));
        assert_eq!(reader.take("e", 4), Ok(b"\x03org".as_slice()));
        assert_eq!(reader.option_u64("f"), Ok(None));
        assert_eq!(reader.option_u64("g"), Ok(Some(9)));
        assert_eq!(reader.option_digest("h"), Ok(None));
        assert_eq!(reader.option_digest("i"), Ok(Some([0xdd; 32])));
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn refuses_short_long_and_unknown_input() {
        assert_eq!(
            Reader::new(&[0, 0]).u32("x"),
            Err(DecodeError::Truncated {
                what: "x",
                wanted: 4,
                left: 2
            })
        );
        assert_eq!(
            Reader::new(&[0, 0, 0, 9, 1]).bytes("x", 8),
            Err(DecodeError::OverLimit {
                what: "x",
                found: 9,
                max: 8
            })
        );
        assert_eq!(
            Reader::new(&[0, 0, 0, 2, 1]).bytes("x", 8),
            Err(DecodeError::Truncated {
                what: "x",
                wanted: 2,
                left: 1
            })
        );
        assert_eq!(
            Reader::new(&[2]).flag("x"),
            Err(DecodeError::Unknown {
                what: "x",
                found: 2
            })
        );
        assert_eq!(
            Reader::new(&[0, 0, 0, 1, 0xff]).text("x", 8),
            Err(DecodeError::NotUtf8 { what: "x" })
        );
        assert_eq!(
            Reader::new(&[1]).finish(),
            Err(DecodeError::Trailing { count: 1 })
        );
        assert_eq!(
            Reader::new(&[3]).version("format", 1),
            Err(DecodeError::Unknown {
                what: "format",
                found: 3
            })
        );
    }

    fn hex(bytes: &[u8]) -> String {
        use std::fmt::Write;
        bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
    }
}
