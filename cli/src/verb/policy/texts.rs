//! Changing a policy text: another key or log key, a witness more, a witness less. Everything else stays as it
//! is, comments too.

use std::str::FromStr as _;

use aimslog_client::admin::Cluster;
use aimslog_proto::system::{PolicyChange, PolicyTexts};
use aimslog_proto::tlog::{Policy, VerifierKey};
use anyhow::Result;

use crate::context::Context;
use crate::exit::UserError;
use crate::verb::agreed::{Agreed, Outcome};

/// The policies in force, as a node says. A change of others than those in force is refused, for it
/// names what it replaces.
pub(crate) async fn in_force(context: &Context) -> Result<PolicyTexts> {
    let info = context.public_ledger()?.unverified_info().await?;
    Ok(PolicyTexts {
        publish: info.publish_policy,
        trust: info.trust_policy,
    })
}

/// Logs the change from one pair of policies to the next.
pub(crate) async fn change(
    agreed: &Agreed<'_>,
    cluster: &Cluster,
    (before, after): (&PolicyTexts, &PolicyTexts),
) -> Result<Outcome> {
    let record = PolicyChange {
        predecessor: before.digest(),
        texts: after.clone(),
        approvals: Vec::new(),
    };
    agreed.log(cluster, ("policy.cose", record), None).await
}

/// Whether a witness line of the policy has a key of this name.
pub(crate) fn names_key(text: &str, name: &str) -> bool {
    Policy::parse(text.as_bytes()).is_ok_and(|policy| {
        let mut witnesses = policy.witnesses().iter();
        witnesses.any(|witness| witness.key.name().as_str() == name)
    })
}

/// A policy text with another key in the place of the key named `old`. A witness that is called
/// like its key is called like the new one from then on; everything else stays as it is.
pub(crate) fn swap(text: &str, old: &str, new: &VerifierKey) -> Result<String> {
    let mut renamed: Option<String> = None;
    let mut found = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        if let [kind, name, key, ..] = words.as_mut_slice()
            && kind == "witness"
            && VerifierKey::from_str(key).is_ok_and(|key| key.name().as_str() == old)
        {
            found = true;
            *key = new.to_string();
            if name == old {
                renamed = Some(new.name().to_string());
            }
        }
        if let Some(renamed) = &renamed
            && words
                .first()
                .is_some_and(|kind| ["witness", "group", "quorum"].contains(&kind.as_str()))
        {
            for word in words.iter_mut().skip(1).filter(|word| *word == old) {
                word.clone_from(renamed);
            }
        }
        lines.push(words.join(" "));
    }
    if !found {
        return Err(UserError::usage(format!(
            "OLD: the policy in force has no key of {old}"
        )));
    }
    checked(&lines)
}

/// A policy text with another log key in the place of this one.
pub(crate) fn swap_log(text: &str, old: &VerifierKey, new: &VerifierKey) -> Result<String> {
    let key = old.to_string();
    let is_old = |line: &str| {
        let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
        words.next() == Some("log") && words.next() == Some(key.as_str())
    };
    if !text.lines().any(is_old) {
        return Err(UserError::usage(format!(
            "--possession: the policy in force has no log key {key}; make the file again on a voter \
             (aimslogd rotate --key log)"
        )));
    }
    let lines = text.lines().map(|line| {
        if is_old(line) {
            line.replacen(&key, &new.to_string(), 1)
        } else {
            line.to_owned()
        }
    });
    checked(&lines.collect::<Vec<_>>())
}

/// The text with one more witness, which is known and not asked for: whether it has cosigned a head
/// is told, and a head without it counts as before.
pub(crate) fn add_witness(text: &str, (name, key): (&str, &VerifierKey)) -> Result<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let is_key = |line: &String| line.starts_with("log ") || line.starts_with("witness ");
    // Behind the keys and in front of the groups, which name only what stands before them.
    let behind = lines.iter().rposition(is_key).map_or(0, |last| last + 1);
    lines.insert(behind, format!("witness {name} {key}"));
    checked(&lines)
}

/// The text without the witness of this name, or whose key has this name.
pub(crate) fn remove_witness(text: &str, name: &str) -> Result<String> {
    let policy = Policy::parse(text.as_bytes())
        .map_err(|error| UserError::usage(format!("the policy in force is none: {error}")))?;
    let mut witnesses = policy.witnesses().iter();
    let Some(found) = witnesses.find(|witness| {
        witness.name.as_bytes() == name.as_bytes() || witness.key.name().as_str() == name
    }) else {
        let known: Vec<String> = policy
            .witnesses()
            .iter()
            .map(|it| it.name.to_string())
            .collect();
        return Err(UserError::usage(format!(
            "NAME: the policy in force has no witness {name}; it has {}",
            known.join(", ")
        )));
    };
    let asked_for = policy.quorum() == Some(&found.name)
        || policy
            .groups()
            .iter()
            .any(|group| group.members.contains(&found.name));
    if asked_for {
        return Err(UserError::usage(format!(
            "NAME: the quorum counts on {name}; only a witness that is known and not asked for can be \
             removed, and nodes are replaced (cluster replace)"
        )));
    }
    let start = format!("witness {} ", found.name);
    let lines = text.lines().filter(|line| !line.starts_with(&start));
    checked(&lines.map(str::to_owned).collect::<Vec<_>>())
}

/// The lines as a text, if that is a policy.
fn checked(lines: &[String]) -> Result<String> {
    let text = format!("{}\n", lines.join("\n"));
    Policy::parse(text.as_bytes())
        .map_err(|error| UserError::usage(format!("the new policy would be none: {error}")))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use aimslog_proto::statement::evidence::EvidenceFile;
    use aimslog_proto::statement::statement::UnverifiedStatement;
    use aimslog_proto::system::{Genesis, Payload as _};

    use super::*;

    const GOLDEN: &[u8] = include_bytes!("../../../../proto/tests/golden/evidence-v1.json");

    fn genesis() -> Genesis {
        let file = EvidenceFile::parse(GOLDEN).unwrap();
        let first = UnverifiedStatement::parse(&file.chain[0].statement).unwrap();
        Genesis::decode(first.payload()).unwrap()
    }

    #[test]
    fn swaps_the_key_of_one_witness_and_nothing_else() {
        let genesis = genesis();
        let [first, second, third] = [0, 1, 2].map(|at| genesis.nodes[at].cosigner.clone());
        let policy = Policy::threshold(&genesis.log_key, &[first.clone(), second.clone()], 2);
        let text = String::from_utf8(policy.unwrap().as_bytes().to_vec()).unwrap();
        let swapped = swap(&text, second.name().as_str(), &third).unwrap();
        let expected = Policy::threshold(&genesis.log_key, &[first, third.clone()], 2).unwrap();
        assert_eq!(swapped.as_bytes(), expected.as_bytes());
        assert!(!names_key(&swapped, second.name().as_str()));
        assert!(names_key(&swapped, third.name().as_str()));
    }

    #[test]
    fn swaps_a_log_key_and_nothing_else() {
        let genesis = genesis();
        let (before, old) = (&genesis.policy.trust, &genesis.log_key);
        let name = old.name().clone();
        let new = VerifierKey::ed25519(name, &ed25519(9));
        let swapped = swap_log(before, old, &new).unwrap();
        assert_eq!(swapped, before.replace(&old.to_string(), &new.to_string()));
        assert_eq!(swap_log(&swapped, &new, old).unwrap(), *before);
        let twice = swap_log(&swapped, old, &new).unwrap_err().to_string();
        assert!(twice.contains("has no log key"), "{twice}");
        let comment = format!("# log {old}\nlog\t{old} https://l.example\n");
        let text = before.replacen(&format!("log {old}\n"), &comment, 1);
        let expected = format!("# log {old}\nlog\t{new} https://l.example\n");
        let swapped = swap_log(&text, old, &new).unwrap();
        assert!(swapped.starts_with(&expected), "{swapped}");
    }

    #[test]
    fn a_witness_with_a_name_of_its_own_keeps_it() {
        let genesis = genesis();
        let second = genesis.nodes[1].cosigner.clone();
        let other = VerifierKey::cosignature_v1(
            aimslog_proto::tlog::KeyName::new(format!("{}/node/4", genesis.origin)).unwrap(),
            &ed25519(9),
        );
        let swapped = swap(&genesis.policy.trust, second.name().as_str(), &other).unwrap();
        assert_eq!(
            swapped.matches(" n2").count(),
            genesis.policy.trust.matches(" n2").count()
        );
        assert!(swapped.contains(&other.to_string()));
    }

    fn ed25519(seed: u8) -> ed25519_dalek::VerifyingKey {
        ed25519_dalek::SigningKey::from_bytes(&[seed; 32]).verifying_key()
    }

    #[test]
    fn a_node_that_the_policy_does_not_name_cannot_be_replaced_in_it() {
        let genesis = genesis();
        let key = genesis.nodes[0].cosigner.clone();
        assert!(swap(&genesis.policy.publish, "elsewhere/node/9", &key).is_err());
    }

    fn witness(seed: u8) -> VerifierKey {
        let name = aimslog_proto::tlog::KeyName::new("witness.example.org/w1").unwrap();
        VerifierKey::cosignature_v1(name, &ed25519(seed))
    }

    #[test]
    fn a_witness_comes_and_goes_and_the_quorum_stays() {
        let genesis = genesis();
        let before = genesis.policy.trust;
        let key = witness(9);
        let with = add_witness(&before, ("w1", &key)).unwrap();
        let policy = |text: &str| Policy::parse(text.as_bytes()).unwrap();
        let (old, new) = (policy(&before), policy(&with));
        assert_eq!(new.witnesses().len(), old.witnesses().len() + 1);
        assert_eq!((new.groups(), new.quorum()), (old.groups(), old.quorum()));
        assert!(new.witnesses().iter().any(|witness| witness.key == key));
        for name in ["w1", "witness.example.org/w1"] {
            assert_eq!(remove_witness(&with, name).unwrap(), before, "{name}");
        }
        // The same key, the same name, and a key of the log.
        add_witness(&with, ("w2", &key)).unwrap_err();
        add_witness(&with, ("w1", &witness(10))).unwrap_err();
        add_witness(&with, ("w2", &genesis.log_key)).unwrap_err();
        let unknown = remove_witness(&before, "w1").unwrap_err().to_string();
        assert!(unknown.contains("no witness w1"), "{unknown}");
        let node = old.witnesses()[0].name.to_string();
        let needed = remove_witness(&with, &node).unwrap_err().to_string();
        assert!(needed.contains("the quorum counts on"), "{needed}");
    }

    #[test]
    fn a_node_with_a_new_key_keeps_its_name_and_place() {
        let genesis = genesis();
        let before = &genesis.policy.publish;
        let old = &genesis.nodes[1].cosigner;
        let new = VerifierKey::cosignature_v1(old.name().clone(), &ed25519(9));
        let swapped = swap(before, old.name().as_str(), &new).unwrap();
        assert_eq!(swapped, before.replace(&old.to_string(), &new.to_string()));
    }
}
