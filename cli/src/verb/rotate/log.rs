//! `aimslog cluster rotate-log-key`: another key for checkpoints while the cluster runs.
//!
//! Three records: the first names the new key beside the old one, upon which every voter gets it; the
//! second is the policy with the new key in the place of the old one, and the head that leads over is
//! signed with both; the third names the new key alone. So whoever leads can always sign.

use std::path::PathBuf;
use std::time::Duration;

use aimslog_client::ClientError;
use aimslog_client::admin::Cluster;
use aimslog_proto::pb::admin::v1::StatusResponse;
use aimslog_proto::reason::Reason;
use aimslog_proto::system::{Keys, LogKey, PolicyTexts};
use aimslog_proto::tlog::{Policy, VerifierKey};
use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::proof::LogProof;
use super::receipt::voters;
use crate::context::Context;
use crate::exit::{Exit, UserError};
use crate::keys::KeyRef;
use crate::output::Output;
use crate::verb::agreed::{Agreed, Outcome, Steps, open_keys};
use crate::verb::cluster::nodes::Nodes;
use crate::verb::policy::texts::{change, in_force, swap_log};
use crate::verb::prove::write;
use crate::verb::statement::origin;

/// Between two tries to log the policy.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Give the ledger another key for checkpoints while the cluster runs
///
/// Logs a record that names the new log key beside the old one, waits until the node where it was made
/// has handed it to every other voter (over mutual TLS), logs the policy in which it stands in the place
/// of the old one, waits for the head that leads over, which is signed with both keys, logs the record
/// that names the new key alone, and waits until every voter has removed the file of the old one. Each
/// record is signed by the operators. What verified before stays valid, and whoever holds an older policy
/// is led to the new one. Repeat the command if it was cut off: it goes on where it stopped.
#[derive(Debug, Args)]
#[command(after_help = "\
Example: aimslogd rotate --config aimslogd.toml --key log   (on any one voter)
         aimslog cluster rotate-log-key --possession log.next.toml \\
           --operator-key op1.seed --operator-key op2.seed")]
pub(crate) struct RotateLogKey {
    /// What `aimslogd rotate` wrote about the new key
    #[arg(long, value_name = "FILE")]
    possession: PathBuf,
    /// Key of an operator, a file or PKCS#11 URI; as many as genesis asks for
    #[arg(long, required = true, value_name = "KEY")]
    operator_key: Vec<KeyRef>,
    /// Where to write the new policy, which everybody who verifies needs
    #[arg(long, value_name = "FILE", default_value = "policy-new.txt")]
    policy_out: PathBuf,
    /// Seconds that the voters may take, each time they are waited for
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u64,
}

#[derive(Serialize)]
struct Rotated {
    log_key: String,
    steps: Vec<String>,
    policy: PathBuf,
}

impl RotateLogKey {
    pub(crate) async fn run(&self, context: &Context, output: Output) -> Result<Exit> {
        let origin = origin(context)?;
        let proof = LogProof::read(&self.possession, &origin)?;
        let old = proof.current.key.to_log_key(&origin);
        let new = proof.new.key.to_log_key(&origin);
        let keys = open_keys(context, &self.operator_key)?;
        let endpoints = context.admin_endpoints()?;
        let folder = format!("log-key-{}", proof.new.key.thumbprint());
        let change = Change {
            agreed: Agreed::new(context, &keys, &folder),
            cluster: Cluster::new(&endpoints)?,
            nodes: Nodes::new(&endpoints)?,
            patience: Duration::from_secs(self.wait),
            old,
            vkey: new.to_string(),
            new,
        };
        let mut steps = Steps::new(output);
        let named = change.nodes.leader(change.patience).await?.log_keys_named;
        check_named(&named, (&change.old, &change.new))?;
        // What cannot be put into the policy is refused before anything is changed.
        let next = change.policies().await;
        next.map(drop).context("nothing was changed")?;

        change.name_beside(&named, &proof, &mut steps).await?;
        let texts = change.lead_over(&mut steps).await?;
        let policy = write(&self.policy_out, texts.trust.as_bytes())?;
        change.name_alone(&named, &proof, &mut steps).await?;
        let vkey = change.vkey;
        let text = format!(
            "checkpoints are signed with {vkey} from here on\nthe new policy is in {}: give it to everybody \
             who verifies, and compare its fingerprint",
            policy.display()
        );
        let data = Rotated {
            log_key: vkey,
            steps: steps.said,
            policy,
        };
        output.data(&data, text)?;
        Ok(Exit::Ok)
    }
}

/// From one log key to another, step by step; each looks whether it is done already.
struct Change<'a> {
    agreed: Agreed<'a>,
    cluster: Cluster,
    nodes: Nodes,
    patience: Duration,
    old: VerifierKey,
    new: VerifierKey,
    /// The new one, as nodes name it.
    vkey: String,
}

impl Change<'_> {
    async fn name_beside(
        &self,
        named: &[String],
        proof: &LogProof,
        steps: &mut Steps,
    ) -> Result<()> {
        let beside = if named.contains(&self.vkey) {
            Outcome::Before
        } else {
            let record = record([proof.current.clone(), proof.new.clone()]);
            let agreed = &self.agreed;
            agreed
                .log(&self.cluster, ("beside.cose", record), None)
                .await?
        };
        steps.done(format!("the new key named beside the old one: {beside}"));
        let holds = |status: &StatusResponse| status.log_keys.contains(&self.vkey);
        self.wait_for(holds, "has not got the new key").await?;
        steps.done("every voter has it".to_owned());
        Ok(())
    }

    /// Gives the policies that are in force then.
    async fn lead_over(&self, steps: &mut Steps) -> Result<PolicyTexts> {
        let (before, after) = self.policies().await?;
        let (texts, outcome) = match after {
            Some(after) => {
                let outcome = self.switch((&before, &after)).await?;
                (after, outcome)
            }
            None => (before, Outcome::Before),
        };
        steps.done(format!(
            "policy names it in the place of the old one: {outcome}"
        ));
        let signing = [self.vkey.clone()];
        let led_over = |status: &StatusResponse| status.log_keys_signing == signing;
        let what = "has no head yet that leads from the old policy to the new one";
        self.wait_for(led_over, what).await?;
        steps.done("a head signed with both keys leads over".to_owned());
        Ok(texts)
    }

    async fn name_alone(
        &self,
        named: &[String],
        proof: &LogProof,
        steps: &mut Steps,
    ) -> Result<()> {
        let only = [self.vkey.clone()];
        let alone = if named == only {
            Outcome::Before
        } else {
            let record = record([proof.new.clone()]);
            let agreed = &self.agreed;
            agreed
                .log(&self.cluster, ("alone.cose", record), None)
                .await?
        };
        steps.done(format!("the new key named alone: {alone}"));
        let is_alone = |status: &StatusResponse| status.log_keys == only;
        self.wait_for(is_alone, "still keeps the old key").await?;
        steps.done("every voter has removed the file of the old one".to_owned());
        Ok(())
    }

    /// A voter that is down cannot be handed the key, and must not come to lead without it.
    async fn wait_for(&self, is_good: impl Fn(&StatusResponse) -> bool, what: &str) -> Result<()> {
        let judge = |answered: &[StatusResponse]| voters(answered, &is_good, what);
        let judged = self.nodes.until(self.patience, judge).await?;
        judged.map_err(|missing| {
            UserError::refused(format!(
                "{missing}; what is logged so far holds, and heads go on under the keys that it names: see \
                 to that node (`aimslog cluster status`) or replace it, and repeat the command"
            ))
        })
    }

    /// The policies in force, and those with the new key in the place of the old one; none follow where
    /// it stands in both.
    async fn policies(&self) -> Result<(PolicyTexts, Option<PolicyTexts>)> {
        let before = in_force(self.agreed.context).await?;
        let has = |text: &String| {
            Policy::parse(text.as_bytes())
                .is_ok_and(|policy| policy.logs().iter().any(|log| log.key == self.new))
        };
        if has(&before.publish) && has(&before.trust) {
            return Ok((before, None));
        }
        let swap = |text: &str| swap_log(text, &self.old, &self.new);
        let after = PolicyTexts {
            publish: swap(&before.publish)?,
            trust: swap(&before.trust)?,
        };
        Ok((before, Some(after)))
    }

    /// Logs the change of policy. The leader hears from the others once a second which keys they have,
    /// and refuses until a majority has told it.
    async fn switch(&self, texts: (&PolicyTexts, &PolicyTexts)) -> Result<Outcome> {
        let until = Instant::now() + self.patience;
        loop {
            match change(&self.agreed, &self.cluster, texts).await {
                Err(error) if is_not_told_yet(&error) && Instant::now() < until => {
                    sleep(ASK_EVERY).await;
                }
                done => return done,
            }
        }
    }
}

fn is_not_told_yet(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref::<ClientError>(),
        Some(ClientError::Refused(refusal)) if refusal.reason == Some(Reason::FailedPrecondition)
    )
}

fn record(log: impl IntoIterator<Item = LogKey>) -> Keys {
    Keys {
        receipt: Vec::new(),
        log: log.into_iter().collect(),
        approvals: Vec::new(),
    }
}

/// The file is about the key that is in force, or about one that has followed it already.
fn check_named(named: &[String], (old, new): (&VerifierKey, &VerifierKey)) -> Result<()> {
    if old == new {
        let words = "--possession: the new key is the one in use";
        return Err(UserError::usage(words));
    }
    let is_named = |key: &VerifierKey| named.contains(&key.to_string());
    if is_named(old) || is_named(new) {
        return Ok(());
    }
    Err(UserError::usage(format!(
        "--possession: the file takes {old} for the key in use, and the log has {}; make it again \
         (aimslogd rotate --key log); nothing was changed",
        named.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use aimslog_proto::statement::key::SigningKey;
    use aimslog_proto::tlog::Origin;

    use super::*;

    #[test]
    fn the_file_is_about_a_key_that_the_log_names() {
        let origin = Origin::new("ledger.example.com/aims1").unwrap();
        let key = |seed: u8| {
            let key = SigningKey::from_seed(&[seed; 32]).public_key();
            key.to_log_key(&origin)
        };
        let check = |named: &[u8], old, new| {
            let named: Vec<String> = named.iter().map(|seed| key(*seed).to_string()).collect();
            check_named(&named, (&key(old), &key(new)))
        };
        check(&[1], 1, 2).unwrap();
        check(&[1, 2], 1, 2).unwrap();
        // Repeated when all is done.
        check(&[2], 1, 2).unwrap();
        let stale = check(&[3], 1, 2).unwrap_err().to_string();
        assert!(stale.contains("make it again"), "{stale}");
        assert!(stale.contains(&key(3).to_string()), "{stale}");
        let same = check(&[1], 1, 1).unwrap_err().to_string();
        assert!(same.contains("is the one in use"), "{same}");
    }
}
