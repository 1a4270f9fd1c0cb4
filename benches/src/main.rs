//! Load against three nodes of the ledger and, in the same run, against three etcd nodes.
//!
//! Both are driven by the same closed loop over gRPC from this process, with values of the same size;
//! the ledger's statements are signed before the clock starts. The ledger does more for an entry than
//! etcd for a value: it checks a signature and every field, and keeps a Merkle tree, on each node. The
//! figures say what that costs.

mod calibrate;
mod etcd;
mod ledger;
mod load;
mod process;
mod report;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};

use crate::load::{Sent, Shape};
use crate::report::{Report, Row};

/// Benchmarks of a whole cluster.
#[derive(Debug, Parser)]
#[command(name = "aimslog-bench", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compare the ledger with etcd, three nodes each on loopback
    Compare(Compare),
}

#[derive(Debug, Args)]
struct Compare {
    /// The node's program
    #[arg(long, value_name = "FILE")]
    aimslogd: PathBuf,
    /// Seconds that each run is counted
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Entries per second up to which statements are signed beforehand; a run that needs more ends
    /// early
    #[arg(long, default_value_t = 15_000)]
    rate_max: usize,
    /// Run the ledger alone
    #[arg(long)]
    no_peer: bool,
    /// Where the clusters keep their data [default: a temporary folder]; the disk decides much
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Callers and entries per request: 1, 64 and 512 entries in flight, single and in batches.
const SHAPES: [(usize, usize); 5] = [(1, 1), (64, 1), (512, 1), (1, 64), (8, 64)];
/// With one caller at a time no system comes near this many entries per second.
const RATE_MAX_OF_ONE: usize = 4_000;

fn main() -> Result<()> {
    let Command::Compare(compare) = Cli::parse().command;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(compare.run())?;
    let mut out = std::io::stdout().lock();
    if compare.json {
        writeln!(out, "{}", report.json())?;
    } else {
        write!(out, "{report}")?;
    }
    Ok(())
}

impl Compare {
    async fn run(&self) -> Result<Report> {
        let dir = match &self.dir {
            Some(parent) => tempfile::TempDir::with_prefix_in("aimslog-bench-", parent),
            None => tempfile::TempDir::with_prefix("aimslog-bench-"),
        };
        let dir = dir.context("cannot make a folder for the data")?;
        let calibration = calibrate::calibrate(dir.path())?;
        let mut report = Report {
            calibration,
            entry_bytes: 0,
            rows: Vec::new(),
        };
        self.ledger(dir.path(), &mut report).await?;
        if !self.no_peer {
            self.peer(dir.path(), &mut report).await?;
        }
        Ok(report)
    }

    fn shapes(&self) -> impl Iterator<Item = Shape> {
        let duration = Duration::from_secs(self.seconds);
        SHAPES.into_iter().map(move |(callers, batch)| Shape {
            callers,
            batch,
            duration,
        })
    }

    async fn ledger(&self, dir: &Path, report: &mut Report) -> Result<()> {
        let cluster = ledger::Cluster::start(&self.aimslogd, dir).await?;
        let channel = cluster.channel()?;
        for shape in self.shapes() {
            progress(&format!("aimslog, {} in flight", shape.in_flight()))?;
            let rate = match shape.in_flight() {
                1 => RATE_MAX_OF_ONE.min(self.rate_max),
                _ => self.rate_max,
            };
            // A fifth of the run goes before it is counted.
            let count = rate * usize::try_from(self.seconds)? * 6 / 5;
            let statements = Arc::new(cluster.statements(count)?);
            report.entry_bytes = statements.first().map_or(0, ledger::stored_bytes);
            let channel = channel.clone();
            let request = move |number: u64| {
                let (statements, channel) = (Arc::clone(&statements), channel.clone());
                async move {
                    let from = usize::try_from(number)? * shape.batch;
                    match statements.get(from..from + shape.batch) {
                        Some(batch) => {
                            ledger::submit(channel, batch.to_vec()).await?;
                            Ok(Sent::Acknowledged)
                        }
                        None => Ok(Sent::Exhausted),
                    }
                }
            };
            let (mut cpu_us, mut syncs) = (0, 0);
            let measured = load::run(shape, request, async || {
                (cpu_us, syncs) = (cluster.cpu_us()?, cluster.syncs().await?);
                Ok(())
            })
            .await?;
            report.rows.push(Row {
                system: "aimslog",
                shape,
                measured,
                cpu_us: cluster.cpu_us()?.saturating_sub(cpu_us),
                syncs: cluster.syncs().await?.saturating_sub(syncs),
            });
        }
        Ok(())
    }

    async fn peer(&self, dir: &Path, report: &mut Report) -> Result<()> {
        let cluster = etcd::Cluster::start(dir).await?;
        let channel = cluster.channel()?;
        let value = vec![0x5a_u8; report.entry_bytes];
        for shape in self.shapes() {
            progress(&format!("etcd, {} in flight", shape.in_flight()))?;
            let (channel, value) = (channel.clone(), value.clone());
            let request = move |number: u64| {
                let (channel, value) = (channel.clone(), value.clone());
                let values = (0..shape.batch).map(|item| {
                    let key = format!("{}-{}-{number}-{item}", shape.callers, shape.batch);
                    (key.into_bytes(), value.clone())
                });
                let mut values: Vec<_> = values.collect();
                async move {
                    match (values.len(), values.pop()) {
                        (1, Some((key, value))) => etcd::put(channel, key, value).await?,
                        (_, last) => {
                            values.extend(last);
                            etcd::put_many(channel, values).await?;
                        }
                    }
                    Ok(Sent::Acknowledged)
                }
            };
            let (mut cpu_us, mut syncs) = (0, 0);
            let measured = load::run(shape, request, async || {
                (cpu_us, syncs) = (cluster.cpu_us()?, cluster.syncs().await?);
                Ok(())
            })
            .await?;
            report.rows.push(Row {
                system: "etcd",
                shape,
                measured,
                cpu_us: cluster.cpu_us()?.saturating_sub(cpu_us),
                syncs: cluster.syncs().await?.saturating_sub(syncs),
            });
        }
        Ok(())
    }
}

/// Talk goes to standard error, data to standard output.
fn progress(what: &str) -> Result<()> {
    Ok(writeln!(std::io::stderr().lock(), "bench: {what}")?)
}
