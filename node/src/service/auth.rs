//! Who reads: the token of a call, and whose key it is.
//!
//! The form of read tokens and their checks are the protocol's (`aimslog_proto::token`); the registry
//! of the log says whose key signed one.

use aimslog_proto::reason::Reason;
use aimslog_proto::statement::key::{PublicKey, Thumbprint};
use aimslog_proto::token::{self, UnverifiedToken};
use tonic::metadata::MetadataMap;

use crate::service::status::Failure;

/// Whose key a thumbprint is, as the registry says now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyHolder {
    /// The organisation of the principal.
    pub organization: String,
    /// The principal.
    pub principal: String,
    /// Its key.
    pub key: PublicKey,
}

/// A caller whose token was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reader {
    /// The organisation whose records the caller may read.
    pub organization: String,
    /// The principal that signed the token.
    pub principal: String,
}

/// Why a token is no proof of who calls. The caller learns it: it is about the token alone.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// No `authorization: Bearer` metadata.
    #[error("the call carries no read token (authorization: Bearer ...)")]
    Missing,
    /// The token itself.
    #[error("{0}")]
    Refused(#[source] token::TokenError),
    /// No active principal has this key, or the signature does not verify: the two look alike.
    #[error("the key of the read token is not registered, or the signature does not verify")]
    Unknown,
}

impl From<TokenError> for Failure {
    fn from(error: TokenError) -> Self {
        Self::new(Reason::Unauthenticated, error.to_string())
    }
}

/// What a token is checked against.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// The service id.
    pub audience: &'a str,
    /// Unix seconds.
    pub now: u64,
}

/// The reader that the metadata of a call prove, under a registry that `holder` asks.
///
/// `holder` is given the thumbprint and answers for active principals only.
pub fn reader(
    metadata: &MetadataMap,
    expected: Expected<'_>,
    holder: impl FnOnce(&Thumbprint) -> Option<KeyHolder>,
) -> Result<Reader, TokenError> {
    let value = metadata.get("authorization").ok_or(TokenError::Missing)?;
    let text = value.to_str().map_err(|_not_ascii| TokenError::Missing)?;
    let (scheme, token) = text.split_once(' ').ok_or(TokenError::Missing)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(TokenError::Missing);
    }
    let token = UnverifiedToken::parse(token).map_err(TokenError::Refused)?;
    let holder = holder(&token.key()).ok_or(TokenError::Unknown)?;
    token
        .verify(&holder.key, expected.audience, expected.now)
        .map_err(|error| match error {
            token::TokenError::Signature(_) => TokenError::Unknown,
            other => TokenError::Refused(other),
        })?;
    Ok(Reader {
        organization: holder.organization,
        principal: holder.principal,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use aimslog_proto::statement::key::SigningKey;

    const NOW: u64 = 1_800_000_000;
    const AUDIENCE: &str = "ledger.example.com/aims1";

    fn check(authorization: &str) -> Result<Reader, TokenError> {
        let mut metadata = MetadataMap::new();
        metadata.insert("authorization", authorization.parse().unwrap());
        let expected = Expected {
            audience: AUDIENCE,
            now: NOW,
        };
        let key = SigningKey::from_seed(&[3; 32]).public_key();
        reader(&metadata, expected, |thumbprint| {
            (*thumbprint == key.thumbprint()).then(|| KeyHolder {
                organization: "acme".to_owned(),
                principal: "p-1".to_owned(),
                key,
            })
        })
    }

    fn mint(seed: u8, audience: &str, now: u64) -> String {
        let key = SigningKey::from_seed(&[seed; 32]);
        format!("Bearer {}", token::mint(&key, audience, now, 300).unwrap())
    }

    #[test]
    fn accepts_a_fresh_token_of_a_registered_key() {
        let reader = check(&mint(3, AUDIENCE, NOW)).unwrap();
        assert_eq!(reader.organization, "acme");
        assert_eq!(reader.principal, "p-1");
    }

    #[test]
    fn refuses_other_keys_audiences_times_and_schemes() {
        let refused = |text: &str| check(text).unwrap_err();
        assert!(matches!(
            refused(&mint(4, AUDIENCE, NOW)),
            TokenError::Unknown
        ));
        assert!(matches!(
            refused(&mint(3, "other", NOW)),
            TokenError::Refused(_)
        ));
        assert!(matches!(
            refused(&mint(3, AUDIENCE, NOW - 361)),
            TokenError::Refused(_)
        ));
        assert!(matches!(
            refused(&mint(3, AUDIENCE, NOW + 61)),
            TokenError::Refused(_)
        ));
        assert!(matches!(refused("Basic abc"), TokenError::Missing));
        assert!(matches!(refused("Bearer"), TokenError::Missing));
        assert!(matches!(refused("Bearer a.b.c"), TokenError::Refused(_)));
    }

    #[test]
    fn a_signature_by_another_key_looks_like_an_unknown_key() {
        let good = mint(3, AUDIENCE, NOW);
        let (input, _) = good.rsplit_once('.').unwrap();
        let other = mint(4, AUDIENCE, NOW);
        let (_, signature) = other.rsplit_once('.').unwrap();
        let swapped = check(&format!("{input}.{signature}")).unwrap_err();
        assert!(matches!(swapped, TokenError::Unknown));
    }
}
