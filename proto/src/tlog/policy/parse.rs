//! The text of a policy: octets, lines, words.

use super::{Policy, PolicyGroup, PolicyLog, PolicyName, PolicyParseError, PolicyWitness};
use crate::limits::{POLICY_BYTES_MAX, POLICY_ITEMS_MAX};
use crate::tlog::note::{SignatureType, VerifierKey};

pub(super) fn parse(bytes: &[u8]) -> Result<Policy, PolicyParseError> {
    if bytes.len() > POLICY_BYTES_MAX {
        return Err(PolicyParseError::TooLong { got: bytes.len() });
    }
    let body = bytes
        .strip_suffix(b"\n")
        .ok_or(PolicyParseError::NoNewlineAtEnd)?;
    let mut reader = Reader::default();
    for (number, content) in (1..).zip(body.split(|byte| *byte == b'\n')) {
        reader.line = number;
        reader.read(content)?;
    }
    if !reader.has_quorum {
        return Err(PolicyParseError::NoQuorumLine);
    }
    Ok(Policy {
        bytes: bytes.to_vec(),
        logs: reader.logs,
        witnesses: reader.witnesses,
        groups: reader.groups,
        quorum: reader.quorum,
    })
}

/// What the lines so far say.
#[derive(Default)]
struct Reader {
    /// The line at hand, from 1.
    line: usize,
    logs: Vec<PolicyLog>,
    witnesses: Vec<PolicyWitness>,
    groups: Vec<PolicyGroup>,
    /// Names that are a member of a group.
    members: Vec<PolicyName>,
    /// Whether there was a quorum line.
    has_quorum: bool,
    /// What it names; `None` for `none`.
    quorum: Option<PolicyName>,
}

impl Reader {
    fn read(&mut self, content: &[u8]) -> Result<(), PolicyParseError> {
        let line = self.line;
        let control = |byte: &&u8| (**byte < 0x20 && **byte != b'\t') || **byte == 0x7f;
        if let Some(&found) = content.iter().find(control) {
            return Err(PolicyParseError::ControlCharacter { line, found });
        }
        let spaces = |byte: &u8| matches!(byte, b' ' | b'\t');
        let words: Vec<&[u8]> = content
            .split(spaces)
            .filter(|word| !word.is_empty())
            .collect();
        match words.as_slice() {
            [] => Ok(()),
            [first, ..] if first.starts_with(b"#") => Ok(()),
            [b"log", key] => self.log(key, None),
            [b"log", key, url] => self.log(key, Some(url)),
            [b"witness", name, key] => self.witness(name, key, None),
            [b"witness", name, key, url] => self.witness(name, key, Some(url)),
            [b"group", name, threshold, members @ ..] if !members.is_empty() => {
                self.group(name, threshold, members)
            }
            [b"quorum", name] => self.quorum(name),
            _ => Err(PolicyParseError::UnknownLine { line }),
        }
    }

    fn log(&mut self, key: &[u8], url: Option<&[u8]>) -> Result<(), PolicyParseError> {
        let line = self.line;
        self.check_room(self.logs.len())?;
        let key = self.key(key)?;
        if key.signature_type() == SignatureType::CosignatureV1 {
            return Err(PolicyParseError::KeyType {
                line,
                kind: key.signature_type(),
            });
        }
        self.logs.push(PolicyLog {
            key,
            url: url.map(<[u8]>::to_vec),
        });
        Ok(())
    }

    fn witness(
        &mut self,
        name: &[u8],
        key: &[u8],
        url: Option<&[u8]>,
    ) -> Result<(), PolicyParseError> {
        let line = self.line;
        self.check_room(self.witnesses.len())?;
        let name = self.new_name(name)?;
        let key = self.key(key)?;
        // A plain Ed25519 signature states no time and could be the log's own.
        match key.signature_type() {
            SignatureType::CosignatureV1 | SignatureType::MlDsa44 => {}
            kind => return Err(PolicyParseError::KeyType { line, kind }),
        }
        self.witnesses.push(PolicyWitness {
            name,
            key,
            url: url.map(<[u8]>::to_vec),
        });
        Ok(())
    }

    fn group(
        &mut self,
        name: &[u8],
        threshold: &[u8],
        members: &[&[u8]],
    ) -> Result<(), PolicyParseError> {
        let line = self.line;
        self.check_room(self.groups.len())?;
        let name = self.new_name(name)?;
        let threshold = match threshold {
            b"any" => Some(1),
            b"all" => Some(members.len()),
            number => count(number),
        };
        let threshold = threshold
            .filter(|threshold| (1..=members.len()).contains(threshold))
            .ok_or(PolicyParseError::Threshold {
                line,
                members: members.len(),
            })?;
        let mut names = Vec::with_capacity(members.len());
        for member in members {
            let member = self.known_name(member)?;
            // Each witness counts towards the quorum in one way only.
            if self.members.contains(&member) {
                return Err(PolicyParseError::MemberTwice { line, name: member });
            }
            self.members.push(member.clone());
            names.push(member);
        }
        self.groups.push(PolicyGroup {
            name,
            threshold,
            members: names,
        });
        Ok(())
    }

    fn quorum(&mut self, name: &[u8]) -> Result<(), PolicyParseError> {
        if self.has_quorum {
            return Err(PolicyParseError::SecondQuorum { line: self.line });
        }
        self.has_quorum = true;
        self.quorum = if name == b"none" {
            None
        } else {
            Some(self.known_name(name)?)
        };
        Ok(())
    }

    /// The key of a word, which no line before it has.
    fn key(&self, word: &[u8]) -> Result<VerifierKey, PolicyParseError> {
        let line = self.line;
        let text =
            str::from_utf8(word).map_err(|_not_text| PolicyParseError::UnknownLine { line })?;
        let key: VerifierKey = text
            .parse()
            .map_err(|source| PolicyParseError::Key { line, source })?;
        let logs = self.logs.iter().map(|log| &log.key);
        let mut before = logs.chain(self.witnesses.iter().map(|witness| &witness.key));
        if before.any(|other| other.material().as_bytes() == key.material().as_bytes()) {
            return Err(PolicyParseError::DuplicateKey { line });
        }
        Ok(key)
    }

    fn new_name(&self, word: &[u8]) -> Result<PolicyName, PolicyParseError> {
        let name = PolicyName(word.to_vec());
        if word == b"none" || self.is_defined(&name) {
            return Err(PolicyParseError::NameTaken {
                line: self.line,
                name,
            });
        }
        Ok(name)
    }

    fn known_name(&self, word: &[u8]) -> Result<PolicyName, PolicyParseError> {
        let name = PolicyName(word.to_vec());
        if self.is_defined(&name) {
            Ok(name)
        } else {
            Err(PolicyParseError::UnknownName {
                line: self.line,
                name,
            })
        }
    }

    fn is_defined(&self, name: &PolicyName) -> bool {
        self.witnesses.iter().any(|witness| witness.name == *name)
            || self.groups.iter().any(|group| group.name == *name)
    }

    fn check_room(&self, items: usize) -> Result<(), PolicyParseError> {
        if items < POLICY_ITEMS_MAX {
            Ok(())
        } else {
            Err(PolicyParseError::TooMany { line: self.line })
        }
    }
}

/// A decimal number without leading zeros.
fn count(word: &[u8]) -> Option<usize> {
    let text = str::from_utf8(word).ok()?;
    usize::try_from(crate::tlog::checkpoint::decimal(text)?).ok()
}

/// The lines of a policy, one space between words, thresholds as numbers.
pub(super) fn print(policy: &Policy) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut line = |words: &[&[u8]]| {
        bytes.extend_from_slice(&words.join(&b' '));
        bytes.push(b'\n');
    };
    for log in &policy.logs {
        let key = log.key.to_string();
        let words = [b"log", key.as_bytes()];
        line(&with_url(&words, log.url.as_deref()));
    }
    for witness in &policy.witnesses {
        let key = witness.key.to_string();
        let words = [
            b"witness".as_slice(),
            witness.name.as_bytes(),
            key.as_bytes(),
        ];
        line(&with_url(&words, witness.url.as_deref()));
    }
    for group in &policy.groups {
        let threshold = group.threshold.to_string();
        let mut words = vec![
            b"group".as_slice(),
            group.name.as_bytes(),
            threshold.as_bytes(),
        ];
        words.extend(group.members.iter().map(PolicyName::as_bytes));
        line(&words);
    }
    let quorum = policy
        .quorum
        .as_ref()
        .map_or(b"none".as_slice(), PolicyName::as_bytes);
    line(&[b"quorum", quorum]);
    bytes
}

fn with_url<'a>(words: &[&'a [u8]], url: Option<&'a [u8]>) -> Vec<&'a [u8]> {
    words.iter().copied().chain(url).collect()
}
