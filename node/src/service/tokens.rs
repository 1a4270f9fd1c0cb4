//! Tokens that were verified, by their hash: a caller shows the same one for minutes, and its
//! signature need be checked once.
//!
//! What is remembered is only that the signature is that of the key. Whether the key may read, and
//! whether the token has expired, is asked anew each time.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use aimslog_proto::limits::TOKEN_SKEW_SECONDS;
use aimslog_proto::statement::key::Thumbprint;
use aimslog_proto::token::ReadToken;
use sha2::{Digest as _, Sha256};

/// How many are remembered, of some 200 bytes each. Where all are fresh none is forgotten for one of
/// another key, which is then checked each time.
const TOKENS_MAX: usize = 16 << 10;
/// How many of one key, so that a caller with a new token for each call uses up no more than its part:
/// for one more its oldest is forgotten.
const TOKENS_OF_KEY_MAX: usize = 128;

/// The tokens that this node verified lately.
#[derive(Debug, Default)]
pub struct VerifiedTokens(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    tokens: HashMap<[u8; 32], ReadToken>,
    /// Those of each key in the order in which they came, each of them in `tokens`.
    by_key: HashMap<Thumbprint, VecDeque<[u8; 32]>>,
}

impl VerifiedTokens {
    /// What the token said, if it was verified before and has not expired at `now` (Unix seconds).
    pub fn get(&self, token: &str, now: u64) -> Option<ReadToken> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let token = known.tokens.get(&hash(token))?;
        is_fresh(token, now).then(|| token.clone())
    }

    /// Remembers a token whose signature was verified.
    pub fn remember(&self, token: &str, verified: &ReadToken, now: u64) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.make_room(&verified.key, now);
        if known.tokens.len() < TOKENS_MAX {
            known.insert(hash(token), verified.clone());
        }
    }
}

impl Known {
    fn make_room(&mut self, key: &Thumbprint, now: u64) {
        if let Some(own) = self.by_key.get_mut(key)
            && own.len() >= TOKENS_OF_KEY_MAX
            && let Some(oldest) = own.pop_front()
        {
            self.tokens.remove(&oldest);
        }
        if self.tokens.len() >= TOKENS_MAX {
            let tokens = &mut self.tokens;
            tokens.retain(|_, token| is_fresh(token, now));
            self.by_key.retain(|_, own| {
                own.retain(|hash| tokens.contains_key(hash));
                !own.is_empty()
            });
        }
    }

    fn insert(&mut self, hash: [u8; 32], token: ReadToken) {
        let key = token.key;
        // Two calls with one token may have verified it at once.
        if self.tokens.insert(hash, token).is_none() {
            self.by_key.entry(key).or_default().push_back(hash);
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

    fn token(seed: u8, expires_at: u64) -> ReadToken {
        ReadToken {
            key: SigningKey::from_seed(&[seed; 32]).public_key().thumbprint(),
            expires_at,
        }
    }

    #[test]
    fn a_token_is_known_until_it_expires() {
        let known = VerifiedTokens::default();
        known.remember("a.b.c", &token(1, 1_000), 900);
        assert_eq!(
            known.get("a.b.c", 1_000 + TOKEN_SKEW_SECONDS),
            Some(token(1, 1_000))
        );
        assert_eq!(known.get("a.b.c", 1_001 + TOKEN_SKEW_SECONDS), None);
        assert_eq!(known.get("a.b.d", 900), None);
    }

    #[test]
    fn one_key_uses_up_its_part_and_forgets_its_own_oldest() {
        let known = VerifiedTokens::default();
        known.remember("other", &token(2, 1_000), 900);
        for number in 0..TOKENS_MAX * 2 {
            known.remember(&number.to_string(), &token(1, 1_000), 900);
        }
        let held = known.0.lock().unwrap().tokens.len();
        assert_eq!(held, TOKENS_OF_KEY_MAX + 1);
        assert!(known.get("other", 900).is_some());
        let newest = TOKENS_MAX * 2 - 1;
        assert!(known.get(&newest.to_string(), 900).is_some());
        let forgotten = newest - TOKENS_OF_KEY_MAX;
        assert_eq!(known.get(&forgotten.to_string(), 900), None);
    }

    #[test]
    fn a_token_that_came_twice_is_remembered_once() {
        let known = VerifiedTokens::default();
        for _ in 0..2 {
            known.remember("a.b.c", &token(1, 1_000), 900);
        }
        let known = known.0.into_inner().unwrap();
        assert_eq!(known.by_key.values().map(VecDeque::len).sum::<usize>(), 1);
    }

    #[test]
    fn the_memory_is_bounded_and_expired_tokens_make_room() {
        let known = VerifiedTokens::default();
        for number in 0..=TOKENS_MAX {
            let key = u8::try_from(number / TOKENS_OF_KEY_MAX).unwrap();
            known.remember(&number.to_string(), &token(key, 1_000), 900);
        }
        assert_eq!(known.0.lock().unwrap().tokens.len(), TOKENS_MAX);
        assert_eq!(known.get(&TOKENS_MAX.to_string(), 900), None);
        known.remember("new", &token(200, 5_000), 4_000);
        let held = known.0.lock().unwrap();
        assert_eq!((held.tokens.len(), held.by_key.len()), (1, 1));
        drop(held);
        assert!(known.get("new", 4_000).is_some());
    }
}
