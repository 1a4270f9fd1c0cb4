//! Tokens that were verified, by their hash: a caller shows the same one for minutes, and its
//! signature need be checked once.
//!
//! What is remembered is only that the signature is that of the key. Whether the key may read, and
//! whether the token has expired, is asked anew each time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use aimslog_proto::limits::TOKEN_SKEW_SECONDS;
use aimslog_proto::token::ReadToken;
use sha2::{Digest as _, Sha256};

/// How many are remembered, of some 100 bytes each. Where all are fresh none is forgotten for a new
/// one, which is then checked each time.
const TOKENS_MAX: usize = 16 << 10;

/// The tokens that this node verified lately.
#[derive(Debug, Default)]
pub struct VerifiedTokens(Mutex<HashMap<[u8; 32], ReadToken>>);

impl VerifiedTokens {
    /// What the token said, if it was verified before and has not expired at `now` (Unix seconds).
    pub fn get(&self, token: &str, now: u64) -> Option<ReadToken> {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = tokens.get(&hash(token))?;
        is_fresh(known, now).then(|| known.clone())
    }

    /// Remembers a token whose signature was verified.
    pub fn remember(&self, token: &str, verified: &ReadToken, now: u64) {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() >= TOKENS_MAX {
            tokens.retain(|_, known| is_fresh(known, now));
        }
        if tokens.len() < TOKENS_MAX {
            tokens.insert(hash(token), verified.clone());
        }
    }
}

fn is_fresh(token: &ReadToken, now: u64) -> bool {
    now.saturating_sub(token.expires_at) <= TOKEN_SKEW_SECONDS
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aimslog_proto::statement::key::SigningKey;

    fn token(expires_at: u64) -> ReadToken {
        ReadToken {
            key: SigningKey::from_seed(&[1; 32]).public_key().thumbprint(),
            expires_at,
        }
    }

    #[test]
    fn a_token_is_known_until_it_expires() {
        let known = VerifiedTokens::default();
        known.remember("a.b.c", &token(1_000), 900);
        assert_eq!(
            known.get("a.b.c", 1_000 + TOKEN_SKEW_SECONDS),
            Some(token(1_000))
        );
        assert_eq!(known.get("a.b.c", 1_001 + TOKEN_SKEW_SECONDS), None);
        assert_eq!(known.get("a.b.d", 900), None);
    }

    #[test]
    fn the_memory_is_bounded_and_expired_tokens_make_room() {
        let known = VerifiedTokens::default();
        for number in 0..=TOKENS_MAX {
            known.remember(&number.to_string(), &token(1_000), 900);
        }
        assert_eq!(known.0.lock().unwrap().len(), TOKENS_MAX);
        assert_eq!(known.get(&TOKENS_MAX.to_string(), 900), None);
        known.remember("new", &token(5_000), 4_000);
        assert_eq!(known.0.lock().unwrap().len(), 1);
        assert!(known.get("new", 4_000).is_some());
    }
}
