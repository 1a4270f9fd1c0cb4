//! Page sizes, and the tokens by which lists go on.
//!
//! A token names places and is bound to the request that it belongs to: a digest over both tells a token
//! that we gave for this request from everything else. It is no secret and no right: whoever makes one up
//! gets what the request at that place gets. Whether a page is the last one tells how far the list goes,
//! also of what the reader does not see; everybody with a token can count that in the entries
//! (`docs/security.md`).

use aimslog_proto::limits::{PAGE_DEFAULT, PAGE_MAX};
use aimslog_proto::reason::Reason;
use prost::Message;
use sha2::{Digest as _, Sha256};

use crate::service::status::Failure;

/// Rows that one page looks at, so that a filter that fits nothing costs a bounded time.
pub(super) const ROWS_PER_PAGE: usize = 4_096;

/// Bytes of the digest in a token: it tells mistakes from tokens, and nobody from anybody.
const DIGEST_BYTES: usize = 8;

/// How many results of `what` the caller asked for.
pub(super) fn limit(page_size: u32, what: &str) -> Result<usize, Failure> {
    match usize::try_from(page_size).unwrap_or(usize::MAX) {
        0 => Ok(PAGE_DEFAULT),
        size if size <= PAGE_MAX => Ok(size),
        _ => {
            let rule = format!("at most {PAGE_MAX} {what}");
            Err(Failure::field(Reason::PageTooLarge, "page_size", &rule))
        }
    }
}

/// A request without its page size and token: what a token is bound to.
#[derive(Debug)]
pub(super) struct Bound(Sha256);

impl Bound {
    /// Of this request, whose page fields are empty.
    pub(super) fn to(rpc: &str, request: &impl Message) -> Self {
        Self(
            Sha256::new()
                .chain_update(rpc)
                .chain_update([0])
                .chain_update(request.encode_to_vec()),
        )
    }

    /// The token of these places.
    pub(super) fn token<const N: usize>(&self, places: [u64; N]) -> String {
        let words: Vec<String> = places.iter().map(u64::to_string).collect();
        let places = words.join("-");
        let digest = self.0.clone().chain_update(&places).finalize();
        let digest = digest.iter().take(DIGEST_BYTES);
        digest.fold(format!("{places}-"), |token, byte| {
            format!("{token}{byte:02x}")
        })
    }

    /// The places of a token; `None` without one.
    pub(super) fn places<const N: usize>(&self, token: &str) -> Result<Option<[u64; N]>, Failure> {
        if token.is_empty() {
            return Ok(None);
        }
        let mut words = token.split('-');
        let mut places = [0; N];
        for place in &mut places {
            let word = words.next().and_then(|word| word.parse().ok());
            *place = word.ok_or_else(not_ours)?;
        }
        if self.token(places) == token {
            Ok(Some(places))
        } else {
            Err(not_ours())
        }
    }
}

fn not_ours() -> Failure {
    let rule = "next_page_token of the same request";
    Failure::field(Reason::InvalidRequest, "page_token", rule)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aimslog_proto::pb::v1 as pb;

    fn bound(kind: &str) -> Bound {
        let request = pb::ListRegisterRequest {
            organization: "acme".to_owned(),
            kind: kind.to_owned(),
            ..pb::ListRegisterRequest::default()
        };
        Bound::to("ListRegister", &request)
    }

    #[test]
    fn a_token_reads_back_for_its_own_request_alone() {
        let token = bound("finding").token([7, u64::MAX]);
        let places = bound("finding").places(&token).unwrap();
        assert_eq!(places, Some([7, u64::MAX]));
        assert_eq!(bound("finding").places::<2>("").unwrap(), None);
        let other = bound("risk").places::<2>(&token).unwrap_err();
        assert_eq!(other.reason(), Reason::InvalidRequest);
        assert!(bound("finding").places::<1>(&token).is_err(), "fewer");
        assert!(bound("finding").places::<3>(&token).is_err(), "more");
        let request = pb::ListRegisterRequest::default();
        assert_ne!(
            Bound::to("a", &request).token([1]),
            Bound::to("b", &request).token([1])
        );
    }

    #[test]
    fn whatever_is_no_token_is_refused_as_such() {
        let token = bound("finding").token([12, 34]);
        for place in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[place] = if changed[place] == b'1' { b'2' } else { b'1' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(bound("finding").places::<2>(&changed).is_err(), "{changed}");
            let cut: String = token.chars().take(place).collect();
            assert!(cut.is_empty() || bound("finding").places::<2>(&cut).is_err());
        }
        let huge = "9".repeat(100_000);
        let garbage = ["-", "v1/1/2/finding/", "1-2-", "é-1", "+1-2-00", &huge];
        for garbage in garbage {
            let refused = bound("finding").places::<2>(garbage).unwrap_err();
            assert!(refused.to_string().contains("page_token"), "{refused}");
        }
    }

    #[test]
    fn a_page_has_a_size() {
        assert_eq!(limit(0, "records").unwrap(), PAGE_DEFAULT);
        assert_eq!(limit(1_000, "records").unwrap(), PAGE_MAX);
        let refused = limit(1_001, "records").unwrap_err();
        assert_eq!(refused.reason(), Reason::PageTooLarge);
    }
}
