//! The figures of a comparison, for people and for programs.

use std::fmt;

use crate::calibrate::Calibration;
use crate::load::{Measured, Shape, ratio};

/// One run of one system.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// `etcd` or `aimslog`.
    pub(crate) system: &'static str,
    /// The load.
    pub(crate) shape: Shape,
    /// What the callers saw.
    pub(crate) measured: Measured,
    /// CPU time of the three servers while it was counted, in microseconds.
    pub(crate) cpu_us: u64,
    /// Syncs of the three servers while it was counted.
    pub(crate) syncs: u64,
}

/// All runs of a comparison.
#[derive(Debug)]
pub(crate) struct Report {
    /// The machine.
    pub(crate) calibration: Calibration,
    /// Bytes of one entry (statement and disclosures), and of one value of the peer.
    pub(crate) entry_bytes: usize,
    /// In the order in which they ran.
    pub(crate) rows: Vec<Row>,
}

impl Row {
    fn cpu_us_per_entry(&self) -> f64 {
        ratio(self.cpu_us, self.measured.entries)
    }

    fn syncs_per_entry(&self) -> f64 {
        ratio(self.syncs, self.measured.entries)
    }

    fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "system": self.system,
            "in_flight": self.shape.in_flight(),
            "batch": self.shape.batch,
            "entries": self.measured.entries,
            "seconds": self.measured.elapsed.as_secs_f64(),
            "entries_per_second": self.measured.entries_per_second(),
            "p50_ms": self.measured.percentile_ms(50),
            "p99_ms": self.measured.percentile_ms(99),
            "cpu_us_per_entry": self.cpu_us_per_entry(),
            "syncs_per_entry": self.syncs_per_entry(),
        })
    }
}

impl Report {
    /// The run of the ledger for each run of the peer, with the peer's.
    fn pairs(&self) -> impl Iterator<Item = (&Row, &Row)> {
        let same = |a: &Row, b: &Row| {
            a.system != b.system
                && (a.shape.callers, a.shape.batch) == (b.shape.callers, b.shape.batch)
        };
        let ledger = self.rows.iter().filter(|row| row.system == "aimslog");
        ledger.filter_map(move |row| {
            let peer = self.rows.iter().find(|other| same(row, other))?;
            Some((row, peer))
        })
    }

    /// The whole report as one document.
    pub(crate) fn json(&self) -> serde_json::Value {
        let ratios = self.pairs().map(|(ours, peer)| {
            serde_json::json!({
                "in_flight": ours.shape.in_flight(),
                "batch": ours.shape.batch,
                "entries_per_second": ours.measured.entries_per_second()
                    / peer.measured.entries_per_second().max(f64::EPSILON),
            })
        });
        serde_json::json!({
            "entry_bytes": self.entry_bytes,
            "fdatasync_us": self.calibration.fdatasync_us,
            "sha256_mb_per_second": self.calibration.sha256_mb_per_second,
            "verify_us": self.calibration.verify_us,
            "load_average": self.calibration.load_average,
            "runs": self.rows.iter().map(Row::json).collect::<Vec<_>>(),
            "ratios": ratios.collect::<Vec<_>>(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machine = &self.calibration;
        writeln!(
            f,
            "machine: fdatasync {} us, SHA-256 {} MB/s, Ed25519 verification {} us, load {}",
            machine.fdatasync_us,
            machine.sha256_mb_per_second,
            machine.verify_us,
            machine.load_average
        )?;
        writeln!(f, "entry: {} bytes, for both systems\n", self.entry_bytes)?;
        writeln!(
            f,
            "{:<8} {:>9} {:>6} {:>10} {:>9} {:>9} {:>13} {:>12}",
            "SYSTEM",
            "IN FLIGHT",
            "BATCH",
            "ENTRIES/S",
            "P50 MS",
            "P99 MS",
            "CPU US/ENTRY",
            "SYNCS/ENTRY"
        )?;
        for row in &self.rows {
            writeln!(
                f,
                "{:<8} {:>9} {:>6} {:>10.0} {:>9.2} {:>9.2} {:>13.0} {:>12.4}",
                row.system,
                row.shape.in_flight(),
                row.shape.batch,
                row.measured.entries_per_second(),
                row.measured.percentile_ms(50),
                row.measured.percentile_ms(99),
                row.cpu_us_per_entry(),
                row.syncs_per_entry()
            )?;
        }
        writeln!(f)?;
        for (ours, peer) in self.pairs() {
            writeln!(
                f,
                "{} in flight, batches of {}: {:.2} times the entries of {}",
                ours.shape.in_flight(),
                ours.shape.batch,
                ours.measured.entries_per_second()
                    / peer.measured.entries_per_second().max(f64::EPSILON),
                peer.system
            )?;
        }
        Ok(())
    }
}
