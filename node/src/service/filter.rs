//! What a list of records is asked for: the checked request.

use aimslog_proto::limits::{URI_BYTES_MAX, WORD_BYTES_MAX};
use aimslog_proto::pb::v1 as pb;
use aimslog_proto::reason::Reason;
use aimslog_proto::system::registry::Registry;
use aimslog_proto::system::{KeyPurpose, OrganizationId, PrincipalId};

use crate::ledger::selection::Selection;
use crate::service::files::not_visible;
use crate::service::paging::{self, Bound};
use crate::service::sight::Sight;
use crate::service::status::Failure;

/// Longest kind in a request: `ledger.` and a word.
const KIND_BYTES_MAX: usize = 2 * WORD_BYTES_MAX;

/// A checked request for a page.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) selection: Selection,
    pub(super) limit: usize,
    /// Index at which the page begins.
    pub(super) from: u64,
    pub(super) bound: Bound,
}

impl Query {
    /// Checks owner, filters, page size and token.
    pub(super) fn new(
        sight: &Sight,
        registry: &Registry,
        mut request: pb::ListRecordsRequest,
    ) -> Result<Self, Failure> {
        if !sight.reaches(&request.organization) {
            return Err(not_visible());
        }
        let limit = paging::limit(request.page_size, "records")?;
        let token = std::mem::take(&mut request.page_token);
        request.page_size = 0;
        let bound = Bound::to("ListRecords", &request);
        let from = bound.places(&token)?.map_or(0, |[from]| from);
        Ok(Self {
            selection: selection(registry, request)?,
            limit,
            from,
            bound,
        })
    }
}

fn refused(field: &str, rule: &str) -> Failure {
    Failure::field(Reason::InvalidRequest, field, rule)
}

/// A text of at most `max` bytes, where there is one.
fn word(field: &str, text: String, max: usize) -> Result<Option<String>, Failure> {
    if text.len() > max {
        return Err(refused(field, &format!("at most {max} bytes")));
    }
    Ok(Some(text).filter(|text| !text.is_empty()))
}

fn selection(registry: &Registry, request: pb::ListRecordsRequest) -> Result<Selection, Failure> {
    let system = word("system", request.system, WORD_BYTES_MAX)?;
    let system =
        system.map(|system| format!("urn:aimslog:{}:system:{system}", request.organization));
    let subject = match (system, word("subject", request.subject, URI_BYTES_MAX)?) {
        (Some(system), Some(subject)) if system != subject => {
            let rule = "the system, where a system is named as well";
            return Err(refused("subject", rule));
        }
        (system, subject) => system.or(subject),
    };
    let principal = word("principal", request.principal, WORD_BYTES_MAX)?;
    let signers = principal
        .map(|principal| keys_of(registry, (&request.organization, &principal)))
        .transpose()?;
    let from_ms = millis("registered_from", request.registered_from)?;
    let to_ms = millis("registered_to", request.registered_to)?;
    if from_ms.zip(to_ms).is_some_and(|(from, to)| from > to) {
        let rule = "not before registered_from";
        return Err(refused("registered_to", rule));
    }
    let end = Some(request.end_index).filter(|end| *end > 0);
    if end.is_some_and(|end| end < request.start_index) {
        return Err(refused("end_index", "0, or not before start_index"));
    }
    Ok(Selection {
        kind: word("kind", request.kind, KIND_BYTES_MAX)?,
        organization: request.organization,
        subject,
        control: request.control.map(control).transpose()?,
        signers,
        from_ms,
        to_ms,
        start: request.start_index,
        end,
    })
}

fn control(control: pb::ControlFilter) -> Result<(String, String), Failure> {
    let scheme = word("control.scheme", control.scheme, WORD_BYTES_MAX)?;
    let scheme = scheme
        .ok_or_else(|| refused("control.scheme", "the scheme of the id, as headers name it"))?;
    let id = word("control.id", control.id, WORD_BYTES_MAX)?;
    let id = id.ok_or_else(|| refused("control.id", "the id of a control in its scheme"))?;
    Ok((scheme, id))
}

/// Every key with which the principal signs or has signed, oldest first. Each retires the one before.
fn keys_of(
    registry: &Registry,
    (organization, principal): (&str, &str),
) -> Result<Vec<[u8; 32]>, Failure> {
    let unknown = || {
        let rule = "a principal that the organisation has admitted";
        refused("principal", rule)
    };
    let organization = OrganizationId::new(organization).map_err(|_no_id| unknown())?;
    let principal = PrincipalId::new(principal).map_err(|_no_id| unknown())?;
    if registry.history(&organization, &principal).is_none() {
        return Err(unknown());
    }
    let mut keys: Vec<_> = registry
        .keys()
        .filter(|(_, row)| {
            row.principal().is_some_and(|owner| {
                owner.purpose == KeyPurpose::Sign
                    && owner.organization == organization
                    && owner.principal == principal
            })
        })
        .map(|(thumbprint, row)| (row.registered_at, *thumbprint.as_bytes()))
        .collect();
    keys.sort_unstable();
    Ok(keys.into_iter().map(|(_, thumbprint)| thumbprint).collect())
}

/// A time of a request in milliseconds. A part of one counts as the next: nothing was registered within
/// it.
fn millis(field: &str, time: Option<prost_types::Timestamp>) -> Result<Option<u64>, Failure> {
    let Some(time) = time else {
        return Ok(None);
    };
    let nanos = u64::try_from(time.nanos).ok();
    let nanos = nanos.filter(|nanos| *nanos < 1_000_000_000);
    let seconds = u64::try_from(time.seconds).ok();
    let millis = seconds.and_then(|seconds| seconds.checked_mul(1_000));
    let millis = millis
        .zip(nanos)
        .and_then(|(millis, nanos)| millis.checked_add(nanos.div_ceil(1_000_000)));
    match millis {
        Some(millis) => Ok(Some(millis)),
        None => Err(refused(field, "a time since 1970")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_or_refused_with_their_field() {
        let time = |seconds, nanos| Some(prost_types::Timestamp { seconds, nanos });
        let read = |time| millis("registered_from", time).unwrap();
        assert_eq!(read(None), None);
        assert_eq!(read(time(2, 0)), Some(2_000));
        assert_eq!(read(time(2, 1)), Some(2_001), "the next");
        assert_eq!(read(time(2, 999_000_000)), Some(2_999));
        for wrong in [
            time(-1, 0),
            time(1, -1),
            time(1, 1_000_000_000),
            time(i64::MAX, 0),
        ] {
            let refused = millis("registered_from", wrong).unwrap_err();
            assert!(refused.to_string().contains("registered_from"), "{refused}");
        }
    }

    /// What makes a good request a bad one.
    type Change = fn(&mut pb::ListRecordsRequest);

    fn request(change: Change) -> pb::ListRecordsRequest {
        let mut request = pb::ListRecordsRequest {
            organization: "acme".to_owned(),
            ..pb::ListRecordsRequest::default()
        };
        change(&mut request);
        request
    }

    fn control(scheme: &str, id: &str) -> pb::ControlFilter {
        let (scheme, id) = (scheme.to_owned(), id.to_owned());
        pb::ControlFilter { scheme, id }
    }

    fn time(seconds: i64) -> prost_types::Timestamp {
        prost_types::Timestamp { seconds, nanos: 0 }
    }

    #[test]
    fn a_filter_that_cannot_be_names_its_field() {
        let table: [(&str, Change); 10] = [
            ("kind", |it| it.kind = "x".repeat(KIND_BYTES_MAX + 1)),
            ("system", |it| it.system = "x".repeat(WORD_BYTES_MAX + 1)),
            ("subject", |it| it.subject = "x".repeat(URI_BYTES_MAX + 1)),
            ("subject", |it| {
                it.system = "a".to_owned();
                it.subject = "urn:aimslog:acme:system:b".to_owned();
            }),
            ("control.scheme", |it| {
                it.control = Some(control("", "A.9.2"));
            }),
            ("control.id", |it| it.control = Some(control("s", ""))),
            ("principal", |it| it.principal = "nobody".to_owned()),
            ("principal", |it| it.principal = "No Id".to_owned()),
            ("registered_to", |it| {
                (it.registered_from, it.registered_to) = (Some(time(2)), Some(time(1)));
            }),
            ("end_index", |it| (it.start_index, it.end_index) = (5, 4)),
        ];
        for (field, change) in table {
            let refused = selection(&Registry::new(), request(change)).unwrap_err();
            assert_eq!(refused.reason(), Reason::InvalidRequest, "{field}");
            assert!(refused.to_string().contains(field), "{field}: {refused}");
        }
        let same = request(|it| {
            it.system = "a".to_owned();
            it.subject = "urn:aimslog:acme:system:a".to_owned();
        });
        let subject = selection(&Registry::new(), same).unwrap().subject;
        assert_eq!(subject.as_deref(), Some("urn:aimslog:acme:system:a"));
    }
}
