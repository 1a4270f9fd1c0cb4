//! What the demo does, in order, in words for somebody who runs a company and not a cluster.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aimslog_client::trust::HeadMemory;
use aimslog_client::{ClientError, EntryKey, FinishedStatement, Ledger, Outcome, Wait};
use aimslog_proto::reason::Reason;
use aimslog_proto::tlog::TreeSize;
use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::context::{Config, Settings, read_policy};
use crate::demo::auditor::{audit, flip_a_byte, two_fields};
use crate::demo::data::ATTACHMENTS;
use crate::demo::folder::DemoFolder;
use crate::demo::nodes::{Nodes, ORIGIN};
use crate::demo::people::{HOSPITAL, Hospital, SignedRecord};
use crate::output::Output;

/// After this many records the leader is killed.
const KILL_AFTER: usize = 102;
/// How many records are sent at once before the kill.
const BATCH: usize = 20;

/// What happened, for `--json`.
#[derive(Debug, Default, Serialize)]
struct Told {
    folder: String,
    records: usize,
    killed_node: usize,
    killed_after_record: usize,
    writes_resumed_after_ms: u128,
    verified: usize,
    fields_shown: usize,
    fields_total: usize,
    refused_because: String,
}

/// Runs the demo and prints each step as it is done. Returns the nodes, which run.
pub(super) async fn tell(folder: &DemoFolder, program: &Path, output: Output) -> Result<Nodes> {
    output.tell("Aimslog demo: a fictional hospital, three nodes on this machine.\n");

    let mut nodes = Nodes::start(folder, program).await?;
    let ledger = public_ledger(folder, &nodes)?;
    let leader = nodes.leader().await?;
    output.tell(format!(
        "1. The cluster is up: three nodes, any two of which must agree. Node {} leads.",
        leader + 1
    ));

    let hospital = Hospital::register(folder, &nodes.admin(leader)?, &ledger).await?;
    let reader = Arc::clone(&hospital.office);
    let ledger = ledger.reading_as(reader, ORIGIN);
    store_attachments(&ledger).await?;
    let records = hospital.sign_records(folder)?;
    let (first, rest) = records.split_at(KILL_AFTER.min(records.len()));
    for part in first.chunks(BATCH) {
        log_all(&ledger, part).await?;
    }
    output.tell(format!(
        "2. {} records are in the log: scope, policy, systems, risks. Each was written to the disks of a \
         majority before the hospital was told so.",
        first.len()
    ));

    let killed = nodes.leader().await?;
    nodes.kill(killed)?;
    let (resumed, size) = write_through_the_gap(&ledger, rest).await?;
    let head = ledger.checkpoint_covering(TreeSize(size)).await?;
    let lost = missing(&ledger, &records).await?;
    if lost > 0 {
        bail!("{lost} acknowledged records are not in the log");
    }
    output.tell(format!(
        "3. Node {}, which led, was killed at record {}. Writing resumed after {} ms; the other \
         {} records went in. None of all {} is lost: each is proven to be in the log, under a head \
         that both nodes left have signed.",
        killed + 1,
        first.len(),
        resumed.as_millis(),
        rest.len(),
        records.len()
    ));

    nodes.start_node(killed)?;
    nodes.wait_for_size(killed, head.head().size.0).await?;
    output.tell(format!("4. Node {} is back and has caught up.", killed + 1));

    let story = Told {
        folder: folder.path().display().to_string(),
        records: records.len(),
        killed_node: killed + 1,
        killed_after_record: first.len(),
        writes_resumed_after_ms: resumed.as_millis(),
        ..Told::default()
    };
    prove(folder, &ledger, &records, story, output).await?;
    write_context(folder, &nodes)?;
    Ok(nodes)
}

/// The auditor's part, and the end of the story.
async fn prove(
    folder: &DemoFolder,
    ledger: &Ledger,
    records: &[SignedRecord],
    mut told: Told,
    output: Output,
) -> Result<()> {
    told.verified = audit(folder, ledger, records, output).await?;
    (told.fields_shown, told.fields_total) = two_fields(folder, ledger, records, output).await?;
    told.refused_because = flip_a_byte(folder, output)?;
    let text = format!(
        "8. Where to look next: {0}/README.md says what is what. Check the file yourself:\n   \
         {1} verify {0}/auditor/hospital.evidence.json --policy {0}/auditor/policy.txt",
        told.folder,
        folder.program()
    );
    output.data(&told, text)
}

fn public_ledger(folder: &DemoFolder, nodes: &Nodes) -> Result<Ledger> {
    let policy = read_policy(&folder.join("cluster/public/policy.txt"))?;
    Ok(Ledger::new(
        &nodes.endpoints()?,
        policy,
        HeadMemory::in_memory(),
    )?)
}

async fn store_attachments(ledger: &Ledger) -> Result<()> {
    for (name, content) in ATTACHMENTS {
        ledger
            .put_blob(HOSPITAL, content)
            .await
            .with_context(|| name.to_owned())?;
    }
    Ok(())
}

/// Submits records and returns how many entries the log has at least, now that it has these.
async fn log_all(ledger: &Ledger, records: &[SignedRecord]) -> Result<u64> {
    let statements: Vec<FinishedStatement> = records
        .iter()
        .map(|record| record.statement.clone())
        .collect();
    let mut size = 0;
    for outcome in ledger.submit(&statements, Wait::Committed).await? {
        match outcome {
            Outcome::Logged { entry, .. } => size = size.max(entry.index.0 + 1),
            Outcome::Refused { violations, .. } => bail!("a record was refused: {violations:?}"),
        }
    }
    Ok(size)
}

/// Submits the rest one by one, as if nothing had happened, and returns how long the first one took
/// (the time without a leader), and how many entries the log then has.
async fn write_through_the_gap(
    ledger: &Ledger,
    records: &[SignedRecord],
) -> Result<(Duration, u64)> {
    let killed = Instant::now();
    let mut resumed = None;
    let mut size = 0;
    for record in records {
        let again_until = Instant::now() + Duration::from_secs(30);
        loop {
            match log_all(ledger, std::slice::from_ref(record)).await {
                Ok(grown) => {
                    size = size.max(grown);
                    break;
                }
                // The same bytes may always be sent again.
                Err(error) if is_passing(&error) && Instant::now() < again_until => {
                    sleep(Duration::from_millis(20)).await;
                }
                Err(error) => return Err(error),
            }
        }
        resumed.get_or_insert_with(|| killed.elapsed());
    }
    Ok((resumed.context("no record was left to submit")?, size))
}

fn is_passing(error: &anyhow::Error) -> bool {
    matches!(
        error.downcast_ref(),
        Some(ClientError::OutcomeUnknown { .. } | ClientError::Unreachable { .. })
    )
}

/// How many of the records are not proven to be in the log. The node that answers is not believed:
/// an inclusion proof under a head of a majority is verified for each.
async fn missing(ledger: &Ledger, records: &[SignedRecord]) -> Result<usize> {
    let mut missing = 0;
    for record in records {
        match ledger
            .inclusion_once_published(EntryKey::Id(record.entry))
            .await
        {
            Ok(_proven) => {}
            Err(ClientError::Refused(refusal)) if refusal.reason == Some(Reason::NotFound) => {
                missing += 1;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(missing)
}

/// A context for the commands that the README names.
fn write_context(folder: &DemoFolder, nodes: &Nodes) -> Result<()> {
    let operator = |file: &str| Some(folder.join("cluster/operator-1").join(file));
    let settings = Settings {
        endpoints: nodes.addresses(),
        ca: Some(folder.join("cluster/public/client-ca.pem")),
        policy: Some(folder.join("auditor/policy.txt")),
        key: Some(folder.join("hospital/p-240.seed").into()),
        passphrase_file: None,
        pin_file: None,
        organization: Some(HOSPITAL.to_owned()),
        admin_endpoints: nodes.admin_addresses(),
        admin_ca: operator("client-ca.pem"),
        admin_certificate: operator("admin.pem"),
        admin_key: operator("admin.key"),
    };
    let mut config = Config {
        current: Some("demo".to_owned()),
        ..Config::default()
    };
    config.context.insert("demo".to_owned(), settings);
    config.save(&folder.join("home"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aimslog_proto::limits;

    #[test]
    fn attachments_of_the_demo_are_small_enough_to_be_stored() {
        for (name, content) in ATTACHMENTS {
            let size = u64::try_from(content.len()).unwrap();
            assert!(size > 0 && size <= limits::BLOB_BYTES_MAX, "{name}");
        }
    }
}
