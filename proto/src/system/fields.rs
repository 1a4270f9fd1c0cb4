//! Payload maps of system records: write entries, read them strictly, name what is wrong.

use std::fmt::Display;
use std::ops::RangeInclusive;

use thiserror::Error;

use crate::reason::{Reason, Violation};
use crate::statement::cbor::{self, CborError, Encoder, Fields, Item, MapEncoder};
use crate::statement::key::{KeyError, PublicKey, Signature};
use crate::system::SystemKind;
use crate::system::approval::Approval;
use crate::system::id::OrganizationId;

/// Why a payload is not a system record of its kind.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PayloadError {
    /// Not deterministic CBOR, a wrong type, a missing field or an unknown key.
    #[error("ledger.{kind}: {cause}")]
    Cbor {
        /// The kind of the record.
        kind: SystemKind,
        /// What is wrong, with the field where there is one.
        #[source]
        cause: CborError,
    },
    /// A field that holds no key.
    #[error("ledger.{kind}: {field}: {cause}")]
    Key {
        /// The kind of the record.
        kind: SystemKind,
        /// The field.
        field: &'static str,
        /// Why.
        #[source]
        cause: KeyError,
    },
    /// A field whose value is not allowed.
    #[error("ledger.{kind}: {field}: {rule}")]
    Value {
        /// The kind of the record.
        kind: SystemKind,
        /// The field.
        field: &'static str,
        /// The rule that it breaks.
        rule: String,
    },
}

impl From<PayloadError> for Violation {
    fn from(error: PayloadError) -> Self {
        match error {
            PayloadError::Cbor { cause, .. } => {
                let field = match &cause {
                    CborError::WrongType { field, .. } | CborError::MissingKey { field, .. }
                        if !field.is_empty() =>
                    {
                        format!("payload.{field}")
                    }
                    _ => "payload".to_owned(),
                };
                Self::new(cause.reason(), field, cause.to_string())
            }
            PayloadError::Key { field, cause, .. } => Self::new(
                cause.reason(),
                format!("payload.{field}"),
                cause.to_string(),
            ),
            PayloadError::Value { field, rule, .. } => {
                Self::new(Reason::InvalidField, format!("payload.{field}"), rule)
            }
        }
    }
}

/// A typed payload of one kind of system record.
pub trait Payload: Sized {
    /// The kind, which gives the content type.
    const KIND: SystemKind;

    /// Adds every entry but the approvals.
    fn write(&self, map: &mut MapWriter);

    /// Reads every entry but the approvals.
    fn read(map: &mut MapReader<'_, '_>) -> Result<Self, PayloadError>;

    /// The last part of the record's subject, for example `org/acme`.
    fn subject_part(&self) -> String;

    /// The organisation that issues the record; none where the service or an operator does.
    fn organization(&self) -> Option<&OrganizationId> {
        None
    }

    /// The approvals in the payload; empty for kinds that one signer decides.
    fn approvals(&self) -> &[Approval] {
        &[]
    }

    /// The same record with these approvals; kinds without approvals ignore them.
    #[must_use]
    fn with_approvals(self, _approvals: Vec<Approval>) -> Self {
        self
    }

    /// The payload bytes: deterministic CBOR.
    fn encode(&self) -> Vec<u8> {
        let mut map = MapWriter::default();
        self.write(&mut map);
        Approval::write_all(self.approvals(), &mut map);
        map.finish()
    }

    /// The payload without approvals, which approvals are made over.
    fn encode_unapproved(&self) -> Vec<u8> {
        let mut map = MapWriter::default();
        self.write(&mut map);
        map.finish()
    }

    /// The record that these bytes are. Every accepted payload encodes to the same bytes.
    fn decode(bytes: &[u8]) -> Result<Self, PayloadError> {
        let cbor = |cause| PayloadError::Cbor {
            kind: Self::KIND,
            cause,
        };
        let item = cbor::parse(bytes).map_err(cbor)?;
        let mut map = MapReader {
            kind: Self::KIND,
            fields: item.fields("").map_err(cbor)?,
        };
        let record = Self::read(&mut map)?;
        map.fields.finish().map_err(cbor)?;
        Ok(record)
    }
}

/// Writes the map of a payload.
#[derive(Debug, Default)]
pub struct MapWriter {
    map: MapEncoder,
}

impl MapWriter {
    pub(crate) fn uint(&mut self, key: i64, number: u64) {
        self.item(key, |encoder| {
            encoder.uint(number);
        });
    }

    pub(crate) fn text(&mut self, key: i64, text: &str) {
        self.item(key, |encoder| {
            encoder.text(text);
        });
    }

    pub(crate) fn bytes(&mut self, key: i64, bytes: &[u8]) {
        self.item(key, |encoder| {
            encoder.bytes(bytes);
        });
    }

    /// An array with one item per element.
    pub(crate) fn list<T>(&mut self, key: i64, list: &[T], write: impl Fn(&mut Encoder, &T)) {
        self.item(key, |encoder| {
            encoder.array(list.len());
            for element in list {
                write(encoder, element);
            }
        });
    }

    /// Exactly one item, written by the caller.
    pub(crate) fn item(&mut self, key: i64, write: impl FnOnce(&mut Encoder)) {
        self.map.entry(key, write);
    }

    fn finish(self) -> Vec<u8> {
        Encoder::new().map(self.map).finish()
    }
}

/// Reads the map of a payload.
#[derive(Debug)]
pub struct MapReader<'i, 'a> {
    kind: SystemKind,
    fields: Fields<'i, 'a>,
}

impl<'i, 'a> MapReader<'i, 'a> {
    /// The value under `key`.
    pub(crate) fn required(
        &mut self,
        key: i64,
        field: &'static str,
    ) -> Result<Entry<'i, 'a>, PayloadError> {
        let kind = self.kind;
        let cbor = |cause| PayloadError::Cbor { kind, cause };
        let item = self.fields.required(key, field).map_err(cbor)?;
        Ok(Entry { kind, field, item })
    }

    /// The value under `key`, if it is there.
    pub(crate) fn optional(&mut self, key: i64, field: &'static str) -> Option<Entry<'i, 'a>> {
        let item = self.fields.optional(key)?;
        Some(Entry {
            kind: self.kind,
            field,
            item,
        })
    }

    /// The error that the value of `field` breaks `rule`.
    pub(crate) fn wrong(&self, field: &'static str, rule: impl Display) -> PayloadError {
        PayloadError::Value {
            kind: self.kind,
            field,
            rule: rule.to_string(),
        }
    }
}

/// One item of a payload, with the name of its field for errors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'i, 'a> {
    kind: SystemKind,
    field: &'static str,
    item: &'i Item<'a>,
}

impl<'i, 'a> Entry<'i, 'a> {
    pub(crate) fn uint(&self) -> Result<u64, PayloadError> {
        self.cbor(self.item.uint(self.field))
    }

    pub(crate) fn int(&self) -> Result<i64, PayloadError> {
        self.cbor(self.item.int(self.field))
    }

    pub(crate) fn boolean(&self) -> Result<bool, PayloadError> {
        self.cbor(self.item.boolean(self.field))
    }

    /// Text of so many bytes.
    pub(crate) fn text(&self, bytes: RangeInclusive<usize>) -> Result<String, PayloadError> {
        let text = self.cbor(self.item.text(self.field))?;
        if bytes.contains(&text.len()) {
            Ok(text.to_owned())
        } else {
            Err(self.wrong(format_args!("{} to {} bytes", bytes.start(), bytes.end())))
        }
    }

    /// Text that `parse` accepts.
    pub(crate) fn parsed<T, E: Display>(
        &self,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, PayloadError> {
        let text = self.cbor(self.item.text(self.field))?;
        parse(text).map_err(|error| self.wrong(error))
    }

    pub(crate) fn digest(&self) -> Result<[u8; 32], PayloadError> {
        self.cbor(self.item.byte_array(self.field))
    }

    pub(crate) fn key(&self) -> Result<PublicKey, PayloadError> {
        let (kind, field) = (self.kind, self.field);
        PublicKey::from_bytes(&self.digest()?).map_err(|cause| PayloadError::Key {
            kind,
            field,
            cause,
        })
    }

    pub(crate) fn signature(&self) -> Result<Signature, PayloadError> {
        Ok(Signature(self.cbor(self.item.byte_array(self.field))?))
    }

    /// An array of so many elements, each read by `read`.
    pub(crate) fn list<T>(
        &self,
        count: RangeInclusive<usize>,
        read: impl Fn(Self) -> Result<T, PayloadError>,
    ) -> Result<Vec<T>, PayloadError> {
        let items = self.cbor(self.item.array(self.field))?;
        if !count.contains(&items.len()) {
            return Err(self.wrong(format_args!("{} to {} items", count.start(), count.end())));
        }
        items
            .iter()
            .map(|item| read(Self { item, ..*self }))
            .collect()
    }

    /// An array of exactly `N` elements.
    pub(crate) fn tuple<const N: usize>(&self) -> Result<[Self; N], PayloadError> {
        let items: &'i [Item<'a>; N] = self.cbor(self.item.tuple(self.field))?;
        Ok(items.each_ref().map(|item| Self { item, ..*self }))
    }

    /// The error that this value breaks `rule`.
    pub(crate) fn wrong(&self, rule: impl Display) -> PayloadError {
        PayloadError::Value {
            kind: self.kind,
            field: self.field,
            rule: rule.to_string(),
        }
    }

    fn cbor<T>(&self, result: Result<T, CborError>) -> Result<T, PayloadError> {
        result.map_err(|cause| PayloadError::Cbor {
            kind: self.kind,
            cause,
        })
    }
}
