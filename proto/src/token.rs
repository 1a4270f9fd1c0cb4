//! Read tokens: self-signed JSON Web Tokens (RFC 7519, RFC 8037) that say "the holder of this key
//! asks, now, this service". There is no password and no second directory of users: whether the key
//! may read is decided by the registry.
//!
//! One algorithm (`EdDSA`), one type (`aimslog-read+jwt`) and four claims are all there is. Anything
//! else, `none` above all, does not parse, which is why this is written out instead of configured
//! into a general library.
//!
//! ```text
//! {"alg":"EdDSA","kid":"<thumbprint>","typ":"aimslog-read+jwt"}
//! {"aud":"<service id>","exp":<seconds>,"iat":<seconds>}
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::limits::{TOKEN_BYTES_MAX, TOKEN_LIFETIME_SECONDS_MAX, TOKEN_SKEW_SECONDS};
use crate::reason::Reason;
use crate::statement::key::{KeyError, PublicKey, Signature, Signer, SignerError, Thumbprint};

const ALGORITHM: &str = "EdDSA";
const TYPE: &str = "aimslog-read+jwt";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    kid: String,
    typ: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    aud: String,
    exp: u64,
    iat: u64,
}

/// Why a token is not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Not three base64url parts of a known form, or too long.
    #[error("the token is malformed: {rule}")]
    Malformed {
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// Another algorithm than `EdDSA`.
    #[error("the token's alg must be EdDSA")]
    Algorithm,
    /// Another type than `aimslog-read+jwt`.
    #[error("the token's typ must be aimslog-read+jwt")]
    Type,
    /// It is addressed to another service.
    #[error("the token is for another service")]
    Audience,
    /// `exp` lies before `iat`, or more than five minutes after it.
    #[error(
        "a token lives for at most {TOKEN_LIFETIME_SECONDS_MAX} seconds, this one for {seconds}"
    )]
    Lifetime {
        /// The claimed lifetime.
        seconds: i128,
    },
    /// `exp` has passed.
    #[error("the token expired {seconds} seconds ago")]
    Expired {
        /// How long ago.
        seconds: u64,
    },
    /// `iat` lies ahead.
    #[error("the token was made {seconds} seconds in the future: the caller's clock is wrong")]
    Early {
        /// How far ahead.
        seconds: u64,
    },
    /// The signature is not of the named key.
    #[error("the token's signature does not verify")]
    Signature(#[source] KeyError),
}

impl TokenError {
    /// The reason that crosses gRPC: every one of these is a matter of who the caller is.
    pub const fn reason(&self) -> Reason {
        Reason::Unauthenticated
    }
}

/// Makes a token for `audience` (a service id) that is valid from `now` for `lifetime` seconds, at
/// most [`TOKEN_LIFETIME_SECONDS_MAX`].
pub fn mint(
    signer: &dyn Signer,
    audience: &str,
    now: u64,
    lifetime: u64,
) -> Result<String, SignerError> {
    let header = Header {
        alg: ALGORITHM.to_owned(),
        kid: signer.public_key().thumbprint().to_string(),
        typ: TYPE.to_owned(),
    };
    let lifetime = lifetime.min(TOKEN_LIFETIME_SECONDS_MAX);
    let claims = Claims {
        aud: audience.to_owned(),
        exp: now.saturating_add(lifetime),
        iat: now,
    };
    let input = format!("{}.{}", encode(&header), encode(&claims));
    let signature = signer.sign(input.as_bytes())?;
    Ok(format!(
        "{input}.{}",
        URL_SAFE_NO_PAD.encode(signature.as_bytes())
    ))
}

fn encode(part: &impl Serialize) -> String {
    // Structs of strings and integers have no way to fail; an empty part would not verify.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(part).unwrap_or_default())
}

/// A token that was read but not checked: it only says which key to check it with.
#[derive(Debug)]
pub struct UnverifiedToken<'a> {
    key: Thumbprint,
    audience: String,
    issued_at: u64,
    expires_at: u64,
    input: &'a str,
    signature: Signature,
}

/// A token whose signature, audience and times were checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadToken {
    /// The key that signed it.
    pub key: Thumbprint,
    /// From when on it is refused, without the skew, in Unix seconds.
    pub expires_at: u64,
}

impl<'a> UnverifiedToken<'a> {
    /// Reads the compact form `header.claims.signature`.
    pub fn parse(text: &'a str) -> Result<Self, TokenError> {
        let malformed = |rule| TokenError::Malformed { rule };
        if text.len() > TOKEN_BYTES_MAX {
            return Err(malformed("at most 2,048 bytes"));
        }
        let parts = || malformed("three parts with dots between");
        let (input, signature) = text.rsplit_once('.').ok_or_else(parts)?;
        let (header, claims) = input.split_once('.').ok_or_else(parts)?;
        let header: Header = decode(header, "a JSON header of alg, kid and typ")?;
        if header.alg != ALGORITHM {
            return Err(TokenError::Algorithm);
        }
        if header.typ != TYPE {
            return Err(TokenError::Type);
        }
        let claims: Claims = decode(claims, "JSON claims of aud, exp and iat")?;
        let key = Thumbprint::parse(&header.kid)
            .map_err(|_not_a_thumbprint| malformed("kid is a key thumbprint in base64url"))?;
        let signature = URL_SAFE_NO_PAD
            .decode(signature)
            .ok()
            .and_then(|bytes| <[u8; 64]>::try_from(bytes.as_slice()).ok())
            .map(Signature)
            .ok_or_else(|| malformed("a signature of 64 bytes in base64url"))?;
        Ok(Self {
            key,
            audience: claims.aud,
            issued_at: claims.iat,
            expires_at: claims.exp,
            input,
            signature,
        })
    }

    /// The key that the token claims to be signed by.
    pub const fn key(&self) -> Thumbprint {
        self.key
    }

    /// Checks the token with the registered key of that thumbprint, for the service `audience`, at
    /// the time `now` in Unix seconds.
    pub fn verify(
        &self,
        key: &PublicKey,
        audience: &str,
        now: u64,
    ) -> Result<ReadToken, TokenError> {
        if key.thumbprint() != self.key {
            return Err(TokenError::Malformed {
                rule: "kid is the thumbprint of the key",
            });
        }
        if self.audience != audience {
            return Err(TokenError::Audience);
        }
        let lifetime = i128::from(self.expires_at) - i128::from(self.issued_at);
        if !(0..=i128::from(TOKEN_LIFETIME_SECONDS_MAX)).contains(&lifetime) {
            return Err(TokenError::Lifetime { seconds: lifetime });
        }
        let expired_for = now.saturating_sub(self.expires_at);
        if expired_for > TOKEN_SKEW_SECONDS {
            return Err(TokenError::Expired {
                seconds: expired_for,
            });
        }
        let early_by = self.issued_at.saturating_sub(now);
        if early_by > TOKEN_SKEW_SECONDS {
            return Err(TokenError::Early { seconds: early_by });
        }
        key.verify(self.input.as_bytes(), &self.signature)
            .map_err(TokenError::Signature)?;
        Ok(ReadToken {
            key: self.key,
            expires_at: self.expires_at,
        })
    }
}

fn decode<T: for<'de> Deserialize<'de>>(part: &str, rule: &'static str) -> Result<T, TokenError> {
    URL_SAFE_NO_PAD
        .decode(part)
        .ok()
        .and_then(|json| serde_json::from_slice(&json).ok())
        .ok_or(TokenError::Malformed { rule })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::key::SigningKey;

    const NOW: u64 = 1_790_000_000;

    fn key() -> SigningKey {
        SigningKey::from_seed(&[7; 32])
    }

    fn check(token: &str, audience: &str, now: u64) -> Result<ReadToken, TokenError> {
        UnverifiedToken::parse(token)?.verify(&key().public_key(), audience, now)
    }

    fn forge(header: &str, claims: &str) -> String {
        let encode = |part: &str| URL_SAFE_NO_PAD.encode(part);
        let input = format!("{}.{}", encode(header), encode(claims));
        let signature = key().sign(input.as_bytes()).unwrap();
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature.as_bytes()))
    }

    #[test]
    fn a_minted_token_verifies_within_its_time() {
        let token = mint(&key(), "log.example/a", NOW, 120).unwrap();
        assert_eq!(
            check(&token, "log.example/a", NOW).unwrap().expires_at,
            NOW + 120
        );
        assert!(check(&token, "log.example/a", NOW + 180).is_ok());
        assert!(check(&token, "log.example/a", NOW - 60).is_ok());
        let at = |now| check(&token, "log.example/a", now);
        assert!(matches!(
            at(NOW + 181),
            Err(TokenError::Expired { seconds: 61 })
        ));
        assert!(matches!(
            at(NOW - 61),
            Err(TokenError::Early { seconds: 61 })
        ));
        assert!(matches!(
            check(&token, "log.example/b", NOW),
            Err(TokenError::Audience)
        ));
    }

    #[test]
    fn a_token_of_another_key_is_refused() {
        let token = mint(&key(), "log.example/a", NOW, 120).unwrap();
        let other = SigningKey::from_seed(&[8; 32]).public_key();
        let parsed = UnverifiedToken::parse(&token).unwrap();
        assert!(parsed.verify(&other, "log.example/a", NOW).is_err());
    }

    #[test]
    fn every_changed_byte_is_refused() {
        let token = mint(&key(), "log.example/a", NOW, 120).unwrap();
        for position in 0..token.len() {
            for replacement in [b'A', b'_', b'.', b'=', b' '] {
                let mut bytes = token.clone().into_bytes();
                if bytes[position] == replacement {
                    continue;
                }
                bytes[position] = replacement;
                let changed = String::from_utf8(bytes).unwrap();
                assert!(check(&changed, "log.example/a", NOW).is_err(), "{position}");
            }
        }
    }

    #[test]
    fn other_forms_are_refused_each_by_its_own_error() {
        let kid = key().public_key().thumbprint().to_string();
        let header =
            |alg: &str, typ: &str| format!(r#"{{"alg":"{alg}","kid":"{kid}","typ":"{typ}"}}"#);
        let good = header(ALGORITHM, TYPE);
        let claims = |iat: u64, exp: u64| format!(r#"{{"aud":"a","exp":{exp},"iat":{iat}}}"#);
        let fresh = claims(NOW, NOW + 60);
        assert!(check(&forge(&good, &fresh), "a", NOW).is_ok());

        let refused = |token: &str| check(token, "a", NOW).unwrap_err().to_string();
        for alg in ["none", "HS256", "ES256", "eddsa", ""] {
            let message = refused(&forge(&header(alg, TYPE), &fresh));
            assert!(message.contains("must be EdDSA"), "{alg}: {message}");
        }
        for typ in ["JWT", "aimslog-write+jwt"] {
            assert!(refused(&forge(&header(ALGORITHM, typ), &fresh)).contains("typ must be"));
        }
        let too_long = forge(&good, &claims(NOW, NOW + 301));
        assert!(refused(&too_long).contains("at most 300 seconds, this one for 301"));
        let backwards = forge(&good, &claims(NOW, NOW - 1));
        assert!(refused(&backwards).contains("this one for -1"));
        for header in [
            r#"{"alg":"EdDSA","typ":"aimslog-read+jwt"}"#,
            "{}",
            "null",
            "not json",
        ] {
            assert!(
                refused(&forge(header, &fresh)).contains("malformed"),
                "{header}"
            );
        }
        let doubled = r#"{"aud":"a","aud":"a","exp":1790000060,"iat":1790000000}"#;
        assert!(refused(&forge(&good, doubled)).contains("malformed"));
        for text in ["", ".", "..", "a.b", "a.b.c.d", &"x".repeat(3000)] {
            assert!(refused(text).contains("malformed"), "{text}");
        }
    }
}
