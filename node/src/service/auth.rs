//! Who reads: the token of a call, checked under the registry of this node.
//!
//! The form of tokens is `aimslog_proto::token`. There is no user directory and no password: the
//! registry of the log says whose key it is, and a key that is not active reads nothing.

use aimslog_proto::reason::Reason;
use aimslog_proto::statement::key::{PublicKey, Thumbprint};
use aimslog_proto::token::{ReadToken, TokenError, UnverifiedToken};
use tonic::metadata::MetadataMap;

use crate::service::quotas::Charged;
use crate::service::status::Failure;
use crate::service::tokens::VerifiedTokens;

/// Whose key a thumbprint is, as the registry says now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyHolder {
    /// The organisation of the principal.
    pub organization: String,
    /// The principal.
    pub principal: String,
    /// Its Ed25519 key.
    pub key: PublicKey,
}

/// A caller whose token was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reader {
    /// The organisation whose records the caller may read.
    pub organization: String,
    /// The principal that signed the token.
    pub principal: String,
    /// The key that signed it.
    pub key: Thumbprint,
}

impl Reader {
    /// Whom a call is charged to.
    pub fn charged(&self) -> Charged<'_> {
        Charged {
            key: &self.key,
            organization: &self.organization,
        }
    }
}

/// Why nobody is known to call. The caller learns it: it is about the token alone.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// No `authorization: Bearer` metadata.
    #[error("the call carries no read token (authorization: Bearer ...)")]
    Missing,
    /// The token itself.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// No active principal reads with this key.
    #[error(
        "the key of the token is not registered, not active any more, or not the one for reading"
    )]
    UnknownKey,
}

impl From<AuthError> for Failure {
    fn from(error: AuthError) -> Self {
        Self::new(Reason::Unauthenticated, error.to_string())
    }
}

/// What a token is checked against.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// What was verified before.
    pub verified: &'a VerifiedTokens,
    /// The service id.
    pub audience: &'a str,
    /// Unix seconds.
    pub now: u64,
}

/// What the metadata of a call carry as `authorization`.
pub fn authorization(metadata: &MetadataMap) -> Result<&str, AuthError> {
    let value = metadata.get("authorization").ok_or(AuthError::Missing)?;
    value.to_str().map_err(|_not_ascii| AuthError::Missing)
}

/// The reader that the `authorization` of a call proves.
///
/// `holder` is given the thumbprint and answers for active principals only.
pub fn reader(
    authorization: &str,
    expected: Expected<'_>,
    holder: impl FnOnce(&Thumbprint) -> Option<KeyHolder>,
) -> Result<Reader, AuthError> {
    let (scheme, token) = authorization.split_once(' ').ok_or(AuthError::Missing)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(AuthError::Missing);
    }
    let Expected { verified, now, .. } = expected;
    let (key, holder) = if let Some(ReadToken { key, .. }) = verified.get(token, now) {
        (key, holder(&key).ok_or(AuthError::UnknownKey)?)
    } else {
        let parsed = UnverifiedToken::parse(token)?;
        let key = parsed.key();
        let holder = holder(&key).ok_or(AuthError::UnknownKey)?;
        let read = parsed.verify(&holder.key, expected.audience, now)?;
        verified.remember(token, &read, now);
        (key, holder)
    };
    Ok(Reader {
        organization: holder.organization,
        principal: holder.principal,
        key,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use aimslog_proto::statement::key::SigningKey;
    use aimslog_proto::token::mint;

    const NOW: u64 = 1_800_000_000;
    const AUDIENCE: &str = "ledger.example.com/aims1";

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32])
    }

    fn call(authorization: Option<&str>) -> Result<Reader, AuthError> {
        call_at(&VerifiedTokens::default(), authorization, NOW)
    }

    fn call_at(
        verified: &VerifiedTokens,
        authorization: Option<&str>,
        now: u64,
    ) -> Result<Reader, AuthError> {
        let mut metadata = MetadataMap::new();
        if let Some(value) = authorization {
            metadata.insert("authorization", value.parse().unwrap());
        }
        let known = key(3).public_key();
        reader(
            super::authorization(&metadata)?,
            Expected {
                verified,
                audience: AUDIENCE,
                now,
            },
            |thumbprint| {
                (*thumbprint == known.thumbprint()).then(|| KeyHolder {
                    organization: "acme".to_owned(),
                    principal: "p-1".to_owned(),
                    key: known,
                })
            },
        )
    }

    fn bearer(seed: u8, audience: &str, now: u64) -> String {
        format!("Bearer {}", mint(&key(seed), audience, now, 300).unwrap())
    }

    #[test]
    fn a_fresh_token_of_a_registered_key_gives_its_organisation() {
        let reader = call(Some(&bearer(3, AUDIENCE, NOW))).unwrap();
        assert_eq!(reader.organization, "acme");
        assert_eq!(reader.principal, "p-1");
        assert_eq!(reader.key, key(3).public_key().thumbprint());
    }

    #[test]
    fn a_token_that_was_verified_is_good_until_it_expires_and_its_key_is_revoked() {
        let verified = VerifiedTokens::default();
        let good = bearer(3, AUDIENCE, NOW);
        let first = call_at(&verified, Some(&good), NOW).unwrap();
        let (_, token) = good.split_once(' ').unwrap();
        assert!(verified.get(token, NOW).is_some());
        assert_eq!(call_at(&verified, Some(&good), NOW + 299).unwrap(), first);
        let late = call_at(&verified, Some(&good), NOW + 361);
        assert!(
            matches!(late, Err(AuthError::Token(TokenError::Expired { .. }))),
            "{late:?}"
        );
        let expected = Expected {
            verified: &verified,
            audience: AUDIENCE,
            now: NOW,
        };
        let revoked = reader(&good, expected, |_| None);
        assert!(matches!(revoked, Err(AuthError::UnknownKey)), "{revoked:?}");
        // Of what did not verify nothing is remembered.
        let (input, _) = token.rsplit_once('.').unwrap();
        let forged = format!("{input}.{}", "A".repeat(86));
        let result = call_at(&verified, Some(&format!("Bearer {forged}")), NOW);
        assert!(
            matches!(result, Err(AuthError::Token(TokenError::Signature(_)))),
            "{result:?}"
        );
        assert!(verified.get(&forged, NOW).is_none());
    }

    #[test]
    fn everything_else_proves_nobody() {
        use base64::Engine as _;
        let encode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
        let good = bearer(3, AUDIENCE, NOW);
        let (_, rest) = good.split_once('.').unwrap();
        let kid = key(3).public_key().thumbprint().to_string();
        let with = |alg: &str, typ: &str| {
            let header = format!(r#"{{"alg":"{alg}","kid":"{kid}","typ":"{typ}"}}"#);
            format!("Bearer {}.{rest}", encode(&header))
        };
        let cases = [
            ("unknown key", bearer(4, AUDIENCE, NOW)),
            ("expired", bearer(3, AUDIENCE, NOW - 1_000)),
            ("future", bearer(3, AUDIENCE, NOW + 1_000)),
            ("other audience", bearer(3, "ledger.example.com/aims2", NOW)),
            ("alg none", with("none", "aimslog-read+jwt")),
            ("alg HS256", with("HS256", "aimslog-read+jwt")),
            ("typ JWT", with("EdDSA", "JWT")),
            ("other scheme", good.replace("Bearer", "Basic")),
            ("no scheme", "Bearer".to_owned()),
            ("too long", format!("{good}{}", "A".repeat(4_096))),
        ];
        assert!(matches!(call(None), Err(AuthError::Missing)));
        for (what, value) in cases {
            let result = call(Some(&value));
            assert!(result.is_err(), "{what}: {result:?}");
            let failure = result.map_err(Failure::from).unwrap_err();
            assert_eq!(failure.reason(), Reason::Unauthenticated, "{what}");
        }
    }
}
