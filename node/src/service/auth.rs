//! Read tokens: short-lived JWTs that the reader signs with a key of the registry.
//!
//! `typ` is `aimslog-read+jwt`, `alg` is `EdDSA`, `kid` the key thumbprint in base64url, `aud` the
//! service id; `exp` lies at most five minutes after `iat`. There is no user directory and no
//! password: the registry of the log says whose key it is.
//!
//! The crate `jsonwebtoken` reads the format. Signature and times are checked here: its verifiers
//! come only with the `rsa` crate or a process-wide provider, its time check reads the wall clock
//! itself, and we demand `verify_strict` of Ed25519, as everywhere.

use aimslog_proto::reason::Reason;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signature, VerifyingKey};
use jsonwebtoken::Algorithm;
use jsonwebtoken::dangerous::insecure_decode;
use serde::Deserialize;
use tonic::metadata::MetadataMap;

use crate::service::status::Failure;

/// The type that every read token must name.
pub const TOKEN_TYPE: &str = "aimslog-read+jwt";
/// Longest token in bytes.
const TOKEN_BYTES_MAX: usize = 2_048;
/// Longest life of a token in seconds.
const LIFE_SECONDS_MAX: u64 = 300;
/// How far the reader's clock may be off ours, in seconds.
const SKEW_SECONDS: u64 = 60;

/// Whose key a thumbprint is, as the registry says now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyHolder {
    /// The organisation of the principal.
    pub organization: String,
    /// The principal.
    pub principal: String,
    /// Its Ed25519 key.
    pub key: [u8; 32],
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// No `authorization: Bearer` metadata.
    #[error("the call carries no read token (authorization: Bearer ...)")]
    Missing,
    /// Not a JWS of three parts with a JSON header and claims, or too long.
    #[error("the read token is malformed")]
    Malformed,
    /// `alg` is not `EdDSA`.
    #[error("the read token must be signed with EdDSA")]
    Algorithm,
    /// `typ` is not ours: a token for another purpose.
    #[error("the read token must have the type aimslog-read+jwt")]
    Type,
    /// `crit` names extensions that we do not know.
    #[error("the read token has critical extensions")]
    Critical,
    /// `kid` is not a thumbprint.
    #[error("the read token names no key")]
    KeyId,
    /// `aud` is another service.
    #[error("the read token is for another service")]
    Audience,
    /// `exp` has passed.
    #[error("the read token has expired")]
    Expired,
    /// `iat` lies ahead.
    #[error("the read token was issued in the future; check the clock")]
    IssuedInFuture,
    /// It lives longer than five minutes.
    #[error("the read token lives longer than 300 seconds")]
    LongLived,
    /// No active principal has this key, or the signature does not verify: the two look alike.
    #[error("the key of the read token is not registered, or the signature does not verify")]
    Unknown,
}

impl From<TokenError> for Failure {
    fn from(error: TokenError) -> Self {
        Self::new(Reason::Unauthenticated, error.to_string())
    }
}

#[derive(Debug, Deserialize)]
struct Claims {
    aud: String,
    iat: u64,
    exp: u64,
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
    holder: impl FnOnce(&[u8; 32]) -> Option<KeyHolder>,
) -> Result<Reader, TokenError> {
    let value = metadata.get("authorization").ok_or(TokenError::Missing)?;
    let text = value.to_str().map_err(|_not_ascii| TokenError::Malformed)?;
    let (scheme, token) = text.split_once(' ').ok_or(TokenError::Malformed)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(TokenError::Missing);
    }
    verify(token, expected, holder)
}

/// The reader that a token proves.
pub fn verify(
    token: &str,
    expected: Expected<'_>,
    holder: impl FnOnce(&[u8; 32]) -> Option<KeyHolder>,
) -> Result<Reader, TokenError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::Malformed);
    }
    // Nothing of this is believed before the signature has been checked below.
    let unverified = insecure_decode::<Claims>(token).map_err(|error| match error.kind() {
        // An algorithm that the crate does not know (`none`) is a JSON error of the header.
        jsonwebtoken::errors::ErrorKind::InvalidAlgorithm => TokenError::Algorithm,
        _ => TokenError::Malformed,
    })?;
    let (header, claims) = (unverified.header, unverified.claims);
    if header.alg != Algorithm::EdDSA {
        return Err(TokenError::Algorithm);
    }
    if header.typ.as_deref() != Some(TOKEN_TYPE) {
        return Err(TokenError::Type);
    }
    if header.crit.is_some() {
        return Err(TokenError::Critical);
    }
    check_claims(&claims, expected)?;
    let thumbprint = header
        .kid
        .as_deref()
        .and_then(thumbprint)
        .ok_or(TokenError::KeyId)?;
    let holder = holder(&thumbprint).ok_or(TokenError::Unknown)?;
    let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
    verify_signature(&holder.key, message, signature)?;
    Ok(Reader {
        organization: holder.organization,
        principal: holder.principal,
    })
}

fn check_claims(claims: &Claims, expected: Expected<'_>) -> Result<(), TokenError> {
    if claims.aud != expected.audience {
        return Err(TokenError::Audience);
    }
    if claims.exp <= claims.iat || claims.exp - claims.iat > LIFE_SECONDS_MAX {
        return Err(TokenError::LongLived);
    }
    if claims.iat > expected.now.saturating_add(SKEW_SECONDS) {
        return Err(TokenError::IssuedInFuture);
    }
    if claims.exp.saturating_add(SKEW_SECONDS) <= expected.now {
        return Err(TokenError::Expired);
    }
    Ok(())
}

fn thumbprint(kid: &str) -> Option<[u8; 32]> {
    URL_SAFE_NO_PAD.decode(kid).ok()?.try_into().ok()
}

fn verify_signature(key: &[u8; 32], message: &str, signature: &str) -> Result<(), TokenError> {
    let key = VerifyingKey::from_bytes(key).map_err(|_weak| TokenError::Unknown)?;
    let bytes = URL_SAFE_NO_PAD
        .decode(signature)
        .map_err(|_encoding| TokenError::Malformed)?;
    let signature = Signature::from_slice(&bytes).map_err(|_length| TokenError::Malformed)?;
    key.verify_strict(message.as_bytes(), &signature)
        .map_err(|_wrong| TokenError::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Signer as _, SigningKey};

    const NOW: u64 = 1_800_000_000;
    const AUDIENCE: &str = "ledger.example.com/aims1";

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[3; 32])
    }

    fn kid() -> String {
        URL_SAFE_NO_PAD.encode([9; 32])
    }

    fn token(header: &str, claims: &str) -> String {
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let message = format!("{}.{}", encode(header), encode(claims));
        let signature = key().sign(message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }

    fn header() -> String {
        format!(
            r#"{{"alg":"EdDSA","typ":"aimslog-read+jwt","kid":"{}"}}"#,
            kid()
        )
    }

    fn claims(iat: u64, exp: u64) -> String {
        format!(r#"{{"aud":"{AUDIENCE}","iat":{iat},"exp":{exp}}}"#)
    }

    fn check(token: &str) -> Result<Reader, TokenError> {
        verify(
            token,
            Expected {
                audience: AUDIENCE,
                now: NOW,
            },
            |thumbprint| {
                (*thumbprint == [9; 32]).then(|| KeyHolder {
                    organization: "acme".to_owned(),
                    principal: "p-1".to_owned(),
                    key: key().verifying_key().to_bytes(),
                })
            },
        )
    }

    #[test]
    fn accepts_a_fresh_token_of_a_registered_key() {
        let reader = check(&token(&header(), &claims(NOW, NOW + 300))).unwrap();
        assert_eq!(reader.organization, "acme");
        assert_eq!(reader.principal, "p-1");
        // The edges of skew and life.
        check(&token(&header(), &claims(NOW + 60, NOW + 120))).unwrap();
        check(&token(&header(), &claims(NOW - 359, NOW - 59))).unwrap();
    }

    #[test]
    fn refuses_claims_that_break_a_rule() {
        let cases = [
            ("expired", claims(NOW - 360, NOW - 60), TokenError::Expired),
            (
                "future",
                claims(NOW + 61, NOW + 120),
                TokenError::IssuedInFuture,
            ),
            ("too long", claims(NOW, NOW + 301), TokenError::LongLived),
            ("ends first", claims(NOW, NOW), TokenError::LongLived),
            ("for ever", claims(NOW, u64::MAX), TokenError::LongLived),
            (
                "aud",
                claims(NOW, NOW + 9).replace("aims1", "aims2"),
                TokenError::Audience,
            ),
            (
                "aud list",
                r#"{"aud":["a"],"iat":1,"exp":2}"#.to_owned(),
                TokenError::Malformed,
            ),
            (
                "no exp",
                r#"{"aud":"a","iat":1}"#.to_owned(),
                TokenError::Malformed,
            ),
            (
                "two exp",
                r#"{"aud":"a","iat":1,"exp":1,"exp":2}"#.to_owned(),
                TokenError::Malformed,
            ),
            (
                "negative",
                r#"{"aud":"a","iat":-1,"exp":2}"#.to_owned(),
                TokenError::Malformed,
            ),
        ];
        for (what, claims, expected) in cases {
            assert_eq!(check(&token(&header(), &claims)), Err(expected), "{what}");
        }
    }

    #[test]
    fn refuses_headers_that_break_a_rule() {
        let with = |from: &str, to: &str| header().replace(from, to);
        let cases = [
            ("alg none", with("EdDSA", "none"), TokenError::Malformed),
            ("HS256", with("EdDSA", "HS256"), TokenError::Algorithm),
            ("RS256", with("EdDSA", "RS256"), TokenError::Algorithm),
            ("typ JWT", with("aimslog-read+jwt", "JWT"), TokenError::Type),
            ("typ case", with("read+jwt", "READ+jwt"), TokenError::Type),
            (
                "no typ",
                with(r#""typ":"aimslog-read+jwt","#, ""),
                TokenError::Type,
            ),
            (
                "crit",
                with("{", r#"{"crit":["b64"],"#),
                TokenError::Critical,
            ),
            ("no kid", with(r#""kid""#, r#""kit""#), TokenError::KeyId),
            ("kid short", with(&kid(), "abcd"), TokenError::KeyId),
            (
                "kid other",
                with(&kid(), &URL_SAFE_NO_PAD.encode([8; 32])),
                TokenError::Unknown,
            ),
            (
                "two alg",
                with("{", r#"{"alg":"EdDSA","#),
                TokenError::Malformed,
            ),
        ];
        for (what, header, expected) in cases {
            assert_eq!(
                check(&token(&header, &claims(NOW, NOW + 9))),
                Err(expected),
                "{what}"
            );
        }
    }

    #[test]
    fn every_changed_byte_is_refused() {
        let good = token(&header(), &claims(NOW, NOW + 300));
        for position in 0..good.len() {
            let mut bytes = good.clone().into_bytes();
            bytes[position] = if bytes[position] == b'A' { b'B' } else { b'A' };
            let bad = String::from_utf8(bytes).unwrap();
            assert!(check(&bad).is_err(), "byte {position}");
        }
        for cut in 0..good.len() {
            assert!(check(good.get(..cut).unwrap()).is_err(), "cut at {cut}");
        }
        assert_eq!(check(&format!("{good}.")), Err(TokenError::Malformed));
        assert_eq!(check(&"a".repeat(2_049)), Err(TokenError::Malformed));
    }

    #[test]
    fn metadata_need_a_bearer_token() {
        let expected = Expected {
            audience: AUDIENCE,
            now: NOW,
        };
        let mut metadata = MetadataMap::new();
        assert_eq!(
            reader(&metadata, expected, |_| None),
            Err(TokenError::Missing)
        );
        for (value, error) in [
            ("Basic abc", TokenError::Missing),
            ("Bearer", TokenError::Malformed),
            ("Bearer a.b.c", TokenError::Malformed),
        ] {
            metadata.insert("authorization", value.parse().unwrap());
            assert_eq!(reader(&metadata, expected, |_| None), Err(error), "{value}");
        }
    }
}
