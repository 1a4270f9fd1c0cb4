//! `ledger.engagement`: an organisation lets another one, such as a certification body, read some of
//! its records.

use crate::limits::{ENGAGEMENT_LIST_MAX, FIELD_NAME_BYTES_MAX, TIME_SECONDS_MAX, URI_BYTES_MAX};
use crate::statement::header::{ContentType, EvidenceSubject, Family};
use crate::system::SystemKind;
use crate::system::fields::{Entry, MapReader, MapWriter, Payload, PayloadError};
use crate::system::id::{EngagementId, OrganizationId};
use crate::time::UnixSeconds;

/// A change of one engagement.
///
/// CBOR map: 1 change (0 grant, 1 end), 2 organisation id, 3 engagement id; for a grant also 4 body
/// (organisation id), ? 5 kinds, ? 6 subjects, ? 7 fields (arrays of text, strictly ascending), ? 8
/// claimed from, ? 9 claimed to, 10 valid from, 11 valid to (seconds).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engagement {
    /// The organisation whose records they are, and whose administrator signs.
    pub organization: OrganizationId,
    /// What the organisation calls it; an id is never used twice.
    pub engagement: EngagementId,
    /// What changes.
    pub change: EngagementChange,
}

/// What an [`Engagement`] record does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngagementChange {
    /// The body may read from here on.
    Grant(Box<Grant>),
    /// It may not read any more, whatever time it had left.
    End,
}

/// Who may read what, and how long. Where a list or a bound is absent, it does not restrict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The organisation that may read, through those of its principals whose role reads under
    /// engagements.
    pub body: OrganizationId,
    /// Kinds of records, as in content types; strictly ascending.
    pub kinds: Option<Vec<String>>,
    /// What the records are about, as in the claim `sub`; strictly ascending.
    pub subjects: Option<Vec<String>>,
    /// The fields that are shown, by name; strictly ascending.
    pub fields: Option<Vec<String>>,
    /// Records whose claimed time of signing (`iat`) is not before this.
    pub claimed_from: Option<UnixSeconds>,
    /// Records whose claimed time of signing (`iat`) is not after this.
    pub claimed_to: Option<UnixSeconds>,
    /// The first second in which the body may read.
    pub valid_from: UnixSeconds,
    /// The last second in which the body may read.
    pub valid_to: UnixSeconds,
}

impl Payload for Engagement {
    const KIND: SystemKind = SystemKind::Engagement;

    fn write(&self, map: &mut MapWriter) {
        map.uint(1, u64::from(self.change == EngagementChange::End));
        map.text(2, self.organization.as_str());
        map.text(3, self.engagement.as_str());
        if let EngagementChange::Grant(grant) = &self.change {
            map.text(4, grant.body.as_str());
            for (key, list) in [(5, &grant.kinds), (6, &grant.subjects), (7, &grant.fields)] {
                if let Some(list) = list {
                    map.list(key, list, |encoder, text| {
                        encoder.text(text);
                    });
                }
            }
            for (key, bound) in [(8, grant.claimed_from), (9, grant.claimed_to)] {
                if let Some(bound) = bound {
                    map.uint(key, bound.0);
                }
            }
            map.uint(10, grant.valid_from.0);
            map.uint(11, grant.valid_to.0);
        }
    }

    fn read(map: &mut MapReader<'_, '_>) -> Result<Self, PayloadError> {
        let change = map.required(1, "change")?.uint()?;
        let organization = map
            .required(2, "organization")?
            .parsed(OrganizationId::new)?;
        let engagement = map.required(3, "engagement")?.parsed(EngagementId::new)?;
        let change = match change {
            0 => EngagementChange::Grant(Box::new(read_grant(map)?)),
            1 => EngagementChange::End,
            _ => return Err(map.wrong("change", "0 grant or 1 end")),
        };
        Ok(Self {
            organization,
            engagement,
            change,
        })
    }

    fn organization(&self) -> Option<&OrganizationId> {
        Some(&self.organization)
    }

    fn subject_part(&self) -> String {
        format!("engagement/{}/{}", self.organization, self.engagement)
    }
}

fn read_grant(map: &mut MapReader<'_, '_>) -> Result<Grant, PayloadError> {
    let grant = Grant {
        body: map.required(4, "body")?.parsed(OrganizationId::new)?,
        kinds: read_list(map, (5, "kinds"), |text| {
            ContentType::new(Family::Evidence, text, 1).is_some()
        })?,
        subjects: read_list(map, (6, "subjects"), |text| {
            text.len() <= URI_BYTES_MAX && EvidenceSubject::parse(text).is_some()
        })?,
        fields: read_list(map, (7, "fields"), is_field_name)?,
        claimed_from: read_time(map.optional(8, "claimed_from"))?,
        claimed_to: read_time(map.optional(9, "claimed_to"))?,
        valid_from: time_of(map.required(10, "valid_from")?)?,
        valid_to: time_of(map.required(11, "valid_to")?)?,
    };
    if let (Some(from), Some(to)) = (grant.claimed_from, grant.claimed_to)
        && from > to
    {
        return Err(map.wrong("claimed_to", "not before claimed_from"));
    }
    if grant.valid_from > grant.valid_to {
        return Err(map.wrong("valid_to", "not before valid_from"));
    }
    Ok(grant)
}

fn read_list(
    map: &mut MapReader<'_, '_>,
    (key, field): (i64, &'static str),
    is_good: impl Fn(&str) -> bool,
) -> Result<Option<Vec<String>>, PayloadError> {
    let Some(entry) = map.optional(key, field) else {
        return Ok(None);
    };
    let list = entry.list(1..=ENGAGEMENT_LIST_MAX, |item| {
        let text = item.text(1..=URI_BYTES_MAX)?;
        if is_good(&text) {
            Ok(text)
        } else {
            Err(item.wrong("names as the log spells them"))
        }
    })?;
    if list.is_sorted_by(|a, b| a < b) {
        Ok(Some(list))
    } else {
        Err(entry.wrong("strictly ascending"))
    }
}

fn is_field_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    text.len() <= FIELD_NAME_BYTES_MAX && text.bytes().all(plain)
}

fn read_time(entry: Option<Entry<'_, '_>>) -> Result<Option<UnixSeconds>, PayloadError> {
    entry.map(time_of).transpose()
}

fn time_of(entry: Entry<'_, '_>) -> Result<UnixSeconds, PayloadError> {
    let seconds = entry.uint()?;
    if seconds <= TIME_SECONDS_MAX {
        Ok(UnixSeconds(seconds))
    } else {
        Err(entry.wrong("seconds, at most those of the year 9999"))
    }
}
